"""A pass over a tar from its beginning to its end: v7, ustar, GNU long names, PAX names and sizes.

What is damaged costs as little as may be: behind a damaged header the next whole one is looked for, and a tar that is
cut off keeps what stands before the cut.

Format: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html and
https://www.gnu.org/software/tar/manual/html_node/Standard.html
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

from gristmill.storage.archives.entries import Entry, Refusal, Scan
from gristmill.storage.archives.names import MAX_NAME_BYTES, member_name

__all__ = ["BLOCK_BYTES", "Forward", "is_header", "walk"]

BLOCK_BYTES = 512
_MOST_HEADER = 1 << 20
"""More bytes of names and attributes in front of one member cost that member."""

_REGULAR = b"0\0007"
_NO_MEMBERS = b"5DV"  # folders, lists of them, labels
_TYPES = {b"1": Refusal.LINK, b"2": Refusal.LINK, b"S": Refusal.SPARSE}
_DEVICES = b"346"
_HAVE_BYTES = b"0\0007SDMV"
"""Types that are followed by as many bytes as they say; links, devices and folders are followed by none."""

_MOST_ZEROS = 1 << 20
"""Behind the end mark, which fills up a block of a tape."""

_ZEROS = bytes(BLOCK_BYTES)
_MOST_SIZE = 1 << 62


class Forward(Protocol):
    """Bytes that are gone through once."""

    @property
    def at(self) -> int:
        """Say how many bytes were passed."""

    def read(self, size: int) -> bytes:
        """The next bytes: fewer only at the end."""

    def skip(self, size: int) -> tuple[int, int | None]:
        """Passes bytes over; returns how many there were, and their CRC-32 if they were seen."""

    def holds(self, size: int) -> bool:
        """Say whether there may be so many bytes more."""


class _Pending:
    """What headers in front of a member say of it."""

    def __init__(self) -> None:
        self.name: bytes | None = None
        self.size: int | None = None
        self.refused: Refusal | None = None


def is_header(block: bytes) -> bool:
    """Say whether a block of 512 bytes is a tar's header: its sum is right."""
    if len(block) < BLOCK_BYTES or block[:BLOCK_BYTES] == _ZEROS:
        return False
    told = _number(block[148:156])
    if told is None:
        return False
    rest = block[:148] + b" " * 8 + block[156:BLOCK_BYTES]
    # half a block's sum fits the half of Adler-32 that is one, and is had thirty times as fast
    unsigned = (zlib.adler32(rest[:256]) & 0xFFFF) + (zlib.adler32(rest[256:]) & 0xFFFF) - 2
    return told == unsigned or told == unsigned - 256 * sum(
        byte > 127 for byte in rest
    )  # some sum signed bytes


def walk(stream: Forward, scan: Scan) -> Iterator[tuple[Entry, int]]:
    """Members in order; between two of them, the caller reads or skips the member's bytes and its padding.

    Yields:
        An entry, and how many bytes stand at the place the stream is at: none for most refused ones.
    """
    pending = _Pending()
    while (block := stream.read(BLOCK_BYTES)) != b"":
        start = stream.at - len(block)
        if block == _ZEROS:
            if (after := stream.read(BLOCK_BYTES)) in {_ZEROS, b""}:
                _say_rest(stream, scan)
                return
            block = after
        if not is_header(block):
            if len(block) == BLOCK_BYTES and (found := _next_header(stream)) is not None:
                yield (
                    _refused(f"(bytes {start:,} to {stream.at - BLOCK_BYTES - 1:,})", start, Refusal.HEADER),
                    0,
                )
                block, pending = found, _Pending()
            else:
                scan.cut = (
                    f"The tar is damaged or cut off at byte {start:,}: what stands before that was read."
                )
                return
        size = _number(block[124:136])
        kind = block[156:157]
        if size is None or size > _MOST_SIZE:
            yield _refused(f"(header at byte {start:,})", start, Refusal.HEADER), 0
            pending = _Pending()
        elif kind in b"LKxXg":
            if not _told_ahead(stream, kind, size, pending):
                scan.cut = f"The tar is cut off after {stream.at:,} bytes: what stands before that was read."
                return
        else:
            yield from _member(stream, block, size, pending)
            pending = _Pending()
    scan.cut = f"The tar ends without its end mark, after {stream.at:,} bytes: some may be missing."


