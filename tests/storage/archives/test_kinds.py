"""What every kind of archive does alike: index, find, read, stream, extents."""

import gzip
import io
import os
import pickle
import random
import shutil
import tarfile
import threading
import zipfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made import contents, foldered, indexed, put, source_of, split, tar_gzipped, tarred, zipped

from gristmill.spec.errors import DamagedSource, SourceError, UsageError
from gristmill.storage.archives import (
    Archive,
    ArchiveSource,
    Indexed,
    MemberRefused,
    Refusal,
    Scan,
    archives_of,
    in_order,
    write_index,
)

KINDS = {
    "folder": foldered,
    "zip": zipped,
    "stored.zip": partial(zipped, method=zipfile.ZIP_STORED),
    "tar": tarred,
    "pax.tar": partial(tarred, form=tarfile.PAX_FORMAT),
    "ustar.tar": partial(tarred, form=tarfile.USTAR_FORMAT),
    "tar.gz": tar_gzipped,
}
FILES = {
    "train2017/000000000009.jpg": b"nine" * 50,
    "train2017/000000000025.jpg": random.Random(70).randbytes(70_000),
    "empty": b"",
    "a/b.c.d/Ä ö.png": b"umlauts",
    "x" * 90 + "/" + "y" * 90: b"a long name",
    "exactly": bytes(512),
}


@pytest.fixture(params=KINDS)
def archive(request, tmp_path):
    return KINDS[request.param](tmp_path / f"pictures.{request.param}", FILES)


def test_every_member_is_found_and_read(archive):
    summary, source = source_of(archive)
    assert (summary.members, summary.refused, summary.cut, summary.notes) == (len(FILES), {}, None, ())
    names = [*FILES, "not there", "train2017"]
    found = source.find(names)
    assert found[len(FILES) :] == [None, None]
    for name, entry in zip(FILES, found[: len(FILES)], strict=True):
        assert entry.name == name
        assert entry.size_bytes == len(FILES[name])
        assert source.read(entry) == FILES[name]
        with source.open(entry) as stream:
            assert stream.read(3) + stream.read() == FILES[name]


def test_in_one_pass_all_come_in_order_and_may_be_passed_over(archive):
    scan = Scan()
    got = {
        entry.name: stream.read()
        for entry, stream in in_order(Archive.at(archive), scan)
        if entry.name != "empty"
    }
    assert got == {name: body for name, body in FILES.items() if name != "empty"}
    assert scan.cut is None


def test_bytes_that_lie_as_they_are_can_be_copied_by_range(archive):
    _, source = source_of(archive)
    plain = not archive.name.endswith((".gz", "s.zip"))
    for name, entry in zip(FILES, source.find(list(FILES)), strict=True):
        extent = source.extent(entry)
        assert (extent is not None) == plain
        if extent:
            with extent.path.open("rb") as stream:
                stream.seek(extent.offset)
                assert stream.read(extent.size_bytes) == FILES[name]


def test_a_source_is_read_by_threads_and_by_children_and_can_be_sent_to_others(archive):
    _, source = source_of(archive)
    found = source.find(list(FILES))
    wrong = []

    def look():
        for _ in range(5):
            wrong.extend(name for name, e in zip(FILES, found, strict=True) if source.read(e) != FILES[name])

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent = pickle.loads(pickle.dumps(source))
    assert [sent.read(entry) for entry in sent.find(list(FILES))] == list(FILES.values())
    child = os.fork()
    if child == 0:
        look()
        os._exit(len(wrong))
    assert os.waitpid(child, 0)[1] == 0
    assert not wrong


