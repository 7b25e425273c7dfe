"""A tree of several families in which archives are left that have one name: each source takes its own."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from gristmill import sources
from gristmill.run.inputs.local_media import media_here
from gristmill.spec.errors import DamagedSource, MachineError
from gristmill.testing.archives import foldered, zipped


@pytest.fixture
def tree(tmp_path) -> Path:
    root = foldered(
        tmp_path / "data",
        {
            "gqa/images/42.jpg": b"x",
            "vg/a.txt": b"x",
            "llava/llava_pretrain/a.txt": b"x",
            "LLaVA-Pretrain/a.txt": b"x",
        },
    )
    zipped(root / "llava/llava_pretrain/images.zip", {"00000/000000001.jpg": b"x"})
    zipped(root / "LLaVA-Pretrain/images.zip", {"GCC_train_000000042.jpg": b"x"})
    zipped(root / "vg/images.zip", {"VG_100K/42.jpg": b"x"})
    zipped(root / "vg/images2.zip", {"VG_100K_2/42.jpg": b"x"})
    return root


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("gqa", ["data"]),  # unpacked
        ("llava-pretrain", ["llava/llava_pretrain/images.zip"]),
        ("cc3m", ["LLaVA-Pretrain/images.zip"]),
        ("vg", ["vg/images.zip", "vg/images2.zip"]),
    ],
)
def test_archives_of_one_name_go_to_the_source_whose_members_they_hold(source, files, tree):
    found = sources.find(source)
    names = found.patterns if found.hub else tuple(one.url.rpartition("/")[2] for one in found.downloads)
    found = replace(found, downloads=(), by_hand="Ask.", patterns=names, size_bytes=None)  # of any size
    assert [file.name for file in media_here(found, str(tree))] == files


def test_a_page_in_the_place_of_an_archive_is_told_all_the_same(tree):
    (tree / "gqa/images.zip").write_text("<html>You have used up your quota.</html>")
    with pytest.raises(DamagedSource, match="web page"):
        media_here(sources.find("gqa"), str(tree))


def test_a_folder_that_may_not_be_looked_into_is_told_where_its_files_are_wanted(tree, monkeypatch):
    """Nothing of it is lost in silence; but what is not ours, or holds nothing wanted, may be closed."""
    closed = {tree / "lost+found", tree / "gqa/images"}
    (tree / "lost+found").mkdir()
    scandir = os.scandir

    def refuse(path):
        if Path(path) in closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    gqa, cc3m = sources.find("gqa"), replace(sources.find("cc3m"), size_bytes=None)
    with pytest.raises(MachineError, match=r"gqa/images: permission was denied"):
        media_here(gqa, str(tree))
    assert media_here(replace(cc3m, patterns=("images.zip",)), str(tree))
    with pytest.raises(MachineError, match=r"gqa/images: permission was denied"):
        media_here(gqa, str(tree / "gqa/images"))
    closed.remove(tree / "gqa/images")
    assert [file.name for file in media_here(gqa, str(tree))] == ["data"]
