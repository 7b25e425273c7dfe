"""What lies in a folder of an archive: frames of a video, say."""

import pytest
from made import foldered, indexed, tar_gzipped, tarred

from gristmill.spec.media_source import MemberLayout
from gristmill.storage.archives import ArchiveSource, write_catalog
from gristmill.storage.archives import index as index_module

FRAMES = {
    f"./{folder}/c01_{n:04d}.jpeg": f"{folder} {n}".encode()
    for folder in ("-aB3", "-ab3", "v", "v_1", "v_1-Scene-001", "v.2")
    for n in range(1, 6)
}
OTHERS = {"./readme.txt": b"", "./v_1/deeper/c01_0001.jpeg": b"", "./v0/c01_0001.jpeg": b""}


def below(source, *folders):
    found = {folder: {} for folder in folders}
    for number, entry in source.below(folders):
        found[folders[number]][entry.name] = source.read(entry)
    return found


def expected(folder):
    return {name.removeprefix("./"): body for name, body in FRAMES.items() if name.startswith(f"./{folder}/")}


@pytest.mark.parametrize("make", [tarred, tar_gzipped, foldered])
def test_members_of_folders_are_found_by_the_folders_exact_names(make, tmp_path, monkeypatch):
    monkeypatch.setattr(index_module, "_GROUP_ROWS", 3)  # so that folders begin and end within groups
    _, one = indexed(make(tmp_path / "a", {**FRAMES, **OTHERS}))
    source = ArchiveSource([one])
    wanted = ("v_1", "-aB3", "./v", "v.2", "v_1-Scene-001", "v_1", "-AB3", "v_", "gone", "")
    found = below(source, *wanted)
    for folder in ("v_1", "-aB3", "v.2", "v_1-Scene-001"):
        assert found[folder] == expected(folder)
    assert found["./v"] == expected("v")
    assert found["-AB3"] == found["v_"] == found["gone"] == {}
    numbers = [number for number, _ in source.below(["v_1", "x", "v_1"])]
    assert sorted(numbers) == [0] * 5 + [2] * 5  # asked for twice, told twice


def test_a_catalog_finds_folders_in_any_of_its_archives(tmp_path):
    first, second = dict(list(FRAMES.items())[:15]), dict(list(FRAMES.items())[15:])
    archives = [
        indexed(
            tar_gzipped(tmp_path / f"{n}.tar.gz", {f"./top/{name[2:]}": body for name, body in of.items()})
        )[1]
        for n, of in enumerate((first, second))
    ]
    layouts = (MemberLayout(name="tree", member=r"(?:.*/)?([^/]+/[^/]+\.jpeg)", path=r"\1"),)
    write_catalog("toy", archives, layouts, tmp_path / "catalog.parquet")
    source = ArchiveSource(archives, tmp_path / "catalog.parquet")
    assert below(source, "-aB3", "v.2") == {"-aB3": expected("-aB3"), "v.2": expected("v.2")}
    assert {entry.archive for _, entry in source.below(["v.2"])} == {1}
