import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webdataset import tariterators

from gristmill.shards.webdataset import ShardSample, TarWriter, read_samples
from gristmill.spec.errors import DamagedOutput

keys = st.text("abcXYZ019_-", min_size=1, max_size=20)
part_names = st.sampled_from(["jpg", "000.jpg", "001.jpg", "txt", "json", "mp4"])
samples = st.lists(
    st.tuples(keys, st.dictionaries(part_names, st.binary(max_size=1200), min_size=1, max_size=4)),
    max_size=6,
    unique_by=lambda sample: sample[0],
)


def tar(samples: list[tuple[str, dict[str, bytes]]]) -> bytes:
    stream = io.BytesIO()
    writer = TarWriter(stream)
    for key, parts in samples:
        for part, body in parts.items():
            writer.add(f"{key}.{part}", body)
    writer.close()
    assert writer.bytes_written == len(stream.getvalue())
    return stream.getvalue()


def stdlib_tar(members: list[tuple[str, bytes]], **facts) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=facts.pop("format", tarfile.USTAR_FORMAT)) as out:
        for name, body in members:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            for fact, value in facts.items():
                setattr(info, fact, value)
            out.addfile(info, io.BytesIO(body))
    return stream.getvalue()


ONE = [("000", {"jpg": b"p" * 600, "txt": b"a cat"}), ("001", {"jpg": b"q" * 512, "txt": b""})]


@given(samples=samples)
def test_same_bytes_as_the_standard_library_and_read_back(tmp_path, samples):
    path = tmp_path / "s.tar"
    path.write_bytes(tar(samples))
    flat = [(f"{key}.{part}", body) for key, parts in samples for part, body in parts.items()]
    assert path.read_bytes() == stdlib_tar(flat)
    assert [(s.key, s.parts) for s in read_samples(path)] == samples


def test_offsets_point_at_first_headers(tmp_path):
    path = tmp_path / "s.tar"
    path.write_bytes(tar(ONE))
    with tarfile.open(path) as members:
        offsets = [m.offset for m in members if m.name.endswith(".jpg")]
    assert [s.offset for s in read_samples(path)] == offsets


def test_webdataset_itself_reads_it(tmp_path):
    path = tmp_path / "00000.tar"
    path.write_bytes(tar(ONE))
    with path.open("rb") as stream:  # its own opener leaves the file to the garbage collector
        members = tariterators.tar_file_expander([{"url": str(path), "stream": stream}])
        read = [(s["__key__"], s["jpg"], s["txt"]) for s in tariterators.group_by_keys(members)]
    assert read == [(key, parts["jpg"], parts["txt"]) for key, parts in ONE]


@pytest.mark.parametrize(
    "name",
    ["", "nodot", ".jpg", "a.", "/a.jpg", "../a.jpg", "a/../b.jpg", "ä.jpg", "a\n.jpg", "a.b/", "d/.jpg",
     "k" * 97 + ".jpg"],
)  # fmt: skip
def test_names_that_not_every_reader_understands_are_refused(name):
    with pytest.raises(ValueError, match="member name"):
        TarWriter(io.BytesIO()).add(name, b"")


def test_longest_name(tmp_path):
    path = tmp_path / "s.tar"
    path.write_bytes(tar([("k" * 96, {"jpg": b"x"})]))
    assert list(read_samples(path)) == [ShardSample("k" * 96, 0, {"jpg": b"x"})]
    with tarfile.open(path) as members:
        assert members.getnames() == ["k" * 96 + ".jpg"]


def read_damaged(path: Path, body: bytes, match: str, **limits) -> list[str]:
    """Keys given out before the damage is said."""
    path.write_bytes(body)
    got: list[str] = []
    with pytest.raises(DamagedOutput, match=match) as caught:
        got.extend(s.key for s in read_samples(path, **limits))
    assert str(path) in str(caught.value)
    return got


def test_cut_at_every_block(tmp_path):
    whole = tar(ONE)
    data_blocks = 4 + 2 + 1 + 1  # headers, then bodies of 600, 5 and 512 bytes
    for cut in range(0, (data_blocks + 2) * 512, 512):
        read_damaged(tmp_path / "s.tar", whole[:cut], "byte ")
    for cut in (1, 100, 700, 1500):
        read_damaged(tmp_path / "s.tar", whole[:cut], "cut off")


def test_cut_between_samples_is_noticed(tmp_path):
    whole = tar(ONE)
    second = 512 + 1024 + 512 + 512
    assert read_damaged(tmp_path / "s.tar", whole[:second], f"byte {second}: cut off") == []


def test_changed_bytes(tmp_path):
    path = tmp_path / "s.tar"
    whole = tar(ONE)
    for at in range(512):
        changed = bytearray(whole)
        changed[at] ^= 1
        read_damaged(path, bytes(changed), "byte 0: ")
    padding = bytearray(whole)
    padding[512 + 601] = 1
    read_damaged(path, bytes(padding), "padding")
    read_damaged(path, whole + b"\0" * 5 + b"more", "behind the end mark")
    read_damaged(path, whole[: 512 * 8] + bytes(512) + whole, "half an end mark")


def test_twice_the_same_part(tmp_path):
    body = stdlib_tar([("a.jpg", b"1"), ("b.jpg", b"2"), ("b.jpg", b"3")])
    assert read_damaged(tmp_path / "s.tar", body, r"byte 2048: sample 'b' has part 'jpg' twice") == ["a"]


def test_too_large_members(tmp_path):
    read_damaged(tmp_path / "s.tar", tar(ONE), "600 bytes is too large", max_member_bytes=599)
    huge = bytearray(stdlib_tar([("a.jpg", b"1")]))
    huge[124:136] = b"77777777777\0"
    total = sum(huge[:512]) - sum(huge[148:156]) + 8 * 32
    huge[148:156] = b"%06o\0 " % total
    read_damaged(tmp_path / "s.tar", bytes(huge), "too large")


@pytest.mark.parametrize(
    ("members", "facts"),
    [
        ([("a.jpg", b"")], {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
        ([("a.jpg", b"")], {"type": tarfile.DIRTYPE}),
        ([("d" * 90 + "/" + "k" * 20 + ".jpg", b"x")], {}),
        ([("k" * 120 + ".jpg", b"x")], {"format": tarfile.GNU_FORMAT}),
        ([("k" * 120 + ".jpg", b"x")], {"format": tarfile.PAX_FORMAT}),
        ([("nodot", b"x")], {}),
        ([("../../x.jpg", b"x")], {}),
        ([("/x.jpg", b"x")], {}),
    ],
)
def test_foreign_members_are_refused(tmp_path, members, facts):
    read_damaged(tmp_path / "s.tar", stdlib_tar(members, **facts), "byte 0: ")


def test_member_of_8_gib_is_refused_before_anything_is_written():
    class Huge(bytes):
        def __len__(self):
            return 8**11

    stream = io.BytesIO()
    with pytest.raises(ValueError, match="more than a tar member can hold"):
        TarWriter(stream).add("a.mp4", Huge())
    assert stream.getvalue() == b""
