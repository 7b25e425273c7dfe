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
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np

from gristmill.shards.lossless import dumps, loads
from gristmill.shards.webdataset import MAX_NAME_BYTES, TarWriter, member_bytes, member_pieces, read_stream
from gristmill.spec.body import Body, FileBody, bytes_of
from gristmill.spec.command import to_type
from gristmill.spec.errors import DamagedOutput
from gristmill.storage.store import StoredFile

__all__ = [
    "EXTENT",
    "LargeExtent",
    "find_extents",
    "key_at",
    "key_hash",
    "key_of",
    "parts_of",
    "renamed",
    "whole_again",
]

_BLOCK_BYTES = 512
_CHUNK_BYTES = 4 << 20
_NAME_BYTES = 100
_SEAL = np.frombuffer(b"ustar", np.uint8)
_POWERS = 8 ** np.arange(10, -1, -1, dtype=np.int64)
_HASH_START = np.uint64(0x9E3779B97F4A7C15)

EXTENT = np.dtype([("offset", "<i8"), ("size", "<i8"), ("crc32", "<u4"), ("key", "<u8")])
"""A sample: where its bytes begin, how many there are, their CRC-32, and a hash of its key."""

Extents = np.ndarray[tuple[int], np.dtype[np.void]]


def key_hash(key: bytes) -> int:
    """64 bits that stand for a key where only equality matters."""
    return int(_hashes(np.frombuffer(key, np.uint8)[None])[0])


def key_at(file: StoredFile, offset: int) -> str:
    """The key of the sample whose bytes begin at ``offset``."""
    return key_of(file.read(offset, MAX_NAME_BYTES)).decode("ascii", "replace")


def key_of(extent: bytes) -> bytes:
    """The key of a sample by its bytes in a shard."""
    name = extent[:MAX_NAME_BYTES].partition(b"\0")[0]
    return name[: name.find(b".", name.rfind(b"/") + 1)]


def find_extents(
    path: Path,
    digest: str,
    tell: Callable[[int], None] = lambda samples: None,
    prefix: str = "",
    called: str = "",
) -> Extents:
    """The samples of a shard, in order, as an array of :data:`EXTENT`; memory does not depend on their bodies.

    Args:
        path: A shard.
        digest: SHA-256 that all of it must have; a shard that has it was whole when it was written.
        tell: Called now and then with the number of samples found.
        prefix: Will stand before each key; part of what is hashed.
        called: What a person calls the shard, where it is not its path.

    Raises:
        DamagedOutput: Its bytes have another digest, or are not a tar of samples.
        OSError: As the system says.
    """
    called = called or str(path)
    scan = _Scan(called, prefix.encode())
    seen = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while chunk := _chunk(stream):
            seen.update(chunk)
            scan.feed(chunk)
            tell(scan.found)
    if seen.hexdigest() != digest:
        raise DamagedOutput(
            f"{called} is not what was written: its SHA-256 is not {digest[:16]}...\n{whole_again(called)}"
        )
    return scan.finish()


def whole_again(path: Path | str) -> str:
    """Say how a shard that is not what it was is made anew, in a sentence; nothing of what is no dataset's shard."""
    dataset, _, kind = str(path).rpartition("/")[0].rpartition("/")
    if kind not in ("shards", "references"):
        return ""
    return f"Make it anew: {to_type('verify', dataset or '.', '--repair')}, then the command that made it."


def _chunk(stream: io.FileIO) -> bytes:
    """The next chunk, whole unless the file ends; the kernel may give less than it was asked for."""
    chunk = stream.read(_CHUNK_BYTES)
    while chunk and len(chunk) < _CHUNK_BYTES and (more := stream.read(_CHUNK_BYTES - len(chunk))):
        chunk += more
    return chunk


