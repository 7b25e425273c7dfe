"""Members that are not read: each is counted with its reason and its name, and the good ones go on."""

import gzip
import os
import random
import stat
import tarfile
import warnings
import zipfile
import zlib
from contextlib import suppress

import pytest
from made import (
    END,
    foldered,
    indexed,
    padded,
    put,
    raw_zip,
    refused_in,
    source_of,
    tar_gzipped,
    tar_header,
    tarred,
    zipped,
)

from gristmill.spec.errors import DamagedSource
from gristmill.storage.archives import Archive, ArchiveSource, MemberRefused, Refusal, Scan, in_order

GOOD = {"good.jpg": b"a good one", "sub/good.png": b"another"}


def still_good(path):
    _, source = source_of(path)
    return [source.read(entry) for entry in source.find(list(GOOD))] == list(GOOD.values())


HOSTILE = {
    "../up": "parent_name",
    "a/../../up": "parent_name",
    "/etc/passwd": "absolute_name",
    "//server/share": "absolute_name",
    "C:/windows/x": "drive_name",
    "c:x": "drive_name",
}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_names_that_lead_elsewhere(kind, tmp_path):
    make = {"zip": zipped, "tar": tarred, "tar.gz": tar_gzipped}[kind]
    path = make(tmp_path / f"a.{kind}", {**dict.fromkeys(HOSTILE, b"x"), **GOOD})
    assert refused_in(path) == HOSTILE
    summary, source = source_of(path)
    assert summary.members == 2
    assert summary.refused == {"absolute_name": 2, "drive_name": 2, "parent_name": 2}
    assert still_good(path)
    with pytest.raises(MemberRefused, match=r"a\.\S+: '\.\./up' is not read: its name leads upwards"):
        source.read(source.find(["../up"])[0])


def test_names_in_windows_fashion_are_kept_within_zips_alone(tmp_path):
    path = tmp_path / "a.zip"
    names = [b"dir\\a.jpg", b"..\\up", b"\\abs", b"D:\\x", b"mixed/a\\b"]
    path.write_bytes(raw_zip([{"name": name, "body": b"x"} for name in names]))
    assert refused_in(path) == {"../up": "parent_name", "/abs": "absolute_name", "D:/x": "drive_name"}
    _, source = source_of(path)
    assert [source.read(entry) for entry in source.find(["dir/a.jpg", "mixed/a\\b"])] == [b"x", b"x"]
    tar = tarred(tmp_path / "a.tar", {"dir\\a.jpg": b"y", "..\\up": b"y"})
    assert refused_in(tar) == {"..\\up": "parent_name"}


def test_names_that_are_no_utf8_keep_their_bytes(tmp_path):
    odd = "b\u00f6se.jpg".encode("latin-1")
    zip_path, tar_path = tmp_path / "a.zip", tmp_path / "a.tar"
    told = "\u00e4.jpg".encode()
    field = (
        b"\x75\x70"
        + (5 + len(told)).to_bytes(2, "little")
        + b"\1"
        + zlib.crc32(b"\x84.jpg").to_bytes(4, "little")
    )
    zip_path.write_bytes(
        raw_zip(
            [
                {"name": odd, "body": b"1"},
                {"name": b"\x84.jpg", "body": b"2", "extra": field + told},
                {"name": "\u4e2d.jpg".encode(), "body": b"3"},
            ]
        )
    )
    tar_path.write_bytes(tar_header(odd, 1) + padded(b"1") + END)
    root = foldered(tmp_path / "folder", {})
    (root / os.fsdecode(odd)).write_bytes(b"1")
    cp437 = odd.decode("cp437")
    for path, names in [
        (zip_path, {cp437: b"1", "\u00e4.jpg": b"2", "\u4e2d.jpg": b"3"}),
        (tar_path, {"b\u00f6se.jpg": b"1"}),
        (root, {"b\u00f6se.jpg": b"1"}),
    ]:
        _, source = source_of(path)
        found = source.find(list(names))
        assert [source.read(entry) for entry in found] == list(names.values())
        assert found[0].raw == odd


