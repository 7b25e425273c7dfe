"""Samples of a shard as ranges of bytes: found in one pass, moved as they are, renamed where they must be.

The members of a sample stand next to each other, and :mod:`gristmill.shards.webdataset` writes headers that
depend on nothing but names and sizes. So the bytes from a sample's first header to its last padding are a whole
sample in any shard, and a shard is nothing but such ranges and an end mark.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gristmill.shards.lossless import dumps, loads
from gristmill.shards.webdataset import MAX_NAME_BYTES, TarWriter, read_stream
from gristmill.spec.errors import DamagedOutput

__all__ = ["EXTENT", "find_extents", "key_at", "key_hash", "renamed"]

_BLOCK_BYTES = 512
_CHUNK_BYTES = 4 << 20
_SEALS = frozenset({b"ustar\x0000", b"ustar  \0"})

EXTENT = np.dtype([("offset", "<i8"), ("size", "<i8"), ("crc32", "<u4"), ("key", "<u8")])
"""A sample: where its bytes begin, how many there are, their CRC-32, and a hash of its key."""

Extents = np.ndarray[tuple[int], np.dtype[np.void]]


def key_hash(key: bytes) -> int:
    """64 bits that stand for a key where only equality matters."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")


def key_at(path: Path, offset: int) -> str:
    """The key of the sample whose bytes begin at ``offset``."""
    with path.open("rb") as stream:
        stream.seek(offset)
        name = stream.read(MAX_NAME_BYTES).partition(b"\0")[0]
    return name[: name.find(b".", name.rfind(b"/") + 1)].decode("ascii", "replace")


def find_extents(
    path: Path, digest: str, tell: Callable[[int], None] = lambda samples: None, prefix: str = ""
) -> Extents:
    """The samples of a shard, in order, as an array of :data:`EXTENT`; memory does not depend on their bodies.

    Args:
        path: A shard.
        digest: SHA-256 that all of it must have; a shard that has it was whole when it was written.
        tell: Called now and then with the number of samples found.
        prefix: Will stand before each key; part of what is hashed.

    Raises:
        DamagedOutput: Its bytes have another digest, or are not a tar of samples.
        OSError: As the system says.
    """
    scan = _Scan(path, prefix.encode())
    seen = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        buffer = bytearray(_CHUNK_BYTES)
        while got := _fill(stream, buffer):
            chunk = bytes(buffer) if got == _CHUNK_BYTES else bytes(buffer[:got])
            seen.update(chunk)
            scan.feed(chunk)
            tell(scan.found)
    if seen.hexdigest() != digest:
        raise DamagedOutput(
            f"{path} is not what was written: its SHA-256 is not {digest[:16]}...\n"
            "Make it anew: gristmill verify --repair on its dataset, then that dataset's run."
        )
    return scan.finish()


def _fill(stream: io.RawIOBase | io.FileIO, buffer: bytearray) -> int:
    """Fill the buffer as far as the file goes; the kernel may give less than it was asked for."""
    got = 0
    view = memoryview(buffer)
    while got < len(buffer) and (more := stream.readinto(view[got:])):
        got += more
    return got


class _Scan:
    """Finds samples in chunks that are whole multiples of a block; bodies are only passed over."""

    def __init__(self, path: Path, prefix: bytes) -> None:
        self._path, self._prefix = path, prefix
        self.found = 0
        self._rows: list[tuple[int, int, int, int]] = []
        self._blocks: list[Extents] = []  # of the rows before: tuples take six times as much memory
        self._base = 0  # of the chunk in the file
        self._next = 0  # where the next header stands in the file
        self._begin = 0  # where the sample under way begins
        self._crc = 0  # of its bytes so far
        self._stem = b""  # its key and the dot behind it
        self._ended = False

    def feed(self, chunk: bytes) -> None:
        """Go through the next chunk."""
        view, base, end = memoryview(chunk), self._base, self._base + len(chunk)
        done = base  # up to here bytes are part of a CRC
        while self._next + _BLOCK_BYTES <= end and not self._ended:
            at = self._next - base
            if chunk.startswith(self._stem, at) and self._stem:
                pass  # one more member of the same sample
            elif chunk[at] == 0:
                self._crc = zlib.crc32(view[done - base : at], self._crc)
                self._close(self._next)
                self._ended = True
                break
            else:
                self._crc = zlib.crc32(view[done - base : at], self._crc)
                self._close(self._next)
                done = self._next
                self._stem = self._stem_at(chunk, at)
            self._next += _BLOCK_BYTES + self._padded_size(chunk, at)
        if not self._ended:
            self._crc = zlib.crc32(view[done - base :], self._crc)
        self._base = end
        self._pack_rows()

    def _pack_rows(self) -> None:
        self._blocks.append(np.array(self._rows, dtype=EXTENT))
        self._rows.clear()

    def _close(self, end: int) -> None:
        if self._stem:
            self._rows.append(
                (self._begin, end - self._begin, self._crc, key_hash(self._prefix + self._stem[:-1]))
            )
            self.found += 1
        self._begin, self._crc = end, 0

    def _stem_at(self, chunk: bytes, at: int) -> bytes:
        name = chunk[at : chunk.find(b"\0", at, at + 101)]
        dot = name.find(b".", name.rfind(b"/") + 1)
        if chunk[at + 257 : at + 265] not in _SEALS or dot < 1:
            raise DamagedOutput(f"{self._path}: byte {self._base + at}: not a member KEY.PART.")
        return name[: dot + 1]

    def _padded_size(self, chunk: bytes, at: int) -> int:
        digits = chunk[at + 124 : at + 135]
        if not digits.isdigit() or chunk[at + 156] not in b"0\0":
            raise DamagedOutput(f"{self._path}: byte {self._base + at}: not a plain member.")
        size = int(digits, 8)
        return size + -size % _BLOCK_BYTES

    def finish(self) -> Extents:
        """All samples.

        Raises:
            DamagedOutput: There was no end mark.
        """
        if not self._ended:
            raise DamagedOutput(f"{self._path}: cut off, there is no end mark.")
        self._pack_rows()
        return np.concatenate(self._blocks)


def renamed(extent: bytes, rename: Callable[[str], str]) -> bytes:
    """The same sample under another key, in its members' names and in its ``json`` part.

    Raises:
        DamagedOutput: Not a sample.
        ValueError: A name that no reader of shards understands.
    """
    out = io.BytesIO()
    tar = TarWriter(out)
    for key, part, body in _members(extent):
        new = rename(key)
        tar.add(f"{new}.{part}", _with_key(body, key, new) if part == "json" else body)
    return out.getvalue()


def _members(extent: bytes) -> Iterator[tuple[str, str, bytes]]:
    stream = io.BytesIO(extent + bytes(2 * _BLOCK_BYTES))
    for _, key, part, body in read_stream(stream, len(extent) + 2 * _BLOCK_BYTES, "a sample"):
        yield key, part, body


def _with_key(body: bytes, old: str, new: str) -> bytes:
    """``key`` stands first in what Gristmill writes, so that nothing need be parsed and written anew."""
    head = b'{"key":"%s"' % old.encode()
    if body.startswith(head):
        return b'{"key":"%s"' % new.encode() + body[len(head) :]
    return dumps({**loads(body), "key": new})
