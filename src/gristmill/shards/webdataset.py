"""WebDataset shards: plain USTAR tar files whose bytes depend on nothing but their contents.

The members of a sample stand next to each other and share a key: the name up to the first dot of its last
path component. Format: POSIX.1-1988 ustar, https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TypeVar

from gristmill.spec.body import Body, FileBody, pieces_of, size_of
from gristmill.spec.errors import DamagedOutput

__all__ = [
    "MAX_NAME_BYTES",
    "ShardSample",
    "TarWriter",
    "member_bytes",
    "member_pieces",
    "read_samples",
    "read_stream",
]

MAX_NAME_BYTES = 100
"""Longer names need the prefix field or an extension, which memory-mapping readers of shards ignore."""

_BLOCK_BYTES = 512
_RECORD_BYTES = 20 * _BLOCK_BYTES  # what tar(1) and the standard library round a file up to
_MAX_MEMBER_BYTES = 8**11 - 1  # eleven octal digits
_READ_BUFFER_BYTES = 1 << 20
_MEMBER_CAP_BYTES = 4 << 30
_ZEROS = bytes(_BLOCK_BYTES)

_Taken = TypeVar("_Taken")
_TEXTS = frozenset({"txt", "json"})

_NAME = re.compile(rb"((?:[^/]+/)*[^./]+)\.([^/]+)")
"""Key and part; a subset of what webdataset's ``base_plus_ext`` accepts."""

# fields of a header, by the offsets of the ustar table
_MODE_TO_GID = b"0000644\0" + b"0000000\0" * 2
_MTIME = b"00000000000\0"
_TYPE_TO_VERSION = b"0" + bytes(100) + b"ustar\x0000"
_OWNER_TO_END = bytes(32 + 32 + 8 + 8 + 155 + 12)
_FIXED_SUM = sum(_MODE_TO_GID + _MTIME + _TYPE_TO_VERSION + _OWNER_TO_END) + 8 * ord(" ")