@pytest.mark.parametrize(
    "suffixes",
    [
        lambda n: "." + "abcdefghijklmnop"[n // 16] + "abcdefghijklmnop"[n % 16],
        lambda n: f".part{chr(ord('a') + n // 26)}{chr(ord('a') + n % 26)}",
        lambda n: f".part{n + 1}",
        lambda n: f".{n:03}",
        lambda n: f"_part_{n:02}",
    ],
)
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "stored.zip"])
def test_an_archive_in_parts_is_read_as_one(kind, suffixes, tmp_path):
    """Part 10 comes behind part 9, whatever order they are given in."""
    parts = split(
        KINDS[kind](tmp_path / f"p.{kind}", FILES), 7001 if "stored" not in kind else 6101, suffixes
    )
    assert len(parts) > 9
    (archive,) = archives_of(sorted(parts, key=lambda path: path.name[::-1]))
    summary, source = source_of(*archive.paths)
    assert summary.members == len(FILES)
    assert [source.read(entry) for entry in source.find(list(FILES))] == list(FILES.values())


def test_parts_that_lack_one_are_refused(tmp_path):
    parts = split(tarred(tmp_path / "p.tar", FILES), 20_000, lambda n: f".part{n + 1}")
    with pytest.raises(SourceError, match=r"part1 is not followed by the next part"):
        archives_of([parts[0], *parts[2:]])
    with pytest.raises(SourceError, match="is not the first part"):
        archives_of(parts[2:])
    with pytest.raises(SourceError, match="is there twice"):
        archives_of([*parts, parts[1]])