def test_names_with_nul_without_a_name_and_too_long_ones(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(
        raw_zip([{"name": n} for n in (b"a\0.jpg", b"", b".", b"./", b"l" * 40_000, b"good.jpg")])
    )
    assert source_of(path)[0].refused == {"long_name": 1, "no_name": 2, "nul_in_name": 1}
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as out:
        put(out, "p" * 40_000, b"x")
        put(out, "a", b"x", pax_headers={"comment": "y" * (2 << 20)})
        for name, body in GOOD.items():
            put(out, name, body)
    assert list(refused_in(tmp_path / "a.tar").values()) == ["long_name", "long_name"]
    assert still_good(tmp_path / "a.tar")


def test_the_last_good_one_of_a_name_counts(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
            for body in (b"1", b"2", b"3"):
                out.writestr("same", body)
            out.writestr("other", b"4")
    with tarfile.open(tmp_path / "a.tar", "w") as out:
        put(out, "same", b"1")
        put(out, "./same", b"3")
        put(out, "same", type=tarfile.SYMTYPE, linkname="other")
        put(out, "other", b"4")
    for path, refused in [("a.zip", {"duplicate": 2}), ("a.tar", {"duplicate": 1, "link": 1})]:
        summary, source = source_of(tmp_path / path)
        assert summary.refused == refused
        assert summary.members == 2
        assert [source.read(entry) for entry in source.find(["same", "other"])] == [b"3", b"4"]


def test_links_devices_and_sparse_files_of_a_tar(tmp_path):
    types = {
        "soft": (tarfile.SYMTYPE, "link"),
        "hard": (tarfile.LNKTYPE, "link"),
        "character": (tarfile.CHRTYPE, "device"),
        "block": (tarfile.BLKTYPE, "device"),
        "fifo": (tarfile.FIFOTYPE, "device"),
        "unknown": (b"Z", "unknown_type"),
    }
    with tarfile.open(tmp_path / "a.tar", "w") as out:
        for name, (kind, _) in types.items():
            put(out, name, type=kind, linkname="../../etc/passwd")
        put(out, "folder", type=tarfile.DIRTYPE)
        for name, body in GOOD.items():
            put(out, name, body)
    assert refused_in(tmp_path / "a.tar") == {name: why for name, (_, why) in types.items()}
    assert still_good(tmp_path / "a.tar")


def test_sparse_files_of_a_tar(tmp_path):
    pax = b"".join(
        b"%d %s\n" % (len(record) + 4, record)
        for record in (b"GNU.sparse.major=1", b"GNU.sparse.name=true", b"path=GNUSparse/x")
    )
    gnu = bytearray(tar_header(b"old", 512, b"S", magic=b"ustar  \0"))
    gnu[482] = 1
    gnu[148:156] = b" " * 8
    gnu[148:156] = b"%06o\0 " % sum(gnu)
    good = b"".join(tar_header(name.encode(), len(body)) + padded(body) for name, body in GOOD.items())
    (tmp_path / "a.tar").write_bytes(
        tar_header(b"pax", len(pax), b"x")
        + padded(pax)
        + tar_header(b"GNUSparse/x", 512)
        + b"s" * 512
        + bytes(gnu)
        + bytes(504)
        + b"\1"
        + bytes(7 + 512)
        + b"s" * 512
        + good
        + END
    )
    assert refused_in(tmp_path / "a.tar") == {"true": "sparse", "old": "sparse"}
    assert still_good(tmp_path / "a.tar")


def test_members_of_a_zip_that_are_no_files_or_cannot_be_unpacked(tmp_path):
    members = {
        "link": ({"mode": stat.S_IFLNK | 0o777}, "link"),
        "fifo": ({"mode": stat.S_IFIFO}, "device"),
        "secret": ({"flags": 1}, "encrypted"),
        "masked": ({"flags": 0x2000}, "encrypted"),
        "bzip2": ({"method": 12}, "unsupported_method"),
        "zstd": ({"method": 93}, "unsupported_method"),
        "deflate64": ({"method": 9}, "unsupported_method"),
        "strange": ({"method": 4711}, "unsupported_method"),
        "elsewhere": ({"disk": 3}, "damaged_header"),
        "lie": ({"size": 5}, "wrong_size"),
        "bomb": ({"method": 8, "packed": 10, "size": 1 << 30}, "wrong_size"),
        "beyond": ({"packed": 1 << 30, "size": 1 << 30}, "truncated"),
        "zip64": ({"packed": 0xFFFFFFFF, "size": 0xFFFFFFFF, "extra": b"\1\0\4\0abcd"}, "damaged_header"),
    }
    (tmp_path / "a.zip").write_bytes(
        raw_zip(
            [{"name": name.encode(), "body": b"0123456789", **told} for name, (told, _) in members.items()]
            + [{"name": name.encode(), "body": body} for name, body in GOOD.items()]
        )
    )
    assert refused_in(tmp_path / "a.zip") == {name: why for name, (_, why) in members.items()}
    assert still_good(tmp_path / "a.zip")
    _, one = indexed(tmp_path / "a.zip")
    assert {e.name: e.method for e in one.index.entries() if e.refused is Refusal.METHOD} == {
        "bzip2": "bzip2",
        "zstd": "zstd",
        "deflate64": "deflate64",
        "strange": "method 4711",
    }


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        ({"local_name": b"bad.php"}, "local_header"),
        ({"local_method": 8}, "local_header"),
        ({"local_flags": 1}, "local_header"),
        ({"local_crc": 1}, "local_header"),
        ({"local_size": 11}, "local_header"),
        ({"crc": 1, "local_crc": 1}, "wrong_checksum"),
        ({"at": 1}, "local_header"),
        ({"method": 8}, "damaged_deflate"),
    ],
)
def test_a_zip_whose_headers_differ_or_lie(lie, why, tmp_path):
    members = [{"name": b"bad.jpg", "body": b"\xff" * 10, **lie}]
    if "at" in lie:
        members.insert(0, {"name": b"first", "body": b"x" * 200})
    members += [{"name": name.encode(), "body": body} for name, body in GOOD.items()]
    (tmp_path / "a.zip").write_bytes(raw_zip(members))
    _, source = source_of(tmp_path / "a.zip")
    (entry,) = source.find(["bad.jpg"])
    with pytest.raises(MemberRefused) as told:
        source.read(entry)
    assert told.value.refusal == why
    assert still_good(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("size", "packed", "why"),
    [(999, None, "wrong_size"), (1001, None, "wrong_size"), (1000, 5, "truncated")],
)
def test_a_deflated_member_ends_where_it_says(size, packed, why, tmp_path):
    deflater = zlib.compressobj(wbits=-15)
    stored = deflater.compress(bytes(1000)) + deflater.flush()
    told = {"method": 8, "size": size, "packed": packed or len(stored), "crc": zlib.crc32(bytes(1000))}
    (tmp_path / "a.zip").write_bytes(raw_zip([{"name": b"a", "stored": stored, **told}]))
    _, source = source_of(tmp_path / "a.zip")
    with pytest.raises(MemberRefused) as caught:
        source.read(source.find(["a"])[0])
    assert caught.value.refusal == why


