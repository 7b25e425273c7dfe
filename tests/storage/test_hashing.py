import hashlib
import io
import os

import pytest

from gristmill.storage.files import whole_file
from gristmill.storage.hashing import HashingStream


class Full(io.BytesIO):
    """A disk with room for so many bytes."""

    room_bytes = 2 << 20

    def write(self, body) -> int:
        if self.tell() + len(body) > self.room_bytes:
            raise OSError(28, "No space left on device")
        return super().write(body)


@pytest.mark.parametrize("sizes", [[], [0], [5], [3 << 20], [1 << 20] * 3, [70_001] * 60, [1, 4 << 20, 1]])
def test_all_is_passed_on_in_order_and_hashed(sizes):
    bodies = [bytes([n % 251]) * size for n, size in enumerate(sizes)]
    target = io.BytesIO()
    with HashingStream(target) as stream:
        assert [stream.write(body) for body in bodies] == sizes
    whole = b"".join(bodies)
    assert target.getvalue() == whole
    assert (stream.size, stream.hexdigest()) == (len(whole), hashlib.sha256(whole).hexdigest())


def test_a_large_file_is_synced_on_the_way(tmp_path, monkeypatch):
    sizes, fsync = [], os.fsync

    def noted(fd: int) -> None:
        sizes.append(os.fstat(fd).st_size)
        fsync(fd)

    monkeypatch.setattr("gristmill.storage.hashing._SYNCED_BYTES", 4 << 20)
    monkeypatch.setattr(os, "fsync", noted)
    with (tmp_path / "00000.tar").open("wb") as file, HashingStream(file) as stream:
        for _ in range(10):
            stream.write(bytes(1 << 20))
    assert sizes == [4 << 20, 8 << 20]


@pytest.mark.parametrize("writes", [3, 30])  # found at the end, and while more is to be written
def test_a_full_disk_is_said_and_leaves_no_file(tmp_path, writes):
    def write() -> None:
        with whole_file(tmp_path / "00000.tar"), HashingStream(Full()) as stream:
            for _ in range(writes):
                stream.write(bytes(1 << 20))

    with pytest.raises(OSError, match="No space left"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_who_writes_fails_and_the_rest_is_not_written():
    target = io.BytesIO()

    def write() -> None:
        with HashingStream(target) as stream:
            stream.write(b"begun")
            raise ValueError("theirs")

    with pytest.raises(ValueError, match="theirs"):
        write()
    assert target.getvalue() == b""
