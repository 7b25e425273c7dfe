"""Reads samples of many files in the order of their places: a window at a time, and within it as they lie.

Memory is that of one window; a sample larger than that is a window of its own, and left where it lies. Each is
compared with the CRC-32 that was taken when its place was found. Of a file in an object store either these samples
are fetched, or all of it, where that is cheaper.
"""

from __future__ import annotations

import os
import secrets
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from operator import add
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

import numpy as np

from gristmill.shards.extents import LargeExtent, renamed, whole_again
from gristmill.spec.body import FileBody
from gristmill.spec.errors import DamagedPart, UsageError
from gristmill.storage.files import naming
from gristmill.storage.store import StoredFile

__all__ = ["Holder", "read_placed"]

_WINDOW_BYTES = 16 << 20
_WINDOW_SAMPLES = 4096
_OPEN_FILES = 128
_NEAR_BYTES = 16 << 10
_LEFT_S = 86400.0
"""A copy of a sample that is older was left by a process that was killed."""
_REQUEST_BYTES = 256 << 10
"""Counts a request as so many bytes: it takes 20 ms, ten go at once, and 100 MB come in a second (an estimate)."""
Array = Any
Extent = TypeVar("Extent", bytes, LargeExtent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A file that holds samples, and what stands around the keys of those that are read from it."""

    file: StoredFile
    prefix: str = ""
    suffix: str = ""


def read_placed(
    holders: Sequence[Holder], rows: Array, holder: Array, tell: Callable[[int], None] = lambda samples: None
) -> Iterator[list[bytes] | list[LargeExtent]]:
    """Read samples in the order of ``rows``, some at a time: for each its bytes in a shard, under its new key.

    A sample larger than a window comes by itself, and is read piece by piece by whoever takes it.

    Args:
        holders: The files.
        rows: Structured array with ``offset``, ``size``, ``crc32`` and ``copy``; the second copy of a sample (1) gets
            the key ``KEY-2``.
        holder: For each row the number of its file.
        tell: Called with the number of samples read so far.

    Raises:
        DamagedPart: A file does not hold what was found in it.
        UsageError: A key becomes too long.
        OSError: As the system says.
    """
    with _Files(holders, rows, holder) as files:
        for window in _windows(rows["size"]):
            tell(window.start)
            if rows["size"][window.start] > _WINDOW_BYTES:
                number, copy = int(holder[window.start]), int(rows["copy"][window.start])
                place = (int(rows[name][window.start]) for name in ("offset", "size", "crc32"))
                with files.large(number, *place) as sample:
                    yield [_under(sample, holders[number], copy)]
                continue
            found = _read(files, rows[window], holder[window])
            yield _renamed(holders, found, rows["copy"][window], holder[window])
    tell(len(rows))


def _read(files: _Files, rows: Array, holder: Array) -> list[bytes]:
    """The samples of one window, in its order."""
    by_file = np.lexsort((rows["offset"], holder))
    sizes, offsets, crcs = (rows[name][by_file].tolist() for name in ("size", "offset", "crc32"))
    read: list[bytes] = []
    bounds = np.flatnonzero(np.diff(holder[by_file], prepend=-1, append=-1)).tolist()
    for first, last in pairwise(bounds):
        number = int(holder[by_file[first]])
        read += files.read(number, sizes[first:last], offsets[first:last], crcs[first:last])
    found: list[bytes] = [b""] * len(rows)
    for i, body in zip(by_file.tolist(), read, strict=True):
        found[i] = body
    return found


def _renamed(holders: Sequence[Holder], extents: list[bytes], copies: Array, holder: Array) -> list[bytes]:
    if not copies.any() and not any(each.prefix or each.suffix for each in holders):
        return extents
    return [
        _under(extent, holders[number], copy)
        for extent, copy, number in zip(extents, copies.tolist(), holder.tolist(), strict=True)
    ]


def _under(extent: Extent, holder: Holder, copy: int) -> Extent:
    """A sample under its part's prefix, the second copy as ``KEY-2``."""
    suffix = holder.suffix + (f"-{copy + 1}" if copy else "")
    if not (holder.prefix or suffix):
        return extent

    def rename(key: str) -> str:
        return f"{holder.prefix}{key}{suffix}"

    try:
        return renamed(extent, rename) if isinstance(extent, bytes) else extent.renamed(rename)
    except ValueError as err:
        raise UsageError(f"{err}. Give that part a shorter prefix, or a weight of at most 1.") from err


def _windows(sizes: Array) -> Iterator[slice]:
    """Runs of samples that are read together: at least one, else at most so many and so many bytes."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + _WINDOW_BYTES, side="right"))
        stop = max(start + 1, min(stop, start + _WINDOW_SAMPLES, len(ends)))
        yield slice(start, stop)
        start = stop


def _changed(file: StoredFile, how: str) -> DamagedPart:
    return DamagedPart(f"{file} is {how}. {whole_again(str(file))}".rstrip())


_SHORTER = "shorter than when its samples were found"


class _Files:
    """Open files by number, not too many at once."""

    def __init__(self, holders: Sequence[Holder], rows: Array, holder: Array) -> None:
        self._holders, self._rows, self._holder = holders, rows, holder
        self._open: OrderedDict[int, BinaryIO] = OrderedDict()
        self._elsewhere: set[int] = set()

    def read(self, number: int, sizes: list[int], offsets: list[int], crcs: list[int]) -> list[bytes]:
        """The bytes of some samples of one file.

        Raises:
            DamagedPart: They are not those that were there when they were found.
        """
        file, stream = self._holders[number].file, self._opened(number)
        if min(*sizes, *offsets) < 0:
            raise _changed(file, _SHORTER)
        if stream is None:
            ranges = [(offset, offset + size) for offset, size in zip(offsets, sizes, strict=True)]
            read = list(file.store.pieces(file.name, ranges))
        else:
            read = _read_here(file, stream.fileno(), sizes, offsets)
        if list(map(zlib.crc32, read)) != crcs:
            at = next(
                at for at, body, crc in zip(offsets, read, crcs, strict=True) if zlib.crc32(body) != crc
            )
            raise _changed(file, f"not what it was: the sample at byte {at} is another")
        return read

    @contextmanager
    def large(self, number: int, offset: int, size: int, crc: int) -> Iterator[LargeExtent]:
        """One sample that is left where it lies, once its bytes were compared; of a file elsewhere, a copy of it.

        Raises:
            DamagedPart: As :meth:`read`.
        """
        file, stream = self._holders[number].file, self._opened(number)
        with ExitStack() as made:
            if stream is not None:
                if offset < 0 or offset + size > os.fstat(stream.fileno()).st_size:
                    raise _changed(file, _SHORTER)
                path, start = file.fetch(), offset
            else:
                path, start = made.enter_context(_copied(file, offset, size)), 0
            seen = 0
            for piece in FileBody(path=path, offset=start, size_bytes=size).pieces():
                seen = zlib.crc32(piece, seen)
            if seen != crc:
                raise _changed(file, f"not what it was: the sample at byte {offset} is another")
            yield LargeExtent.at(path, start, size)

    def _opened(self, number: int) -> BinaryIO | None:
        """The open file; None of one that is not on this machine."""
        stream = self._open.get(number)
        if stream is None and number not in self._elsewhere:
            if len(self._open) >= _OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            file = self._holders[number].file
            stream = file.open_here()
            if stream is None and self._is_cheaper_whole(number):
                stream = file.store.open(file.name)
            if stream is None:
                self._elsewhere.add(number)
            else:
                self._open[number] = stream
        return stream

    def _is_cheaper_whole(self, number: int) -> bool:
        """Whether all of a file is fetched sooner than what is wanted of it."""
        own, file = self._rows[self._holder == number], self._holders[number].file
        gaps = np.sort(own["offset"])[1:] - np.sort(own["offset"] + own["size"])[:-1]
        requests = 1 + int((gaps > _NEAR_BYTES).sum())
        return (file.store.size(file.name) or 0) < int(own["size"].sum()) + requests * _REQUEST_BYTES

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self._open.values():
            stream.close()
        self._open.clear()


def _read_here(file: StoredFile, fd: int, sizes: list[int], offsets: list[int]) -> list[bytes]:
    """Ranges of an open file."""
    pread = os.pread
    if max(map(add, sizes, offsets)) > os.fstat(fd).st_size:
        raise _changed(file, _SHORTER)
    read = [pread(fd, size, offset) for size, offset in zip(sizes, offsets, strict=True)]
    if list(map(len, read)) != sizes:  # the kernel gave less than it was asked for, and more is to be read
        read = [_all_of(fd, size, offset) for size, offset in zip(sizes, offsets, strict=True)]
    return read


@contextmanager
def _copied(file: StoredFile, offset: int, size: int) -> Iterator[Path]:
    """A file of this machine, for as long as the block lasts, with a range of one that lies elsewhere."""
    path = file.store.work(f"pieces/{secrets.token_hex(8)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.iterdir():
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > _LEFT_S:
                left.unlink()
    try:
        with naming(path), path.open("wb") as stream:
            for start in range(offset, offset + size, _WINDOW_BYTES):
                stop = min(start + _WINDOW_BYTES, offset + size)
                piece = file.read(start, stop - start)
                if len(piece) < stop - start:
                    raise _changed(file, _SHORTER)
                stream.write(piece)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _all_of(fd: int, size: int, offset: int) -> bytes:
    parts = []
    while size and (part := os.pread(fd, size, offset)):
        parts.append(part)
        offset, size = offset + len(part), size - len(part)
    return b"".join(parts)