def test_what_is_no_part_is_an_archive_of_its_own(tmp_path):
    names = ["sa_000001.tar", "sa_000002.tar", "v1.zip", "images_2017.zip"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.zip.01").mkdir()
    found = archives_of([*(tmp_path / name for name in names), tmp_path / "folder.zip.01"])
    assert [archive.paths[0].name for archive in found] == [*names, "folder.zip.01"]


def test_volumes_of_a_zip_are_told(tmp_path):
    (tmp_path / "images.z01").write_bytes(b"PK\7\x08")
    with pytest.raises(SourceError, match="zip -s 0"):
        archives_of([tmp_path / "images.z01"])


def test_names_are_found_exactly_first_then_by_case_and_form(tmp_path):
    files = {
        "a/Bild.JPG": b"1",
        "a/bild.jpg": b"2",
        "caf\u00e9.png": b"composed",
        "cafe\u0301.png": b"decomposed",
        "Alone.jpg": b"3",
        "na\u00efve.jpg": b"4",
    }
    _, source = source_of(zipped(tmp_path / "a.zip", files))
    found = dict(zip(files, source.find(list(files)), strict=True))
    assert {name: source.read(entry) for name, entry in found.items()} == files
    alone, form, ambiguous, dotted = source.find(
        ["alone.JPG", "nai\u0308ve.jpg", "A/BILD.jpg", "./a//bild.jpg"]
    )
    assert (alone.name, form.name, dotted.name) == ("Alone.jpg", "na\u00efve.jpg", "a/bild.jpg")
    assert ambiguous.refused is Refusal.AMBIGUOUS
    with pytest.raises(MemberRefused, match="several members have this name"):
        source.read(ambiguous)
    assert source.find(["alone.JPG"], loosely=False) == [None]


def test_of_several_archives_the_first_that_has_it_counts(tmp_path):
    one = zipped(tmp_path / "one.zip", {"a": b"1", "B": b"1"})
    with tarfile.open(tmp_path / "two.tar", "w") as out:
        put(out, "link", type=tarfile.SYMTYPE, linkname="a")
        for name in ("a", "b", "c"):
            put(out, name, b"2")
    three = foldered(tmp_path / "three", {"c": b"3", "link": b"3"})
    source = ArchiveSource([indexed(path)[1] for path in (one, tmp_path / "two.tar", three)])
    found = source.find(["a", "b", "c", "link", "B"])
    assert [source.read(entry) for entry in found] == [b"1", b"2", b"2", b"3", b"1"]
    assert [entry.archive for entry in found] == [0, 1, 1, 2, 0]


@pytest.mark.parametrize("name", ["", "..", "../a", "a\0b", "\ud800", "/etc/passwd", "C:\\x", "x" * 40_000])
def test_names_that_no_member_can_have_are_not_found(name, archive):
    _, source = source_of(archive)
    assert source.find([name]) == [None]


def test_a_large_index_is_written_in_runs_and_found_in_groups(tmp_path, monkeypatch):
    """Runs, groups and the rows of one name are cut anywhere, and the table is the same."""
    names = [f"{i % 7}/{i:05}" for i in range(600)] + ["7/same"] * 40
    with tarfile.open(tmp_path / "a.tar", "w") as out:
        for number, name in enumerate(names):
            put(out, name, b"%d" % number)
    whole, one = indexed(tmp_path / "a.tar")
    table = list(one.index.entries())
    for name, size in [("_RUN_ROWS", 64), ("_BATCH_ROWS", 7), ("_GROUP_ROWS", 50)]:
        monkeypatch.setattr(f"gristmill.storage.archives.index.{name}", size)
    told = []
    summary = write_index(Archive.at(tmp_path / "a.tar"), tmp_path / "again", told.append)
    again = Indexed(Archive.at(tmp_path / "a.tar"), tmp_path / "again")
    assert summary == whole
    assert list(again.index.entries()) == table
    assert summary.refused == {"duplicate": 39}
    assert told[-1] == len(names)
    source = ArchiveSource([again])
    asked = [names[0], names[599], "7/same", "8/none", names[300]]
    assert contents_of(source, asked) == [b"0", b"599", b"639", None, b"300"]
    assert list(tmp_path.glob(".*")) == []


def contents_of(source, names):
    return [entry and source.read(entry) for entry in source.find(names)]


def test_an_index_of_other_files_or_a_damaged_one_is_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a": b"1"})
    indexed(path)
    index = path.with_name("a.zip.index.parquet")
    good = path.read_bytes()
    zipped(path, {"a": b"1", "b": b"2"})
    with pytest.raises(DamagedSource, match="made of other files"):
        ArchiveSource([Indexed(Archive.at(path), index)]).find(["a"])
    path.write_bytes(good)
    body = index.read_bytes()
    for bad in (
        b"",
        b"PAR1",
        body[:-20],
        body.replace(b"gristmill.archive", b"gristmill.Archive"),
    ):
        index.write_bytes(bad)
        with pytest.raises(DamagedSource, match="no index of an archive"):
            Indexed(Archive.at(path), index).index.summary  # noqa: B018
    index.unlink()
    with pytest.raises(UsageError):
        Indexed(Archive.at(path), index).index.summary  # noqa: B018


def test_damaged_seek_points_are_told(tmp_path):
    path = tar_gzipped(tmp_path / "a.tar.gz", FILES)
    _, source = source_of(path)
    points = path.with_name("a.tar.gz.index.parquet.points")
    body = points.read_bytes()
    entry = source.find(["exactly"])[0]
    many = body[:31] + b"\xff\xff\xff\x7f" + body[35:]
    for bad in (body[:20], b"x" * 5000, body[:-100], many, body[:27] + bytes(4) + body[31:], b"x" + body[1:]):
        points.write_bytes(bad)
        one = Indexed(Archive.at(path), path.with_name("a.tar.gz.index.parquet"))
        with pytest.raises(DamagedSource, match="points is damaged"):
            ArchiveSource([one]).read(entry)
    points.unlink()
    with pytest.raises(DamagedSource, match="points is missing"):
        ArchiveSource([Indexed(Archive.at(path), path.with_name("a.tar.gz.index.parquet"))]).read(entry)


def test_a_pass_that_is_stopped_leaves_nothing(tmp_path):
    path = tarred(tmp_path / "a.tar", {str(i): b"" for i in range(5000)})

    def stop(members):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_index(Archive.at(path), tmp_path / "index" / "a.parquet", stop)
    assert list((tmp_path / "index").iterdir()) == []


def test_few_files_are_open_whatever_the_number_of_archives(tmp_path):
    paths = [tarred(tmp_path / f"{i}.tar", {f"{i}": b"x"}) for i in range(36)]
    source = ArchiveSource([indexed(path)[1] for path in paths])
    before = len(os.listdir("/proc/self/fd"))
    found = source.find([str(i) for i in range(36)])
    assert [source.read(entry) for entry in found] == [b"x"] * 36
    assert len(os.listdir("/proc/self/fd")) <= before + 32


def test_another_file_in_an_archives_place_is_what_is_read(tmp_path):
    path = tarred(tmp_path / "a.tar", {"a": b"old"})
    _, source = source_of(path)
    assert source.read(source.find(["a"])[0]) == b"old"
    tarred(tmp_path / "new.tar", {"a": b"new"}).replace(path)
    _, source = source_of(path)
    assert source.read(source.find(["a"])[0]) == b"new"


def test_a_file_that_shrinks_or_goes_costs_its_members(archive):
    _, source = source_of(archive)
    entry = source.find(["train2017/000000000025.jpg"])[0]
    if archive.is_dir():
        os.truncate(archive / entry.name, 100)
        with pytest.raises(MemberRefused):
            source.extent(entry)
    else:
        os.truncate(archive, 100)
    with pytest.raises(MemberRefused):
        source.read(entry)


def test_a_member_larger_than_asked_for_is_not_taken_into_memory(archive):
    _, source = source_of(archive)
    entry = source.find(["train2017/000000000025.jpg"])[0]
    with pytest.raises(MemberRefused, match="larger than what may be read"):
        source.read(entry, most_bytes=69_999)
    assert len(source.read(entry, most_bytes=70_000)) == 70_000


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><title>Google Drive - Quota exceeded</title>", "a web page"),
        (b"\n <HTML>", "a web page"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(100), "7-Zip"),
        (b"\xfd7zXZ\0" + bytes(100), "xz"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"hello" * 1000, "of no kind that is known"),
        (gzip.compress(b"hello" * 1000, mtime=0), "no tar"),
        (gzip.compress(b"", mtime=0), "no tar"),
        (b"\x1f\x8b\x08", "no tar"),
        (b"PK\3\4" + bytes(100), "cut off: the directory at a zip's end is missing"),
    ],
)
@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz"])
def test_what_is_no_archive_is_told_for_what_it_is(body, words, name, tmp_path):
    (tmp_path / name).write_bytes(body)
    with pytest.raises(DamagedSource, match=words) as told:
        source_of(tmp_path / name)
    assert str(tmp_path / name) in str(told.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_kind_is_told_by_bytes_not_by_name(tmp_path):
    paths = [
        tarred(tmp_path / "a.zip", FILES),
        zipped(tmp_path / "b.tar", FILES),
        tar_gzipped(tmp_path / "c", FILES),
    ]
    assert [source_of(path)[0].kind for path in paths] == ["tar", "zip", "tar_gz"]
    outer = tarred(tmp_path / "outer.tar", {"inner.zip": zipped(tmp_path / "i.zip", FILES).read_bytes()})
    assert source_of(outer)[0].kind == "tar"


def test_an_empty_archive_has_no_members(tmp_path):
    for name, make in KINDS.items():
        summary, source = source_of(make(tmp_path / f"empty.{name}", {}))
        assert (summary.members, summary.cut) == (0, None)
        assert source.find(["a"]) == [None]


def test_what_is_not_there_or_no_file_is_told(tmp_path):
    os.mkfifo(tmp_path / "fifo.zip")
    with pytest.raises(SourceError, match="no regular file"):
        Archive.at(tmp_path / "fifo.zip")
    with pytest.raises(UsageError, match="No such file"):
        Archive.at(tmp_path / "none.zip")


NAMES = st.lists(
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\:"), min_size=1, max_size=20
    )
    .map(lambda text: text.encode()[:60].decode("utf-8", "ignore"))
    .filter(lambda text: text not in {"", ".", ".."}),
    min_size=1,
    max_size=3,
).map("/".join)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.dictionaries(NAMES, st.binary(max_size=2000) | st.integers(0, 400_000).map(bytes), max_size=8))
def test_any_tree_comes_back_as_it_was(tree, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("tree")
    tree = {name: body for name, body in tree.items() if not any(o.startswith(name + "/") for o in tree)}
    for kind, make in KINDS.items():
        if kind == "ustar.tar":
            continue
        summary, source = source_of(make(tmp_path / f"a.{kind}", tree))
        found = source.find(list(tree))
        assert {e.name: source.read(e) for e in found if e} == tree
        assert (summary.members, summary.refused) == (len(tree), {})
        assert {e.name: s.read() for e, s in in_order(Archive.at(tmp_path / f"a.{kind}"), Scan())} == tree


def test_a_new_kind_is_a_file(tmp_path, monkeypatch):
    """The package's folder is searched: a kind from outside is found as those within are."""
    from gristmill.storage.archives import kind, kinds

    (tmp_path / "shout.py").write_text(
        "from gristmill.storage.archives import Entry\n"
        "class Shout:\n"
        "    revision = 1\n"
        "    def likeness(self, archive, head): return 3 if head.startswith(b'SHOUT') else 0\n"
        "    def scan(self, archive, scan):\n"
        "        yield Entry(name='it', raw=None, offset=5, packed_bytes=4, size_bytes=4)\n"
        "    def in_order(self, archive, scan): return iter(())\n"
        "    def beside(self, archive, index, scan): pass\n"
        "    def reader(self, archive, index):\n"
        "        from gristmill.storage.archives.kinds.tar import TarReader\n"
        "        return TarReader(archive)\n"
        "KIND = Shout()\n"
    )
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(tmp_path)])
    kind.kinds_by_name.cache_clear()
    try:
        (tmp_path / "loud").write_bytes(b"SHOUTloud")
        summary, source = source_of(tmp_path / "loud")
        assert summary.kind == "shout"
        assert source.read(source.find(["it"])[0]) == b"loud"
    finally:
        kind.kinds_by_name.cache_clear()