class TarWriter:
    """Writes members with fixed headers: time 0, owner 0 without a name, mode 0644, regular file.

    Args:
        stream: Where to write; stays open.

    Attributes:
        bytes_written: So far; after :meth:`close` the size of the file.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.bytes_written = 0

    def add(self, name: str, body: Body) -> None:
        """Write one member.

        Args:
            name: ``KEY.PART``, printable ASCII, at most 100 bytes.
            body: Its bytes, at most 8 GiB; of a large one few are in memory at a time.

        Raises:
            ValueError: The name is none that every reader of shards understands, or the body is too large, or has
                another size than it says.
            GristmillError: A large body cannot be read. The shard is then of no use.
        """
        if isinstance(body, bytes):
            self._stream.writelines(tuple(member_pieces(name, body)))
        else:
            for piece in member_pieces(name, body):
                self._stream.write(piece)
        self.bytes_written += member_bytes(body)

    def extend(self, extents: Sequence[Body]) -> None:
        """Write whole members as they lie in another shard, headers and padding included."""
        small = [extent for extent in extents if isinstance(extent, bytes)]
        if len(small) == len(extents):
            self._stream.writelines(small)
        else:
            for piece in chain.from_iterable(map(pieces_of, extents)):
                self._stream.write(piece)
        self.bytes_written += sum(map(size_of, extents))

    def close(self) -> None:
        """Write the end mark, two zero blocks, and zeros up to a whole record of 10,240 bytes."""
        end = 2 * _BLOCK_BYTES
        end += -(self.bytes_written + end) % _RECORD_BYTES
        self._stream.write(bytes(end))
        self.bytes_written += end


def member_bytes(body: Body) -> int:
    """Bytes of a member with this body, header and padding included."""
    return _BLOCK_BYTES + size_of(body) + -size_of(body) % _BLOCK_BYTES


def member_pieces(name: str, body: Body) -> Iterator[bytes]:
    """The bytes of a member; of a large body few are in memory at a time.

    Raises:
        ValueError, GristmillError: As :meth:`TarWriter.add`.
    """
    size = left = size_of(body)
    yield _header(name, size)
    for piece in pieces_of(body):
        yield piece
        left -= len(piece)
    if left:
        raise ValueError(f"member {name!r}: {size - left} bytes, and {size} were to come")
    yield _ZEROS[: -size % _BLOCK_BYTES]


def _header(name: str, size: int) -> bytes:
    raw = name.encode("ascii", "replace")
    if len(raw) > MAX_NAME_BYTES or not name.isascii() or not name.isprintable():
        raise ValueError(
            f"member name {name[:200]!r}: not at most {MAX_NAME_BYTES} printable ASCII characters"
        )
    if not _is_name(raw):
        raise ValueError(f"member name {name!r}: not KEY.PART")
    if size > _MAX_MEMBER_BYTES:
        raise ValueError(f"member {name!r}: {size} bytes are more than a tar member can hold")
    size_field = b"%011o\0" % size
    checksum = b"%06o\0 " % (_FIXED_SUM + sum(raw) + sum(size_field))
    return b"".join(
        (raw.ljust(100, b"\0"), _MODE_TO_GID, size_field, _MTIME, checksum, _TYPE_TO_VERSION, _OWNER_TO_END)
    )


def _is_name(raw: bytes) -> re.Match[bytes] | None:
    match = _NAME.fullmatch(raw)
    return match if match and (b".." not in raw or b".." not in raw.split(b"/")) else None


@dataclass(slots=True)
class ShardSample:
    """One sample as it lies in a shard.

    Attributes:
        offset: Where its first header begins, bytes.
        large: Parts that were left where they lie; they are not among ``parts``.
    """

    key: str
    offset: int
    parts: dict[str, bytes] = field(default_factory=dict)
    large: dict[str, FileBody] = field(default_factory=dict)


def read_samples(
    path: Path, *, max_member_bytes: int = _MEMBER_CAP_BYTES, large_bytes: int | None = None
) -> Iterator[ShardSample]:
    """The samples of a shard, in order; nothing is ever extracted by name.

    Stricter than tar(1): a shard that ends without its end mark was cut, and anything but regular members
    is damage.

    Args:
        path: The shard.
        max_member_bytes: A larger member is refused before it is read.
        large_bytes: A larger member is not read, unless it is text; where it lies is in the sample's ``large``.

    Raises:
        DamagedOutput: With the offset, at the first byte that does not fit; samples before it were given out.
        OSError: As the system says.
    """
    sample: ShardSample | None = None
    for offset, key, part, body in _members(path, max_member_bytes, large_bytes):
        if sample is None or sample.key != key:
            if sample is not None:
                yield sample
            sample = ShardSample(key, offset)
        if part in sample.parts or part in sample.large:
            raise DamagedOutput(f"{path}: byte {offset}: sample {key!r} has part {part!r} twice.")
        if isinstance(body, FileBody):
            sample.large[part] = body
        else:
            sample.parts[part] = body
    if sample is not None:
        yield sample


def _members(
    path: Path, max_member_bytes: int, large_bytes: int | None
) -> Iterator[tuple[int, str, str, bytes | FileBody]]:
    def take(stream: BinaryIO, part: str, offset: int, size: int) -> bytes | FileBody:
        if large_bytes is None or size <= large_bytes or part in _TEXTS:
            return stream.read(size)
        stream.seek(size, os.SEEK_CUR)
        return FileBody(path=path, offset=offset, size_bytes=size)

    with path.open("rb", buffering=_READ_BUFFER_BYTES) as stream:
        yield from _walk(stream, os.fstat(stream.fileno()).st_size, path, max_member_bytes, take)


def read_stream(
    stream: BinaryIO, file_bytes: int, path: Path | str, max_member_bytes: int = _MEMBER_CAP_BYTES
) -> Iterator[tuple[int, str, str, bytes]]:
    """Offset, key, part and body of each member of a tar of ``file_bytes`` bytes; ``path`` is for messages.

    Raises:
        DamagedOutput, OSError: As for :func:`read_samples`.
    """
    return _walk(
        stream, file_bytes, path, max_member_bytes, lambda stream, _part, _at, size: stream.read(size)
    )


def _walk(
    stream: BinaryIO,
    file_bytes: int,
    path: Path | str,
    max_member_bytes: int,
    take: Callable[[BinaryIO, str, int, int], _Taken],
) -> Iterator[tuple[int, str, str, _Taken]]:
    """Offset, key, part of each member, and what ``take`` makes of its bytes, by stream, part, offset and size."""
    offset = 0
    while True:
        header = stream.read(_BLOCK_BYTES)
        if len(header) < _BLOCK_BYTES:
            raise DamagedOutput(f"{path}: byte {offset}: cut off, there is no end mark.")
        if header == _ZEROS:
            _check_end(stream, path, offset)
            return
        key, part, size = _read_header(header, f"{path}: byte {offset}")
        padded = size + -size % _BLOCK_BYTES
        if size > max_member_bytes:
            raise DamagedOutput(f"{path}: byte {offset}: a member of {size} bytes is too large.")
        if offset + _BLOCK_BYTES + padded > file_bytes:
            raise DamagedOutput(f"{path}: byte {offset}: cut off within {key}.{part}.")
        body = take(stream, part, offset + _BLOCK_BYTES, size)
        if any(stream.read(padded - size)):
            raise DamagedOutput(f"{path}: byte {offset + _BLOCK_BYTES + size}: padding is not zero.")
        yield offset, key, part, body
        offset += _BLOCK_BYTES + padded


def _read_header(header: bytes, where: str) -> tuple[str, str, int]:
    """Key, part and size of a regular member, or DamagedOutput."""
    total = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    if _octal(header[148:156], where) != total:
        raise DamagedOutput(f"{where}: the header's checksum is wrong.")
    if header[156:157] not in {b"0", b"\0"} or header[257:262] != b"ustar" or any(header[345:500]):
        raise DamagedOutput(f"{where}: not a plain ustar member.")
    match = _is_name(header[:100].partition(b"\0")[0])
    if match is None:
        raise DamagedOutput(f"{where}: member name {header[:100].rstrip(bytes(1))!r} is not KEY.PART.")
    try:
        return match[1].decode("ascii"), match[2].decode("ascii"), _octal(header[124:136], where)
    except UnicodeDecodeError:
        raise DamagedOutput(f"{where}: member name {match[0]!r} is not ASCII.") from None


def _octal(text: bytes, where: str) -> int:
    digits = text.rstrip(b"\0 ").lstrip(b" ")
    if not digits or digits.strip(b"01234567"):
        raise DamagedOutput(f"{where}: {text!r} is not an octal number.")
    return int(digits, 8)


def _check_end(stream: BinaryIO, path: Path | str, offset: int) -> None:
    """After one zero block: a second one, and nothing but zeros."""
    at = offset + _BLOCK_BYTES
    second = stream.read(_BLOCK_BYTES)
    if second != _ZEROS:
        raise DamagedOutput(f"{path}: byte {at}: half an end mark.")
    while chunk := stream.read(_READ_BUFFER_BYTES):
        if any(chunk):
            raise DamagedOutput(f"{path}: after byte {at}: data behind the end mark.")