def test_a_bomb_is_not_unpacked(tmp_path):
    """1 MB that says it holds 900 kB, and holds 1 GB: no more is unpacked than it says."""
    import tracemalloc

    deflater = zlib.compressobj(9, wbits=-15)
    stored = b"".join(deflater.compress(bytes(1 << 20)) for _ in range(64)) + deflater.flush()
    told = {"method": 8, "size": 900_000, "packed": len(stored), "crc": 0}
    (tmp_path / "a.zip").write_bytes(raw_zip([{"name": b"a", "stored": stored, **told}]))
    _, source = source_of(tmp_path / "a.zip")
    tracemalloc.start()
    with pytest.raises(MemberRefused, match="more or fewer bytes"):
        source.read(source.find(["a"])[0])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 << 20


def test_no_two_members_share_bytes(tmp_path):
    """A bomb of one kernel that many names share."""
    kernel = {"name": b"0", "body": bytes(5000)}
    members = [
        kernel,
        *({"name": b"%d" % i, "body": b"", "size": 5000, "packed": 5000, "at": 0} for i in range(1, 50)),
    ]
    members += [{"name": name.encode(), "body": body} for name, body in GOOD.items()]
    (tmp_path / "a.zip").write_bytes(raw_zip(members))
    summary, _ = source_of(tmp_path / "a.zip")
    assert summary.refused == {"overlap": 49}
    assert still_good(tmp_path / "a.zip")