def test_bytes_of_a_stream_come_piece_by_piece(tmp_path):
    """A member of 48 MB of zeros is read without 48 MB."""
    import tracemalloc

    body = bytes(48 << 20)
    for make, name in [(zipped, "a.zip"), (tarred, "a.tar"), (tar_gzipped, "a.tar.gz")]:
        _, source = source_of(make(tmp_path / name, {"large": body}))
        (entry,) = source.find(["large"])
        tracemalloc.start()
        with source.open(entry) as stream:
            total = sum(len(piece) for piece in iter(lambda: stream.read(1 << 18), b""))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total == len(body)
        assert most < 24 << 20


def test_a_stream_gives_its_last_bytes_only_if_all_are_right(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a": random.Random(7).randbytes(700_000)}, zipfile.ZIP_STORED)
    body = bytearray(path.read_bytes())
    body[1000] ^= 1
    path.write_bytes(body)
    _, source = source_of(path)
    got = io.BytesIO()
    with source.open(source.find(["a"])[0]) as stream, pytest.raises(MemberRefused, match="checksum"):
        shutil.copyfileobj(stream, got)
    assert len(got.getvalue()) < 700_000


@pytest.mark.parametrize(("archives", "loads"), [(4, 4), (5, 15)])
def test_of_many_archives_few_hold_seek_points(archives, loads, tmp_path, monkeypatch):
    """Reading goes round among some archives: seek points of the fifth take the place of the first's."""
    bodies = {f"{m}.jpg": b"%d" % m for m in range(3)}
    sources = [
        source_of(
            tar_gzipped(tmp_path / f"{n}.tar.gz", {name: bytes([n]) + body for name, body in bodies.items()})
        )[1]
        for n in range(archives)
    ]
    loaded = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: loaded.append(path) or real(path))
    for name, body in bodies.items():
        for n, source in enumerate(sources):
            assert contents(source, [name]) == {name: bytes([n]) + body}
    assert len([path for path in loaded if path.suffix == ".points"]) == loads
