"""Members by the paths that records use: which layout holds, names written down otherwise, other extensions."""

import tarfile
import unicodedata

import pytest
from made import contents, foldered, indexed, put, tarred, zipped

from gristmill.spec.errors import DamagedSource
from gristmill.spec.media_source import MemberLayout
from gristmill.storage.archives import ArchiveSource, Refusal, write_catalog
from gristmill.storage.archives.names import folded

LAYOUTS = (
    MemberLayout(name="archive", member=r"images/(\d{5}\.jpg)", path=r"\1"),
    MemberLayout(name="tree", member=r"(?:.*/)?toy/images/(\d{5}\.jpg)", path=r"\1"),
    MemberLayout(name="flat", member=r"\d{5}\.jpg"),
)


def files(front: str, first: int = 0, count: int = 4) -> dict[str, bytes]:
    return {f"{front}{n:05d}.jpg": b"%d" % n for n in range(first, first + count)}


def catalogued(path, *places, layouts=LAYOUTS, **more):
    archives = [indexed(place)[1] for place in places]
    told = write_catalog("toy", archives, layouts, path / "catalog.parquet", **more)
    return told, ArchiveSource(archives, path / "catalog.parquet")


@pytest.mark.parametrize(
    ("front", "layout"),
    [("images/", "archive"), ("data/toy/images/", "tree"), ("./toy/Images/", "tree"), ("", "flat")],
)
def test_each_layout_leads_to_the_same_paths(front, layout, tmp_path):
    place = zipped(tmp_path / "a.zip", {**files(front), "readme.txt": b"", "x/y.jpg": b""})
    told, source = catalogued(tmp_path, place)
    assert (told.layout, told.members, told.passed_over) == (layout, 4, 2)
    assert set(told.examples) == {"readme.txt", "x/y.jpg"}
    assert contents(source, files("")) == files("")
    assert source.find(["00009.jpg", "readme.txt", "images/00001.jpg"]) == [None] * 3


def test_one_catalog_for_archives_of_every_kind(tmp_path):
    places = [
        zipped(tmp_path / "a.zip", files("images/")),
        tarred(tmp_path / "b.tar", files("images/", 4)),
        foldered(tmp_path / "c", files("images/", 8)),
    ]
    told, source = catalogued(tmp_path, *places)
    assert told.members == 12
    assert contents(source, files("", 0, 12)) == files("", 0, 12)
    assert [entry.archive for entry in source.find(["00011.jpg", "00001.jpg", "00005.jpg"])] == [2, 0, 1]


def test_of_one_path_in_two_archives_the_first_counts(tmp_path):
    other = {name: b"other" for name in files("images/")}
    told, source = catalogued(
        tmp_path, zipped(tmp_path / "a.zip", files("images/")), zipped(tmp_path / "b.zip", other)
    )
    assert (told.members, told.refused) == (4, {"duplicate": 4})
    assert contents(source, files("")) == files("")


def test_members_under_two_layouts_are_refused_with_counts_and_examples(tmp_path):
    with pytest.raises(DamagedSource) as caught:
        catalogued(tmp_path, zipped(tmp_path / "a.zip", {**files("images/"), **files("", 2, 1)}))
    said = str(caught.value)
    assert (
        "archive: 4 (images/00000.jpg, images/00001.jpg, images/00002.jpg, ...); flat: 1 (00002.jpg)" in said
    )
    assert "--source toy=PATH" in said
    assert not (tmp_path / "catalog.parquet").exists()


def test_an_archive_of_something_else_is_refused_with_what_it_holds(tmp_path):
    with pytest.raises(DamagedSource, match=r"of 2 \(a.png, b.png\), no member is as in the layout archive"):
        catalogued(tmp_path, zipped(tmp_path / "a.zip", {"b.png": b"", "a.png": b""}))


def test_without_layouts_members_are_named_as_they_are(tmp_path):
    told, source = catalogued(tmp_path, tarred(tmp_path / "a.tar", files("images/")), layouts=())
    assert (told.layout, told.members, told.passed_over) == ("", 4, 0)
    assert contents(source, files("images/")) == files("images/")


def test_refused_members_are_told_of_by_their_path(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as out:
        put(out, "images/00001.jpg", b"good")
        put(out, "images/00002.jpg", type=tarfile.SYMTYPE, linkname="/etc/hosts")
    told, source = catalogued(tmp_path, path)
    assert (told.members, told.refused) == (1, {"link": 1})
    (found,) = source.find(["00002.jpg"])
    assert found.refused is Refusal.LINK


def test_another_extension_of_the_same_stem(tmp_path):
    members = {
        "a/1.jpg": b"1",
        "a/2.GIF": b"2",
        "a/3.gif": b"g",
        "a/3.png": b"p",
        "a/4.gif": b"4",
        "a/4.JPG": b"J",
    }
    layout = MemberLayout(name="all", member=r"a/(.*)", path=r"\1")
    told, source = catalogued(tmp_path, zipped(tmp_path / "a.zip", members), layouts=(layout,), stems=True)
    assert told.members == 6
    one, two, three, four, five = source.find(["1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"])
    assert [source.read(entry) for entry in (one, two, four)] == [b"1", b"2", b"J"]
    assert three.refused is Refusal.AMBIGUOUS
    assert five is None
    (exact,) = source.find(["3.gif"])
    assert source.read(exact) == b"g"


MEANT = "wikiart/Caspar Mönch é ß.JPG"
UTF8 = MEANT.encode()


@pytest.mark.parametrize(
    "written",
    [
        MEANT.lower(),
        unicodedata.normalize("NFD", MEANT),
        UTF8.decode("latin-1"),
        UTF8.decode("latin-1").lower(),
        UTF8.decode("cp1252"),
        UTF8.decode("cp437"),
        UTF8.decode("latin-1").encode().decode("latin-1"),
        MEANT.encode("latin-1").decode("cp437"),
        MEANT.encode("cp437").decode("latin-1"),
        "wikiart/Caspar%20M%C3%B6nch%20%C3%A9%20%c3%9f.JPG",
        "wikiart/Caspar M#U00f6nch #U00e9 #U00df.JPG",
        "wikiart/Caspar M#U00c3#U00b6nch #U00c3#U00a9 #U00c3#U009f.JPG",
        "wikiart/Caspar Mo#U0308nch é ß.JPG",
    ],
)
def test_a_name_is_found_however_it_was_written_down(written, tmp_path):
    _, source = catalogued(tmp_path, tarred(tmp_path / "a.tar", {written: b"it", "b": b""}), layouts=())
    assert contents(source, [MEANT]) == {MEANT: b"it"}
    _, source = catalogued(tmp_path, tarred(tmp_path / "b.tar", {MEANT: b"it", "b": b""}), layouts=())
    assert contents(source, [written]) == {written: b"it"}


def test_two_names_that_differ_only_so_are_each_found_by_their_own_and_not_by_a_third(tmp_path):
    path = tarred(tmp_path / "a.tar", {"a%20b": b"escaped", "a b": b"plain"})
    _, source = catalogued(tmp_path, path, layouts=())
    assert contents(source, ["a%20b", "a b"]) == {"a%20b": b"escaped", "a b": b"plain"}
    assert source.find(["A b"])[0].refused is Refusal.AMBIGUOUS


@pytest.mark.parametrize(
    "name", ["100%.jpg", "a%zz", "图片.jpg", "#Uzzzz", "%ff%fe", "Ελλάδα.png", "#L110000"]
)
def test_names_that_only_look_escaped_stay_apart(name):
    assert folded(name) == folded(folded(name))
    assert folded(name) != folded(f"{name}2")
