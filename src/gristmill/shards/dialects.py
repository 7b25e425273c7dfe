"""Deciding from a list's beginning how the whole of it is read, and opening it so."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from gristmill.shards.delimited import quoting_seen
from gristmill.shards.framing import Dialect, Framing
from gristmill.shards.textlines import open_text
from gristmill.spec.errors import SourceError

__all__ = ["dialect_of", "open_rows"]

_HEAD_BYTES = 1 << 20
_ALL_OF = 2
"""So many lines with other characters than ASCII, and none of them UTF-8, are no damaged lines of a UTF-8 file."""
_ZEROS_SHARE = 0.3
_SEP = re.compile(rb"sep=([^\r\n\"])(?=[\r\n])")
"""The line by which Excel says what is between fields; it is no row, and read as a blank one."""


def dialect_of(path: Path, framing: Framing) -> Dialect:
    """Decide once how a text file is read, by what its user says and by its first MiB.

    Raises:
        SourceError: Its characters are not UTF-8, and nothing else is said; or as :func:`open_text`.
        UsageError: As :meth:`Framing.format_of`.
    """
    file_format = framing.format_of(path)
    delimiter = framing.separator or ("\t" if file_format == "tsv" else ",")
    plain = Dialect(format=file_format, encoding=framing.encoding, delimiter=delimiter)
    with open_rows(path, plain) as stream:
        head = stream.read(_HEAD_BYTES)
        cut = bool(stream.read(1))
    if framing.encoding is None:
        _check_characters(path, head, cut=cut)
    notes = []
    sep = _SEP.match(head) if file_format in {"csv", "tsv"} else None
    if sep:
        delimiter = framing.separator or sep[1].decode("latin-1")
        head = head[sep.end() :]
        notes.append(f"its first line, {sep[0].decode('latin-1')!r}, says what is between fields")
    cr = file_format != "json" and b"\r" in head and b"\n" not in head
    if cr:
        head = head.replace(b"\r", b"\n")
        notes.append("its lines end with a carriage return alone, as on old Macs")
    quoted, guessed = framing.quoting != "none", False
    if framing.quoting == "auto" and file_format == "tsv" and b'"' in head:
        quoted, said = _quoting_of(head, delimiter, cut=cut)
        guessed = not quoted
        notes.append(said)
    return Dialect(
        format=file_format,
        delimiter=delimiter,
        quoted=quoted,
        guessed=guessed,
        cr=cr,
        sep=bool(sep),
        encoding=framing.encoding,
        array=framing.array,
        notes=tuple(notes),
    )


@contextmanager
def open_rows(path: Path, dialect: Dialect) -> Iterator[BinaryIO]:
    """A byte stream over a list: UTF-8, lines that end with a line feed; see :func:`open_text`.

    Raises:
        SourceError: Bytes that the encoding does not have, then or within the block; or as :func:`open_text`.
    """
    with open_text(path, encoding=dialect.encoding) as stream:
        if dialect.encoding is None and not dialect.cr and not dialect.sep:
            yield stream
            return
        recoded = io.BufferedReader(_Recoded(stream, dialect), _HEAD_BYTES)
        try:
            yield cast(BinaryIO, recoded)
        except UnicodeError as err:
            raise SourceError(
                f"{path}: its text is not {dialect.encoding} ({err}). Name another --encoding."
            ) from err


class _Recoded(io.RawIOBase):
    """A stream's text as UTF-8 with line feeds."""

    def __init__(self, stream: BinaryIO, dialect: Dialect) -> None:
        super().__init__()
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(dialect.encoding or "utf-8")()
        self._recode, self._cr = dialect.encoding is not None, dialect.cr
        self._sep = dialect.sep
        self._rest = b""
        self._begun = self._ended = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # it is always given one
        """See ``io.RawIOBase``."""
        while not self._rest and not self._ended:
            chunk = self._stream.read(len(buffer) // 4 + 1)
            self._ended = not chunk
            self._rest = self._utf8(chunk) if self._recode else chunk
            if self._sep and (found := _SEP.match(self._rest)):
                self._rest, self._sep = self._rest[found.end() :], False
            if self._cr:
                self._rest = self._rest.replace(b"\r", b"\n")
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    def _utf8(self, chunk: bytes) -> bytes:
        text = self._decoder.decode(chunk, final=not chunk)
        if text and not self._begun:
            self._begun, text = True, text.removeprefix("\ufeff")
        return text.encode()


def _check_characters(path: Path, head: bytes, *, cut: bool) -> None:
    """Refuse a file of which certainly no line is UTF-8; one that holds damaged lines is not refused."""
    for place, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if head[place::2].count(0) > _ZEROS_SHARE * (len(head) // 2 + 1):
            raise SourceError(
                f"{path}: this seems to be UTF-16 without a mark at its beginning. Say so with --encoding {name} "
                f"(of a recipe: --set rows.encoding={name}), or make it UTF-8: iconv -f {name} -t utf-8"
            )
    lines = re.split(rb"[\r\n]+", head)
    others = [line for line in (lines[:-1] if cut else lines) if not line.isascii()]
    if len(others) >= _ALL_OF and not any(map(_is_utf8, others)):
        raise SourceError(f"{path}: no line with other characters than ASCII is UTF-8. {_western(others)}")


def _western(lines: Sequence[bytes]) -> str:
    """What to type, and one line read so: only whoever looks at it knows whether these are its characters.

    cp1252 is latin-1 with quotes and dashes in the place of control characters that no caption has.
    """
    others = "such as gb18030, shift_jis, cp1251 or latin-1"
    try:
        b"".join(lines[:1000]).decode("cp1252")
    except UnicodeDecodeError:
        return f"Name its encoding with --encoding (of a recipe: --set rows.encoding=NAME), {others}."
    first = min(lines[:1000], key=len)
    odd = next(place for place, byte in enumerate(first) if byte > 127)
    shown = first[max(0, odd - 20) :].decode("cp1252")[:40]
    return (
        f"Read as cp1252 one holds {shown!r}. If that is right, say so with --encoding cp1252 (of a recipe: --set "
        "rows.encoding=cp1252), or make it UTF-8: iconv -f cp1252 -t utf-8. If it is not, name another encoding, "
        f"{others}."
    )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _quoting_of(head: bytes, delimiter: str, *, cut: bool) -> tuple[bool, str]:
    """Whether a tsv quotes as csv does, and the sentence that says so and why."""
    as_csv, against = quoting_seen(head, delimiter, cut=cut)
    if against and not as_csv:
        rows = f"{against} of its first rows have" if against > 1 else "one of its first rows has"
        return False, (
            f"quotes stand for themselves, and a row is one line: {rows} quotes as csv does not have them "
            "(--quoting csv reads it as csv)"
        )
    return (
        True,
        "fields in quotes are read as in csv, line breaks and tabs included (--quoting none leaves quotes)",
    )