class _Scan:
    """Finds samples in chunks that are whole multiples of a block; bodies are only passed over.

    A chunk's headers are read as columns: a Python step for each would cost more than all the rest.
    """

    def __init__(self, path: str, prefix: bytes) -> None:
        self._path, self._prefix = path, np.frombuffer(prefix, np.uint8)
        self.found = 0
        self._rows: list[Extents] = []
        self._base = 0  # of the chunk in the file
        self._next = 0  # where the next header stands in the file
        self._open: tuple[int, int, int] | None = None  # of the last sample: where it begins, CRC so far, key
        self._stem = np.zeros(_NAME_BYTES, np.uint8)  # its key and the dot behind it
        self._ended = False

    def feed(self, chunk: bytes) -> None:
        """Go through the next chunk."""
        heads = np.empty(0, np.int64) if self._ended else self._heads(chunk)
        ends_at = self._next - self._base if self._ended_in(chunk) else len(chunk)
        names = _fields(chunk, 0, _NAME_BYTES)[heads]
        stems = names * (np.arange(_NAME_BYTES) <= self._dots(names, heads)[:, None])
        before = np.concatenate([self._stem[None], stems[:-1]])[: len(stems)]
        first = np.flatnonzero((stems != before).any(axis=1))
        self._cut(memoryview(chunk)[:ends_at], heads[first] * _BLOCK_BYTES, self._keys(stems[first]))
        if len(stems):
            self._stem = stems[-1].copy()
        self._base += len(chunk)

    def _heads(self, chunk: bytes) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Blocks of the chunk that are headers: from one to the next by the sizes in them."""
        start = (self._next - self._base) // _BLOCK_BYTES
        blocks = len(chunk) // _BLOCK_BYTES
        heads = np.flatnonzero((_fields(chunk, 257, 5) == _SEAL).all(axis=1))
        heads = heads[np.searchsorted(heads, start) :]
        digits = _fields(chunk, 124, 11)[heads] - ord("0")  # unsigned: what stands before 0 becomes large
        types = _fields(chunk, 156, 1)[heads, 0]
        plain = (digits < 8).all(axis=1) & ((types == ord("0")) | (types == 0))
        follow = heads + 1 + -(-(digits.astype(np.int64) @ _POWERS) // _BLOCK_BYTES)
        if len(heads) and (heads[0] != start or (follow[:-1] != heads[1:]).any() or not plain.all()):
            heads, follow = self._chain(start, blocks, heads, follow, plain)
        if len(heads):
            self._next = self._base + int(follow[-1]) * _BLOCK_BYTES
        return heads

    def _chain(self, start: int, blocks: int, heads: Any, follow: Any, plain: Any) -> tuple[Any, Any]:
        """The same where a body looks like a header, as a tar within a tar does."""
        place = {int(head): i for i, head in enumerate(heads)}
        taken, at = [], start
        while at < blocks and at in place:
            i = place[at]
            if not plain[i]:
                raise DamagedOutput(
                    f"{self._path}: byte {self._base + at * _BLOCK_BYTES}: not a plain member."
                )
            taken.append(i)
            at = int(follow[i])
        return heads[taken], follow[taken]

    def _ended_in(self, chunk: bytes) -> bool:
        """Whether the end mark is in this chunk or before it; anything else where a header must be is damage."""
        at = self._next - self._base
        if self._ended or at >= len(chunk):
            return self._ended
        if any(chunk[at : at + _BLOCK_BYTES]):
            raise DamagedOutput(f"{self._path}: byte {self._next}: not a member KEY.PART.")
        self._ended = True
        return True

    def _dots(self, names: Any, heads: Any) -> Any:
        """Where the key ends in each name: the first dot after the last slash."""
        after = np.where(
            (names == ord("/")).any(axis=1), _NAME_BYTES - (names[:, ::-1] == ord("/")).argmax(axis=1), 0
        )
        dotted = (names == ord(".")) & (np.arange(_NAME_BYTES) >= after[:, None])
        dots = dotted.argmax(axis=1)
        wrong = np.flatnonzero(~dotted.any(axis=1) | (dots == after))
        if len(wrong):
            at = self._base + int(heads[wrong[0]]) * _BLOCK_BYTES
            raise DamagedOutput(f"{self._path}: byte {at}: not a member KEY.PART.")
        return dots

    def _keys(self, stems: Any) -> list[int]:
        keys = stems.copy()
        keys[np.arange(len(keys)), _lengths(keys) - 1] = 0  # the dot
        prefix = np.broadcast_to(self._prefix, (len(keys), len(self._prefix)))
        hashes: list[int] = _hashes(np.concatenate([prefix, keys], axis=1)).tolist()
        return hashes

    def _cut(self, view: memoryview, firsts: Any, keys: list[int]) -> None:
        """Close samples at the first headers of the next ones, and the last at the end mark."""
        bounds = [0, *firsts.tolist(), len(view)]
        crcs = [zlib.crc32(view[a:b]) for a, b in pairwise(bounds[1:])]
        begins = (self._base + firsts).tolist()
        rows = list(zip(begins, crcs, keys, strict=True))
        if self._open is not None:
            begin, crc, key = self._open
            rows.insert(0, (begin, zlib.crc32(view[: bounds[1]], crc), key))
        ended = self._ended
        whole = rows if ended else rows[:-1]
        self._open = None if ended or not rows else rows[-1]
        if whole:
            self._add(whole, [begin for begin, _, _ in rows[1:]] + [self._base + len(view)] * ended)

    def _add(self, rows: list[tuple[int, int, int]], ends: list[int]) -> None:
        table = np.empty(len(rows), dtype=EXTENT)
        table["offset"], table["crc32"], table["key"] = zip(*rows, strict=True)
        table["size"] = np.asarray(ends) - table["offset"]
        self._rows.append(table)
        self.found += len(rows)

    def finish(self) -> Extents:
        """All samples.

        Raises:
            DamagedOutput: There was no end mark.
        """
        if not self._ended:
            raise DamagedOutput(f"{self._path}: cut off, there is no end mark.")
        return np.concatenate(self._rows) if self._rows else np.empty(0, dtype=EXTENT)


def _fields(chunk: bytes, offset: int, size: int) -> Any:
    """One field of every block, uint8, shape (blocks, size)."""
    shape = (len(chunk) // _BLOCK_BYTES, size)
    return np.ndarray(shape, np.uint8, chunk, offset, (_BLOCK_BYTES, 1))


def _lengths(rows: Any) -> Any:
    """Bytes before the zeros at the end of each row."""
    return rows.shape[1] - (rows[:, ::-1] != 0).argmax(axis=1)


def _hashes(keys: Any) -> Any:
    """64 bits of each row of bytes, whatever zeros stand at its end; the finaliser of SplitMix64, word by word."""
    words = np.zeros((len(keys), -(-keys.shape[1] // 8) * 8), np.uint8)
    words[:, : keys.shape[1]] = keys
    found = np.full(len(keys), _HASH_START, np.uint64)
    for word in words.view("<u8").T:
        mixed = found ^ word
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found = np.where(word == 0, found, mixed ^ (mixed >> np.uint64(31)))
    return found


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


@dataclass(frozen=True, slots=True)
class LargeExtent:
    """A sample of which large bodies are left where they lie; a :class:`gristmill.spec.body.LargeBody`.

    Attributes:
        members: Name and body of each member, in order.
    """

    members: tuple[tuple[str, Body], ...]

    @classmethod
    def at(cls, path: Path, offset: int, size: int) -> Self:
        """The sample in a range of a file, which :func:`find_extents` found; ``json`` alone is read.

        Raises:
            OSError: As the system says.
        """
        members: list[tuple[str, Body]] = []
        end = offset + size
        with path.open("rb", buffering=0) as stream:
            while offset < end:
                stream.seek(offset)
                head = stream.read(_BLOCK_BYTES)
                name = head[:_NAME_BYTES].partition(b"\0")[0].decode("ascii", "replace")
                body = FileBody(path=path, offset=offset + _BLOCK_BYTES, size_bytes=int(head[124:135], 8))
                members.append((name, bytes_of(body) if _part_of(name) == "json" else body))
                offset += member_bytes(body)
        return cls(tuple(members))

    @property
    def size_bytes(self) -> int:
        """See :class:`gristmill.spec.body.LargeBody`."""
        return sum(member_bytes(body) for _, body in self.members)

    def pieces(self) -> Iterator[bytes]:
        """See :class:`gristmill.spec.body.LargeBody`."""
        for name, body in self.members:
            yield from member_pieces(name, body)

    def renamed(self, rename: Callable[[str], str]) -> LargeExtent:
        """See :func:`renamed`."""
        members: list[tuple[str, Body]] = []
        for name, body in self.members:
            key, part = name.removesuffix(f".{_part_of(name)}"), _part_of(name)
            new = rename(key)
            changed = part == "json" and isinstance(body, bytes)
            members.append((f"{new}.{part}", _with_key(bytes_of(body), key, new) if changed else body))
        return LargeExtent(tuple(members))


def _part_of(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[2]


def parts_of(extent: bytes | LargeExtent) -> Iterator[tuple[str, Body]]:
    """Part names of a sample's members, and the body of its ``json``; that of another is not copied out.

    Its headers were looked at when it was found, and its bytes are those that were found.
    """
    if isinstance(extent, LargeExtent):
        yield from ((_part_of(name), body) for name, body in extent.members)
        return
    at = 0
    while at < len(extent):
        name = extent[at : at + _NAME_BYTES].partition(b"\0")[0].decode("ascii", "replace")
        start = at + _BLOCK_BYTES
        size = int(extent[at + 124 : at + 135], 8)
        part = _part_of(name)
        yield part, extent[start : start + size] if part == "json" else b""
        at = start + size + -size % _BLOCK_BYTES


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