def padding(size: int) -> int:
    """Bytes between a member's last and the next header."""
    return -size % BLOCK_BYTES


def _member(stream: Forward, block: bytes, size: int, pending: _Pending) -> Iterator[tuple[Entry, int]]:
    kind = block[156:157]
    raw = _name_in(block) if pending.name is None else pending.name
    size = size if pending.size is None else pending.size
    if kind == b"S":
        extended = block[482:483]
        while extended not in {b"\0", b""}:
            more = stream.read(BLOCK_BYTES)
            extended = more[504:505]
    follows = size if kind in _HAVE_BYTES and kind else 0
    name, bad_name = member_name(raw)
    folder = kind in _NO_MEMBERS or (kind == b"\0" and raw.endswith(b"/"))
    refused = pending.refused or bad_name or _bad_kind(kind)
    whole = stream.holds(follows)
    if folder:
        if whole:
            stream.skip(follows + padding(follows))
        return
    if not whole:  # it says more than there is: the next header, if there is one, is looked for from here
        refused, follows = refused or Refusal.TRUNCATED, 0
    entry = Entry(
        name=name,
        raw=None if name.encode() == raw else raw[:MAX_NAME_BYTES],
        offset=stream.at,
        packed_bytes=size,
        size_bytes=size,
        refused=refused,
    )
    yield entry, follows


def _bad_kind(kind: bytes) -> Refusal | None:
    if kind in _REGULAR:
        return None
    return Refusal.DEVICE if kind in _DEVICES else _TYPES.get(kind, Refusal.UNKNOWN_TYPE)


def _told_ahead(stream: Forward, kind: bytes, size: int, pending: _Pending) -> bool:
    """Read what a header says of the member after it; False if the tar ends here."""
    if size > _MOST_HEADER:
        pending.refused = Refusal.LONG_NAME
        return stream.holds(size) and stream.skip(size + padding(size))[0] >= size
    told = stream.read(size + padding(size))[:size]
    if len(told) < size:
        return False
    if kind == b"L":
        pending.name = told.partition(b"\0")[0]
    elif kind in b"xX":
        _pax(told, pending)
    return True


def _pax(told: bytes, pending: _Pending) -> None:
    at = 0
    while at < len(told):
        length, _, _ = told[at : at + 12].partition(b" ")
        size = int(length) if length.isdigit() else 0
        record = told[at : at + size]
        key, equals, value = record[len(length) + 1 : -1].partition(b"=")
        if not size or not record.endswith(b"\n") or not equals:
            pending.refused = Refusal.HEADER
            return
        if key == b"path" and pending.refused is not Refusal.SPARSE:
            pending.name = value
        elif key == b"size":
            pending.size = int(value) if value.isdigit() and len(value) < 20 else None
        elif key.startswith(b"GNU.sparse."):
            pending.refused = Refusal.SPARSE
            pending.name = value if key == b"GNU.sparse.name" else pending.name
        at += size


def _name_in(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and block[345] and block[156:157] not in b"LKxg":
        return block[345:500].partition(b"\0")[0] + b"/" + name
    return name


def _number(field: bytes) -> int | None:
    """A number in octal, or as GNU tar writes those too large for it; None if it is neither."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip(b" ")
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        return None
    return int(digits, 8)


def _next_header(stream: Forward) -> bytes | None:
    """The next block that is a header with the mark that all tars since 1988 have; the stream is then behind it."""
    while len(block := stream.read(BLOCK_BYTES)) == BLOCK_BYTES:
        if block[257:262] == b"ustar" and is_header(block):
            return block
    return None


def _say_rest(stream: Forward, scan: Scan) -> None:
    """Go to the end, behind the end mark: what stands there is no member, but should be nothing."""
    end, other = stream.at, 0
    while piece := stream.read(1 << 18):
        other += len(piece) - piece.count(0)
    if not other and stream.at - end > _MOST_ZEROS:
        scan.cut = (
            f"From byte {end:,} on the tar holds nothing but zeros, as after a download that did not finish."
        )
    if other:
        scan.notes.append(
            f"Behind the tar's end mark, at byte {end:,}, there is more, which is not read: another tar, perhaps, "
            "that was written behind it."
        )


def _refused(name: str, offset: int, why: Refusal) -> Entry:
    return Entry(name=name, raw=None, offset=offset, packed_bytes=0, size_bytes=0, refused=why)
