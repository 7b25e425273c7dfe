"""A pickle's bytes read in order and in bounded pieces, and what it remembers of earlier ones by their place."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from gristmill.spec.errors import SourceError

__all__ = ["CutOffPickle", "DamagedPickle", "Far", "Memo", "PickleBytes", "Spans"]

_CHUNK_BYTES = 256 << 10
_MOST_MEMOS = 32 << 20  # of 8 bytes each
_MOST_STRAY_MEMOS = 1 << 16


class DamagedPickle(SourceError):
    """A pickle that makes no sense from some place on."""


class CutOffPickle(DamagedPickle):
    """A pickle that ends before its end."""


@dataclass(frozen=True, slots=True)
class Far:
    """A text or bytes that were not read: where they lie in the file.

    Attributes:
        offset: Of the first byte.
        size: Bytes.
        text: UTF-8 text; else bytes.
    """

    offset: int
    size: int
    text: bool


class PickleBytes:
    """The bytes of a file from one place to another.

    Args:
        fd: Open for reading.
        path: For messages.
        start: First byte to give out.
        stop: The byte after the last.
        chunk_bytes: To read at a time.
    """

    def __init__(self, fd: int, path: Path, start: int, stop: int, chunk_bytes: int = _CHUNK_BYTES) -> None:
        self.path, self.fd, self.stop = path, fd, stop
        self._chunk_bytes = chunk_bytes
        self._base, self._buffer, self._at = start, b"", 0

    @property
    def offset(self) -> int:
        """Of the next byte."""
        return self._base + self._at

    def byte(self) -> int:
        """The next byte; every opcode is read by this."""
        at = self._at
        if at == len(self._buffer):
            self._fill(1)
            at = 0
        self._at = at + 1
        return self._buffer[at]

    def _fill(self, wanted: int) -> None:
        """Have at least ``wanted`` bytes from the present place in the buffer."""
        offset = self.offset
        rest = self._buffer[self._at :]
        self._base, self._at = offset, 0
        size = min(max(wanted, self._chunk_bytes), self.stop - offset)
        while len(rest) < size:
            piece = os.pread(self.fd, size - len(rest), offset + len(rest))
            if not piece:
                break
            rest += piece
        self._buffer = rest
        if len(rest) < wanted:
            raise self.cut_off()

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes.

        Raises:
            CutOffPickle: There are not so many.
        """
        self._check(size)
        if self._at + size > len(self._buffer):
            self._fill(size)
        at = self._at
        self._at = at + size
        return self._buffer[at : at + size]

    def skip(self, size: int) -> None:
        """Pass over ``size`` bytes without reading them.

        Raises:
            CutOffPickle: There are not so many.
        """
        self._check(size)
        at = self._at + size
        if at > len(self._buffer):
            self._base, self._buffer, at = self._base + at, b"", 0
        self._at = at

    def _check(self, size: int) -> None:
        if self.offset + size > self.stop:
            raise self.cut_off(f"a length of {size:,} bytes")

    def line(self, most: int) -> bytes:
        """The bytes up to the next newline, without it.

        Raises:
            CutOffPickle: There is none.
            SourceError: It is further than ``most`` bytes away.
        """
        wanted = 256
        while True:
            size = min(wanted, self.stop - self.offset)
            if self._at + size > len(self._buffer):
                self._fill(size)
            end = self._buffer.find(b"\n", self._at, self._at + size)
            if end >= 0:
                found = self._buffer[self._at : end]
                self._at = end + 1
                return found
            if size < wanted:
                raise self.cut_off()
            if wanted > most:
                raise self.refused(self.offset, f"it has a line of more than {most:,} bytes")
            wanted *= 4

    def cut_off(self, within: str = "") -> CutOffPickle:
        """The error of a file that ends too early."""
        what = f"{within}, and " if within else ""
        return CutOffPickle(
            f"{self.path}: byte {self.offset:,}: cut off: {what}the file ends at byte {self.stop:,}. Copy it again."
        )

    def damaged(self, offset: int, what: str) -> DamagedPickle:
        """The error of a file that is no longer what was written."""
        return DamagedPickle(f"{self.path}: byte {offset:,}: refused, it is damaged: {what}. Copy it again.")

    def refused(self, offset: int, what: str) -> SourceError:
        """The error of a pickle that is none that may be read."""
        return SourceError(
            f"{self.path}: byte {offset:,}: refused, {what}. Only plain data is read from pickles, and nothing in "
            "them is run."
        )


class Memo:
    """Numbers to the places in the file where what they stand for was made: 8 bytes each, whatever it is."""

    def __init__(self) -> None:
        self._dense = array("q")
        self._stray: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._dense) + len(self._stray)

    def put(self, number: int, offset: int) -> bool:
        """Remember; False where that is too much."""
        if number < len(self._dense):
            self._dense[number] = offset
        elif number == len(self._dense) and number not in self._stray:
            self._dense.append(offset)
        else:
            self._stray[number] = offset
        return len(self._dense) <= _MOST_MEMOS and len(self._stray) <= _MOST_STRAY_MEMOS

    def get(self, number: int) -> int | None:
        """Say where it was made; None if nothing has that number."""
        if 0 <= number < len(self._dense) and number not in self._stray:
            return self._dense[number]
        return self._stray.get(number)


class Spans:
    """Stretches of the file, one after another, each holding what made one item (or a few)."""

    def __init__(self) -> None:
        self._starts, self._ends, self._memos = array("q"), array("q"), array("q")
        self._batched = array("b")

    def add(self, start: int, end: int, memos: int, batched: bool) -> None:
        """The next stretch, the memo's length at its start, and whether it starts within a batch of items."""
        self._starts.append(start)
        self._ends.append(end)
        self._memos.append(memos)
        self._batched.append(batched)

    def around(self, offset: int) -> tuple[int, int, int, bool] | None:
        """Start, end, memo's length and batch of the stretch that holds a place."""
        at = bisect_right(self._starts, offset) - 1
        if at < 0 or offset >= self._ends[at]:
            return None
        return self._starts[at], self._ends[at], self._memos[at], bool(self._batched[at])
