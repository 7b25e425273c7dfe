import errno
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.shards.spool import SpoolReader, SpoolWriter, read_spool
from gristmill.spec.body import FileBody
from gristmill.spec.errors import DamagedOutput, DamagedSource

FRAMES = [(b"one", b"body of one"), (b"", b""), (b"three", None), (b"four" * 9, bytes(range(256)))]

frames = st.lists(st.tuples(st.binary(max_size=40), st.none() | st.binary(max_size=200)), max_size=8)


def write(path: Path, frames: list[tuple[bytes, bytes | None]]) -> list[int]:
    """Fill a spool; returns where each frame ends."""
    ends = []
    with SpoolWriter(path) as spool:
        for header, body in frames:
            entry = spool.append(header, body)
            ends.append(entry.offset + entry.size)
    return ends


def contents(path: Path) -> list[tuple[bytes, bytes]]:
    with SpoolReader(path) as reader:
        return [(e.header, reader.body(e.offset, e.size, e.crc32)) for e in read_spool(path)]


@given(frames=frames, again=frames)
def test_what_was_appended_is_read_back_across_reopening(tmp_path, frames, again):
    path = tmp_path / "spool"
    path.unlink(missing_ok=True)
    write(path, frames)
    write(path, again)
    assert contents(path) == [(header, body or b"") for header, body in frames + again]
    with SpoolWriter(path) as spool:
        assert spool.entries == list(read_spool(path)) == list(read_spool(path, check_bodies=False))


def test_cut_at_every_byte_keeps_the_whole_frames_and_can_go_on(tmp_path):
    path = tmp_path / "spool"
    ends = write(path, FRAMES)
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends)
        if cut not in {0, *ends}:
            with pytest.raises(DamagedOutput, match=f"damaged from byte {[0, *ends][kept]} of {cut}"):
                list(read_spool(path))
        assert len(list(read_spool(path, finished=False))) == kept
        with SpoolWriter(path) as spool:
            assert [e.header for e in spool.entries] == [header for header, _ in FRAMES[:kept]]
            for header, body in FRAMES[kept:]:
                spool.append(header, body)
        assert path.read_bytes() == whole


def test_a_changed_byte_anywhere_ends_the_log_before_its_frame(tmp_path):
    path = tmp_path / "spool"
    ends = write(path, FRAMES)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with SpoolWriter(path) as spool:
            assert len(spool.entries) == sum(end <= at for end in ends)


def test_zeros_behind_the_end_as_after_a_power_cut(tmp_path):
    path = tmp_path / "spool"
    write(path, FRAMES)
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(8192))
    with SpoolWriter(path) as spool:
        assert len(spool.entries) == len(FRAMES)
    assert path.read_bytes() == whole


def test_lengths_from_noise_do_not_allocate(tmp_path):
    path = tmp_path / "spool"
    path.write_bytes(b"GSP1" + b"\xff" * 60)
    with SpoolWriter(path) as spool:
        assert spool.entries == []


def test_large_body_by_portions(tmp_path):
    path = tmp_path / "spool"
    body = random.Random(5).randbytes(3_500_000)
    write(path, [(b"h", body), (b"i", body[:7])])
    assert contents(path) == [(b"h", body), (b"i", body[:7])]


def test_portions_that_the_kernel_takes(tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    write(whole, FRAMES)
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwritev", lambda fd, parts, at: pwrite(fd, parts[0][:3], at))
    monkeypatch.setattr(os, "pwrite", lambda fd, part, at: pwrite(fd, part[:5], at))
    write(tmp_path / "spool", FRAMES)
    assert (tmp_path / "spool").read_bytes() == whole.read_bytes()


def test_full_disk_leaves_whole_frames(tmp_path, monkeypatch):
    path = tmp_path / "spool"
    pwritev, pwrite = os.pwritev, os.pwrite

    def full(fd, part, at):
        raise OSError(errno.ENOSPC, "No space left on device")

    with SpoolWriter(path) as spool:
        spool.append(b"a", b"first")
        before = path.read_bytes()
        monkeypatch.setattr(os, "pwritev", lambda fd, parts, at: pwrite(fd, b"GSP1 half", at))
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            spool.append(b"b", b"second")
        assert path.read_bytes() == before
        monkeypatch.setattr(os, "pwritev", pwritev)
        spool.append(b"c", b"third")
    assert contents(path) == [(b"a", b"first"), (b"c", b"third")]


def test_reader_says_what_is_missing(tmp_path):
    path = tmp_path / "spool"
    write(path, FRAMES)
    first = next(read_spool(path))
    size = path.stat().st_size
    with SpoolReader(path) as reader:
        with pytest.raises(DamagedOutput, match="ends 1 bytes short"):
            reader.body(size - 9, 10)
        with pytest.raises(DamagedOutput, match="not what was written"):
            reader.body(first.offset, first.size, first.crc32 ^ 1)


def test_appended_is_with_the_kernel_when_append_returns(tmp_path):
    path = tmp_path / "spool"
    pid = os.fork()
    if pid == 0:
        spool = SpoolWriter(path)
        spool.append(b"h", b"kept")
        os._exit(9)  # nothing is flushed or closed, as after kill -9
    os.waitpid(pid, 0)
    assert contents(path) == [(b"h", b"kept")]


def test_a_large_body_is_written_by_pieces_and_half_of_it_is_no_frame(tmp_path):
    path, source = tmp_path / "spool", tmp_path / "source"
    body = random.Random(1).randbytes(3_000_000)
    source.write_bytes(b"before" + body)
    write(path, [(b"first", b"small")])
    with SpoolWriter(path) as spool:
        with pytest.raises(DamagedSource, match="ends 1,000 bytes short"):
            spool.append(b"cut", FileBody(path=source, offset=6, size_bytes=len(body) + 1000))
        assert path.stat().st_size == spool.entries[0].offset + spool.entries[0].size
        entry = spool.append(b"large", FileBody(path=source, offset=6, size_bytes=len(body)))
        spool.append(b"last", b"one")
    assert contents(path) == [(b"first", b"small"), (b"large", body), (b"last", b"one")]
    whole = path.read_bytes()
    with SpoolReader(path) as reader:
        assert b"".join(reader.pieces(entry.offset, entry.size, entry.crc32)) == body
        path.write_bytes(whole[: entry.offset + 9] + b"x" + whole[entry.offset + 10 :])
        with pytest.raises(DamagedOutput, match="is not what was written"):
            list(reader.pieces(entry.offset, entry.size, entry.crc32))
    # killed while the body was written: its head is not there yet
    head = entry.offset - 5 - 24
    path.write_bytes(whole[:head] + bytes(entry.offset - head) + whole[entry.offset : entry.offset + 1000])
    with SpoolWriter(path) as spool:
        assert [e.header for e in spool.entries] == [b"first"]
