"""Lines of text files in constant memory, and what text files are packed in."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from gristmill.spec.errors import SourceError
from gristmill.storage.files import check_regular, machine_error

__all__ = [
    "MAX_ROW_BYTES",
    "LineExtent",
    "Piece",
    "line_extents",
    "lines",
    "open_text",
    "passed_over",
]

MAX_ROW_BYTES = 16 << 20
"""A longer line, or element of an array, is passed over unread."""

MAX_UNPACKED_BYTES = 64 << 30
"""More than that in one zip is no annotation file."""

_CHUNK_BYTES = 1 << 20
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError)
_EXTENT_CHUNK_BYTES = 512 << 10
_UTF8_BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(slots=True)
class Piece:
    """A line without its end, or an element of an array.

    Attributes:
        line: Line on which it begins, from 1.
        text: None if it is longer than the cap.
        size_bytes: Of one without a text: how many bytes were passed over.
    """

    line: int
    text: bytes | None
    size_bytes: int = 0


@contextmanager
def open_text(path: Path, *, encoding: str | None = None) -> Iterator[BinaryIO]:
    """A byte stream over a text file, unpacked if its name ends in ``.gz`` or ``.zip``, behind its UTF-8 BOM.

    Of a zip the first file is read, in place: nothing is extracted. With an ``encoding``, which whoever reads will
    apply, it is the stream from its first byte.

    Raises:
        SourceError: UTF-16 without an ``encoding``, or a damaged gzip or zip, then or while it is read within the
            block.
        GristmillError: What the operating system refuses, as a sentence.
    """
    try:
        check_regular(path)
        with path.open("rb", _CHUNK_BYTES) as raw:
            stream = _unpacked(path, raw)
            start = b"" if encoding else stream.read(len(_UTF8_BOM))
            if start.startswith(_OTHER_BOMS):
                raise SourceError(
                    f"{path} is UTF-16. Say so with --encoding utf-16 (of a recipe: --set rows.encoding=utf-16), or "
                    f"make it UTF-8: iconv -f utf-16 -t utf-8 {path.name}"
                )
            if start != _UTF8_BOM:
                stream.seek(0)
            yield stream
    except _DAMAGED as err:
        kind = "zip" if path.name.lower().endswith(".zip") else "gzip"
        raise SourceError(f"{path}: damaged {kind} ({err}). Fetch it again.") from err
    except OSError as err:
        raise machine_error(err, path) from err


def _unpacked(path: Path, raw: BinaryIO) -> BinaryIO:
    name = path.name.lower()
    if name.endswith(".gz"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if not name.endswith(".zip"):
        return raw
    archive = zipfile.ZipFile(raw)
    member = next(iter(_members(archive)), None)
    if member is None:
        raise SourceError(f"{path}: there is no file in this zip. Fetch it again.")
    if member.flag_bits & 1:
        raise SourceError(f"{path}: {member.filename!r} is encrypted. Unpack it and give the plain file.")
    if member.file_size > MAX_UNPACKED_BYTES:
        raise SourceError(
            f"{path}: {member.filename!r} unpacks to {member.file_size >> 30} GiB, more than an annotation file has."
        )
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, archive.open(member)), _CHUNK_BYTES))


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Files in a zip, without what macOS adds to each (`__MACOSX/._NAME`)."""
    return [
        info for info in archive.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")
    ]


def passed_over(path: Path) -> list[str]:
    """Names of the files in a zip that `open_text` does not read, for it reads the first; none where it is no zip.

    Raises:
        SourceError: A damaged zip.
    """
    if not path.name.lower().endswith(".zip"):
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            return [info.filename for info in _members(archive)[1:]]
    except _DAMAGED as err:
        raise SourceError(f"{path}: damaged zip ({err}). Fetch it again.") from err


def lines(stream: BinaryIO, *, max_bytes: int = MAX_ROW_BYTES, verbatim: bool = False) -> Iterator[Piece]:
    """The lines of a text file.

    Args:
        stream: Where to read.
        max_bytes: A longer line has no text.
        verbatim: With line ends (LF or CRLF) and blank lines; else without.
    """
    number = 0
    while raw := stream.readline(max_bytes + 2):
        number += 1
        ended = raw.endswith(b"\n")
        text = raw.removesuffix(b"\n").removesuffix(b"\r") if ended else raw
        if len(text) > max_bytes:
            size = len(raw)
            while not ended and (rest := stream.readline(_CHUNK_BYTES)):
                ended = rest.endswith(b"\n")
                size += len(rest)
            yield Piece(number, None, size)
        elif verbatim or text.strip():
            yield Piece(number, raw if verbatim else text)


@dataclass(slots=True)
class LineExtent:
    """Says where a line stands.

    Attributes:
        line: Its number, from 1.
        offset: Of its first byte.
        size: Bytes, without its newline.
    """

    line: int
    offset: int
    size: int


def line_extents(path: Path) -> Iterator[LineExtent]:
    """Say where the lines of a plain text file stand, blank ones left out; none of them is held, however long.

    Raises:
        SourceError: UTF-16.
        GristmillError: What the operating system refuses, as a sentence.
    """
    with open_text(path) as stream:
        offset = begin = stream.tell()
        number, blank = 1, True
        buffer = bytearray(_EXTENT_CHUNK_BYTES)
        view = memoryview(buffer)
        while got := stream.readinto(view):  # type: ignore[attr-defined]  # it is a buffered reader
            at = 0
            while (end := buffer.find(b"\n", at, got)) >= 0:
                if not (blank and _is_blank(buffer, at, end)):
                    yield LineExtent(number, begin, offset + end - begin)
                number, blank, at = number + 1, True, end + 1
                begin = offset + at
            blank = blank and _is_blank(buffer, at, got)
            offset += got
        if not blank:
            yield LineExtent(number, begin, offset - begin)


def _is_blank(buffer: bytearray, start: int, end: int) -> bool:
    # the first byte decides almost always
    return start == end or (buffer[start] <= 0x20 and not buffer[start:end].strip())