@pytest.mark.slow
def test_zip64_is_read(tmp_path):
    """Sizes and places in the extra field; a directory behind a record of its own; more than 65,535 members."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        with out.open("large", "w", force_zip64=True) as stream:
            stream.write(b"body")
        for number in range(66_000):
            out.writestr(zipfile.ZipInfo(f"{number:05}"), b"")
    summary, source = source_of(tmp_path / "a.zip")
    assert (summary.members, summary.notes) == (66_001, ())
    assert source.read(source.find(["large"])[0]) == b"body"
    body = b"0123456789"
    extra = b"\1\0\x18\0" + b"".join(n.to_bytes(8, "little") for n in (10, 10, 0))
    (tmp_path / "b.zip").write_bytes(
        raw_zip(
            [{"name": b"a", "body": body, "packed": 0xFFFFFFFF, "size": 0xFFFFFFFF, "extra": extra}]
        ).replace(b"\0" * 4 + b"a\1\0", b"\xff" * 4 + b"a\1\0")
    )
    _, source = source_of(tmp_path / "b.zip")
    assert source.read(source.find(["a"])[0]) == body


def test_bytes_in_front_of_a_zip_are_passed_over(tmp_path):
    """As of a program that unpacks it, whether the places in the zip count them or not."""
    plain = zipped(tmp_path / "a.zip", GOOD).read_bytes()
    (tmp_path / "a.zip").write_bytes(b"MZ" + bytes(5000) + plain)
    summary, _ = source_of(tmp_path / "a.zip")
    assert summary.notes == ("5,002 bytes stand in front of the zip.",)
    assert still_good(tmp_path / "a.zip")
    (tmp_path / "b.zip").write_bytes(b"MZ" + bytes(5000))
    with zipfile.ZipFile(tmp_path / "b.zip", "a") as out:
        for name, body in GOOD.items():
            out.writestr(name, body)
    assert still_good(tmp_path / "b.zip")


def test_a_cut_zip_is_a_sentence(tmp_path):
    body = zipped(tmp_path / "a.zip", GOOD).read_bytes()
    for size in (len(body) - 1, len(body) - 30, 100, 5):
        (tmp_path / "cut.zip").write_bytes(body[:size])
        with pytest.raises(DamagedSource, match=r"cut\.zip is cut off: .* Fetch it again"):
            source_of(tmp_path / "cut.zip")


def test_a_damaged_directory_keeps_what_stands_before(tmp_path):
    body = bytearray(zipped(tmp_path / "a.zip", {**GOOD, "lost": b"x"}).read_bytes())
    body[body.rindex(b"PK\1\2")] = 0
    (tmp_path / "a.zip").write_bytes(body)
    summary, _ = source_of(tmp_path / "a.zip")
    assert summary.members == 2
    assert "directory is damaged" in summary.cut
    assert still_good(tmp_path / "a.zip")
    start = body.index(b"PK\1\2")
    body[start] = 0
    (tmp_path / "a.zip").write_bytes(body)
    with pytest.raises(DamagedSource, match="directory is not where its end says"):
        source_of(tmp_path / "a.zip")


def test_volumes_of_a_zip_are_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(raw_zip([{"name": b"a"}], disk=2))
    with pytest.raises(DamagedSource, match="zip -s 0"):
        source_of(tmp_path / "a.zip")


def test_a_directory_that_miscounts_is_noted(tmp_path):
    (tmp_path / "a.zip").write_bytes(raw_zip([{"name": b"a"}, {"name": b"b"}], entries=5))
    summary, _ = source_of(tmp_path / "a.zip")
    assert summary.members == 2
    assert "says that it has 5 entries, and has 2" in summary.notes[0]


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_a_cut_tar_keeps_what_stands_before_the_cut_and_says_so(kind, tmp_path):
    """Wherever it is cut: between members, in a header, in a long name, in a body, in the end mark."""
    files = {**GOOD, "x" * 200: random.Random(1).randbytes(3000), "last": b"z" * 700}
    make = {"tar": tarred, "tar.gz": tar_gzipped}[kind]
    body = make(tmp_path / f"whole.{kind}", files).read_bytes()
    whole_at = body.index(b"z" * 700) + 1024 if kind == "tar" else len(body) - 8
    seen = set()
    for size in range(520, len(body), 256) if kind == "tar" else range(200, len(body), 97):
        path = tmp_path / f"cut.{kind}"
        path.write_bytes(body[:size])
        summary, source = source_of(path)
        found = [entry for entry in source.find(list(files)) if entry and entry.refused is None]
        assert [source.read(entry) for entry in found] == list(files.values())[: len(found)]
        scan = Scan()
        passed = []
        for entry, stream in in_order(Archive.at(path), scan):
            with suppress(MemberRefused):
                passed.append((entry.name, stream.read()))
        assert passed[: len(found)] == list(files.items())[: len(found)]
        seen.add(len(found))
        if size < whole_at:
            assert summary.cut is not None
            assert scan.cut is not None
    assert seen == ({0, 1, 2, 3, 4} if kind == "tar" else {1, 2})


def test_a_damaged_header_costs_its_member_alone(tmp_path):
    path = tarred(tmp_path / "a.tar", {"first": b"1" * 600, "hurt": b"2" * 600, **GOOD})
    body = bytearray(path.read_bytes())
    body[body.index(b"hurt") + 130] ^= 4
    path.write_bytes(body)
    assert refused_in(path) == {"(bytes 1,536 to 3,071)": "damaged_header"}
    assert still_good(path)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(body))
    assert refused_in(tmp_path / "a.tar.gz") == {"(bytes 1,536 to 3,071)": "damaged_header"}
    assert still_good(tmp_path / "a.tar.gz")


@pytest.mark.parametrize(
    "size_field",
    [b"%011o\0" % (1 << 30), b"\x80" + bytes(3) + (1 << 60).to_bytes(8, "big"), b"\x80" + b"\xff" * 11],
)
def test_a_size_beyond_the_tar_costs_its_member_alone(size_field, tmp_path):
    good = b"".join(tar_header(name.encode(), len(body)) + padded(body) for name, body in GOOD.items())
    (tmp_path / "a.tar").write_bytes(
        tar_header(b"lie", 0, size_field=size_field) + padded(b"x" * 100) + good + END
    )
    assert set(refused_in(tmp_path / "a.tar").values()) <= {"truncated", "damaged_header"}
    assert still_good(tmp_path / "a.tar")


@pytest.mark.parametrize("size_field", [b"\xff" * 12, b"notanumber\0\0", b"-0000000001\0"])
def test_a_size_that_is_none_costs_its_member_alone(size_field, tmp_path):
    good = b"".join(tar_header(name.encode(), len(body)) + padded(body) for name, body in GOOD.items())
    (tmp_path / "a.tar").write_bytes(tar_header(b"lie", 0, size_field=size_field) + good + END)
    assert list(refused_in(tmp_path / "a.tar").values()) == ["damaged_header"]
    assert still_good(tmp_path / "a.tar")


def test_old_tars_and_names_in_two_fields(tmp_path):
    path = tmp_path / "a.tar"
    two = bytearray(tar_header(b"name.jpg", 1))
    two[345:352] = b"in/here"
    two[148:156] = b" " * 8
    two[148:156] = b"%06o\0 " % sum(two)
    path.write_bytes(
        tar_header(b"old.jpg", 3, b"\0", magic=bytes(8))
        + padded(b"old")
        + tar_header(b"folder/", 0, b"\0", magic=bytes(8))
        + bytes(two)
        + padded(b"2")
        + END
    )
    summary, source = source_of(path)
    assert (summary.members, summary.refused) == (2, {})
    assert [source.read(entry) for entry in source.find(["old.jpg", "in/here/name.jpg"])] == [b"old", b"2"]


def test_what_follows_the_end_of_a_tar_is_noted(tmp_path):
    body = tarred(tmp_path / "a.tar", GOOD).read_bytes()
    (tmp_path / "a.tar").write_bytes(body * 2)
    assert "there is more, which is not read" in source_of(tmp_path / "a.tar")[0].notes[0]
    (tmp_path / "a.tar").write_bytes(body + bytes(2 << 20))
    assert "nothing but zeros" in source_of(tmp_path / "a.tar")[0].cut
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(body) + b"a signature")
    summary, _ = source_of(tmp_path / "a.tar.gz")
    assert summary.cut is None
    assert "behind the end of the tar" in summary.notes[0]
    assert still_good(tmp_path / "a.tar.gz")


def test_a_gzip_stream_of_several_is_read_whole(tmp_path):
    body = tarred(tmp_path / "a.tar", GOOD).read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(
        gzip.compress(body[:700]) + gzip.compress(b"") * 1000 + gzip.compress(body[700:]) + bytes(100)
    )
    summary, _ = source_of(tmp_path / "a.tar.gz")
    assert (summary.members, summary.cut) == (2, None)
    assert still_good(tmp_path / "a.tar.gz")


def test_a_damaged_gzip_stream_is_told(tmp_path):
    body = bytearray(tar_gzipped(tmp_path / "a.tar.gz", GOOD).read_bytes())
    body[-6] ^= 1
    (tmp_path / "a.tar.gz").write_bytes(body)
    summary, _ = source_of(tmp_path / "a.tar.gz")
    assert "incorrect data check" in summary.cut


def test_of_a_damaged_gzip_stream_all_is_read_that_stands_before_the_damage(tmp_path):
    draw = random.Random(3)
    files = {f"{n:03d}.txt": bytes(draw.choices(b"abcd", k=2_000)) for n in range(100)}
    path = tar_gzipped(tmp_path / "a.tar.gz", files)
    body = bytearray(path.read_bytes())
    middle = len(body) // 2
    before_bytes = len(zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(body[:middle]))
    body[middle:] = draw.randbytes(len(body) - middle)
    path.write_bytes(body)
    summary, source = source_of(path)
    assert summary.cut is not None
    names = list(files)[: before_bytes // (512 + 2_048)]
    assert len(names) > 40
    assert [source.read(entry) for entry in source.find(names)] == [files[name] for name in names]


def test_what_was_damaged_after_it_was_indexed_is_not_read(tmp_path):
    files = {"a": random.Random(1).randbytes(50_000), "b": b"b" * 50_000}
    for make, name in [(zipped, "a.zip"), (tar_gzipped, "a.tar.gz")]:
        path = make(tmp_path / name, files)
        _, source = source_of(path)
        body = bytearray(path.read_bytes())
        body[20_000] ^= 1
        path.write_bytes(body)
        with pytest.raises(MemberRefused):
            source.read(source.find(["a"])[0])


def test_damage_behind_a_member_does_not_cost_it(tmp_path):
    """More of a tar.gz is unpacked than asked for, where members are read in order."""
    files = {f"{i}": random.Random(i).randbytes(200_000) for i in range(10)}
    path = tar_gzipped(tmp_path / "a.tar.gz", files)
    _, source = source_of(path)
    body = bytearray(path.read_bytes())
    body[-700_000:] = bytes(700_000)
    path.write_bytes(body)
    read = []
    for name, entry in zip(files, source.find(list(files)), strict=True):
        with suppress(MemberRefused):
            assert source.read(entry) == files[name]
            read.append(name)
    assert read == list("012345")


def test_members_of_a_damaged_stream_are_read_in_any_order(tmp_path):
    files = {f"{i}": random.Random(i).randbytes(50_000) for i in range(6)}
    body = tar_gzipped(tmp_path / "a.tar.gz", files).read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(body[:-20_000])
    summary, source = source_of(tmp_path / "a.tar.gz")
    assert summary.members == 5
    assert summary.refused == {"truncated": 1}
    for name in "4021313":
        assert source.read(source.find([name])[0]) == files[name]


def test_links_and_special_files_of_a_folder(tmp_path):
    root = foldered(tmp_path / "root", GOOD)
    outside = foldered(tmp_path / "outside", {"secret": b"s"})
    (root / "inside.jpg").symlink_to("sub/good.png")
    (root / "out").symlink_to(outside / "secret")
    (root / "outside").symlink_to(outside)
    (root / "again").symlink_to("sub")
    (root / "loop").symlink_to("loop")
    (root / "dead").symlink_to("nothing")
    os.mkfifo(root / "fifo")
    refused = refused_in(root)
    assert refused == {
        "out": "link",
        "outside": "link",
        "again": "link",
        "loop": refused["loop"],
        "dead": "unreadable",
        "fifo": "device",
    }
    _, source = source_of(root)
    assert still_good(root)
    assert source.read(source.find(["inside.jpg"])[0]) == b"another"


def test_a_link_put_in_the_way_after_indexing_is_not_followed(tmp_path):
    root = foldered(tmp_path / "root", {"a/b.jpg": b"12345", "c.jpg": b"12345", "d.jpg": b"12345"})
    outside = foldered(tmp_path / "outside", {"b.jpg": b"s3cret"[:5]})
    _, source = source_of(root)
    found = source.find(["a/b.jpg", "c.jpg", "d.jpg"])
    (root / "a" / "b.jpg").unlink()
    (root / "a").rmdir()
    (root / "a").symlink_to(outside)
    (root / "c.jpg").unlink()
    (root / "c.jpg").symlink_to(outside / "b.jpg")
    (root / "d.jpg").unlink()
    os.mkfifo(root / "d.jpg")
    for entry, why in zip(found, ["link", "link", "device"], strict=True):
        for look in (source.read, source.extent):
            with pytest.raises(MemberRefused) as told:
                look(entry)
            assert told.value.refusal == why


def test_a_refused_member_costs_no_pass(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as out:
        put(out, "../up", b"x" * 1000)
        put(out, "link", type=tarfile.SYMTYPE)
        put(out, "good", b"1")
    got = [
        (entry.name, entry.refused, stream.read())
        for entry, stream in in_order(Archive.at(tmp_path / "a.tar"), Scan())
    ]
    assert got == [("../up", Refusal.PARENT, b""), ("link", Refusal.LINK, b""), ("good", None, b"1")]


def damaged(body: bytes, chance: random.Random) -> bytes:
    out = bytearray(body)
    for _ in range(chance.choice([1, 1, 2, 8, 40])):
        at = chance.randrange(len(out))
        how = chance.randrange(6)
        if how == 0:
            out[at] ^= 1 << chance.randrange(8)
        elif how == 1:
            out[at : at + 4] = chance.choice(
                [b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"PK\1\2", b"PK\5\6"]
            )
        elif how == 2:
            del out[at : at + chance.randrange(1, 2000)]
        elif how == 3:
            out[at:at] = chance.randbytes(chance.randrange(1, 600))
        elif how == 4:
            out[at : at + 512] = chance.choice([bytes(512), b"7" * 512, bytes(out[:512])])
        else:
            del out[max(1, at) :]
        if not out:
            return b"\0"
    return bytes(out)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zip", "stored.zip", "tar", "pax.tar", "tar.gz"])
def test_damage_of_any_kind_is_borne(kind, tmp_path):
    """No error that is not ours, no hang, no memory; and what is read is what was put in, but in an unchecked tar."""
    import tracemalloc

    from test_kinds import FILES, KINDS

    files = {**FILES, **{f"many/{i:03}": b"%d" % i * 50 for i in range(40)}}
    body = KINDS[kind](tmp_path / f"whole.{kind}", files).read_bytes()
    chance = random.Random(kind)
    tracemalloc.start()
    read = 0
    for number in range(300):
        path = tmp_path / f"{number}.{kind}"
        path.write_bytes(damaged(body, chance))
        try:
            _, one = indexed(path, at=tmp_path / "index")
        except DamagedSource:
            continue
        source = ArchiveSource([one])
        entries = [*one.index.entries(), *filter(None, source.find(list(files)))]
        for entry in entries:
            try:
                got = source.read(entry, 1 << 20)
            except MemberRefused:
                continue
            if "tar" not in kind or kind == "tar.gz":
                read += got == files.get(entry.name, got)
                assert kind == "tar.gz" or entry.name not in files or got == files[entry.name]
        for _, stream in in_order(Archive.at(path), Scan()):
            try:
                while stream.read(1 << 16):
                    pass
            except MemberRefused:
                continue
        path.unlink()
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()
