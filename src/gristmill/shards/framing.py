"""How a list's file is framed: what its user says of it, and what holds for all of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gristmill.spec.errors import UnknownName, UsageError

__all__ = ["DELIMITERS", "FORMATS", "QUOTING", "Dialect", "Framing", "guess_format"]

FORMATS = ("csv", "json", "jsonl", "parquet", "tsv", "txt")
QUOTING = ("auto", "csv", "none")
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "\\t": "\t"}
"""Names for delimiters that a shell or a settings file makes hard to type."""

_DELIMITED = ("csv", "tsv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """Holds what a user says of a file. None: what the file's name and beginning say.

    Attributes:
        format: One of :data:`FORMATS`.
        header: Whether the first line of csv and tsv names the columns. None: it does, and a first line with an
            address in it is refused.
        names: Of the columns, where no line names them; numbered if empty.
        delimiter: Between fields of csv and tsv: one character, or a name of :data:`DELIMITERS`.
        quoting: ``csv``: fields in double quotes may hold delimiters, line breaks and doubled quotes. ``none``:
            quotes stand for themselves, and a row is a line. ``auto``: as csv, but a tsv whose beginning
            contradicts it, as none.
        encoding: Of the text; UTF-8 if None.
        array: Keys to the rows within a JSON object, joined by dots, such as COCO's ``images``.
    """

    format: str | None = None
    header: bool | None = None
    names: tuple[str, ...] = ()
    delimiter: str | None = None
    quoting: str = "auto"
    encoding: str | None = None
    array: str | None = None

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise UnknownName("file format", self.format, FORMATS)
        if self.quoting not in QUOTING:
            raise UsageError(f"quoting {self.quoting}: expected {', '.join(QUOTING)}")
        if self.delimiter is not None and (len(self.separator) != 1 or self.separator in '"\r\n'):
            raise UsageError(
                f"delimiter {self.delimiter!r}: expected one character, or {', '.join(list(DELIMITERS)[:4])}"
            )
        if self.names and self.header is not False:
            raise UsageError(
                "names of columns are for a list whose first line names none: --no-header with --columns"
            )
        if self.encoding is not None:
            self._check_encoding(self.encoding)

    @staticmethod
    def _check_encoding(encoding: str) -> None:
        try:
            "".encode(encoding)  # refuses those that do not stand for text, which a look-up finds as well
        except LookupError:
            raise UsageError(
                f"encoding {encoding}: not known. Such are utf-8, cp1252, gb18030, utf-16"
            ) from None

    @property
    def separator(self) -> str:
        """The delimiter as a character; empty if the format decides."""
        return DELIMITERS.get(self.delimiter or "", self.delimiter or "")

    def format_of(self, path: Path) -> str:
        """The format of a file, which has to have what is said of it.

        Raises:
            UsageError: Neither said nor told by the name; or something is said that this format does not have.
        """
        file_format = self.format or guess_format(path)
        for said, option, formats in (
            (self.header is not None, "--no-header", _DELIMITED),
            (self.delimiter is not None, "--delimiter", _DELIMITED),
            (self.quoting != "auto", "--quoting", _DELIMITED),
            (self.array is not None, "--rows", ("json",)),
            (self.encoding is not None, "--encoding", ("csv", "json", "jsonl", "tsv", "txt")),
        ):
            if said and file_format not in formats:
                raise UsageError(
                    f"{path}: {option} is for {' and '.join(formats)}, and this is read as {file_format}. "
                    "Leave it out, or say what the file is with --set rows.format=FORMAT."
                )
        return file_format


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Holds what holds for every row of one file.

    Attributes:
        delimiter: Between fields; a comma where the format has none.
        quoted: Fields may stand in double quotes.
        guessed: ``quoted`` is False because the file's beginning says so, not its user.
        cr: Lines end with a carriage return alone.
        sep: The first line is Excel's ``sep=;`` and no row.
        notes: Sentences that say what was decided and is not plain from the format.
    """

    format: str
    delimiter: str = ","
    quoted: bool = True
    guessed: bool = False
    cr: bool = False
    sep: bool = False
    encoding: str | None = None
    array: str | None = None
    notes: tuple[str, ...] = ()


def guess_format(path: str | Path) -> str:
    """The format that a file's name promises.

    Raises:
        UsageError: None of :data:`FORMATS`.
    """
    extension = Path(path).name.lower().removesuffix(".gz").removesuffix(".zip").rpartition(".")[2]
    format = "jsonl" if extension == "ndjson" else extension
    if format in FORMATS:
        return format
    raise UsageError(
        f"{path}: the name does not tell the format. Give it one of these endings: "
        f"{', '.join('.' + known for known in FORMATS)}; all but .parquet may be followed by .gz or .zip. A list "
        "named otherwise needs --set rows.format=csv or the like."
    )
