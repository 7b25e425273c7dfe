"""Looks at a list before anything is asked: its columns, and whether its first rows hold what options say."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from gristmill.shards.framing import Framing
from gristmill.spec.checksums import DIGEST_BYTES, checksum_of, is_missing
from gristmill.spec.columns import column_of, value_at
from gristmill.spec.errors import UsageError
from gristmill.spec.sample import Json

__all__ = ["Described", "check_list", "text_columns"]

_ROWS = 100
_ADDRESSES = 20
_SHOWN = 3
_USUAL = ("caption", "text", "alt", "alt_text", "title", "description", "prompt")
"""Names by which captions go, the likeliest first."""
_CAPTIONS = (
    "Say what becomes of them: --captions first, joined (all, a line each), or each (a sample of each)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Holds what the options of ``crawl`` say of a list's columns."""

    url_column: str
    caption_column: str | None = None
    hash_column: str | None = None
    hash_kind: str = "sha256"
    captions: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """Option to column."""
        columns = {
            "--url-column": self.url_column,
            "--caption-column": self.caption_column,
            "--hash-column": self.hash_column,
        }
        return {option: column for option, column in columns.items() if column}


def check_list(path: Path, framing: Framing, said: Described) -> None:
    """See that a list holds what is said of it, by its footer and its first rows.

    Raises:
        UsageError: It does not, with the option that would say it right.
        SourceError: It cannot be read as its format.
    """
    _check_names(path, framing, said.named)
    if framing.format_of(path) == "parquet":
        _check_types(path, said)
    rows = _first_rows(path, framing, said)
    _check_addresses(path, framing, rows, said)
    if said.caption_column:
        _check_captions(path, [value_at(row, said.caption_column) for row in rows], said)
    if said.hash_column:
        _check_checksums(path, [value_at(row, said.hash_column) for row in rows], said)


def text_columns(path: Path, framing: Framing, said: Described) -> list[str]:
    """Name the columns that may hold captions, the likeliest first: those of text that no option names.

    Of Parquet the types tell, else the first rows: neither addresses nor numbers are text there.

    Raises:
        UsageError, SourceError: It cannot be read.
    """
    from gristmill.shards.column_kinds import is_kind, is_list, types_of

    if framing.format_of(path) == "txt":
        return []
    if framing.format_of(path) == "parquet":
        inner = {name: kind.value_type if is_list(kind) else kind for name, kind in types_of(path).items()}
        found = [
            name
            for name, kind in inner.items()
            if is_kind(kind, "string or binary")
            and not is_kind(kind, "integer")
            and "binary" not in str(kind)
        ]
    else:
        rows = _first_rows(path, framing, said)
        found = [name for name in dict.fromkeys(key for row in rows for key in row) if _is_text(name, rows)]
    named = {column_of(column, found) for column in said.named.values()}
    usual = [name for word in _USUAL for name in found if name.lower() == word]
    return [name for name in dict.fromkeys([*usual, *found]) if name not in named]


def _is_text(name: str, rows: Sequence[Mapping[str, Json]]) -> bool:
    values = [row.get(name) for row in rows]
    texts = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return any(
        isinstance(text, str) and text.strip() and not _is_number(text) and not _is_address(text)
        for text in texts
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_names(path: Path, framing: Framing, named: Mapping[str, str]) -> None:
    """See that a list has the columns that options name."""
    from gristmill.steps.rows import has_columns, missing_columns

    missing, have = missing_columns(path, framing, list(named.values()))
    if missing:
        lacking = {option: column for option, column in named.items() if column in missing}
        lost = ", ".join(f"{column!r} ({option})" for option, column in lacking.items())
        words = " ".join(f"{option} COLUMN" for option in lacking)
        raise UsageError(f"{path} has no column {lost}; {has_columns(have)}. Name one of these: {words}.")


def _check_types(path: Path, said: Described) -> None:
    """See that the columns of a Parquet list are of text, and that its addresses are some value."""
    from gristmill.shards.column_kinds import is_kind, is_list, only_nulls, type_at, types_of

    types = types_of(path)
    found = {option: type_at(types, column) for option, column in said.named.items()}
    for option, column in said.named.items():
        kind = found[option]
        if kind is None:
            raise UsageError(f"{path}: there is no {column!r} ({option}): {_tree(types, column)}.")
        if is_list(kind) and is_kind(kind, "string or list of strings"):
            if option == "--url-column":
                raise UsageError(_unnest(path, column, str(kind)))
            if option == "--caption-column" and not said.captions:
                raise UsageError(f"{path}: {column!r} holds several captions a row. {_CAPTIONS}.")
    lists = {"--caption-column"} if said.captions else set()
    others = [
        f"{column!r} is {found[option]}"
        for option, column in said.named.items()
        if not is_kind(found[option], "string or list of strings" if option in lists else "string or binary")
    ]
    if not others and only_nulls(path, said.url_column):
        others = [f"{said.url_column!r} holds nothing but nulls"]
    if others:
        texts = [
            name
            for name, kind in types.items()
            if is_kind(kind, "string or binary") and not only_nulls(path, name)
        ]
        raise UsageError(
            f"{path}: {', '.join(others)}, and a column of text is expected. Such are: {', '.join(texts) or 'none'}. "
            "Name them with --url-column, --caption-column and --hash-column."
        )


def _tree(types: Mapping[str, Any], column: str) -> str:
    name = column_of(column, list(types))
    return f"{name!r} is {types[name]}"


def _unnest(path: Path, column: str, kind: str) -> str:
    name, _, field = column.partition(".")
    inner = f"unnest({name})" + (f".{field}" if field else "")
    query = f"COPY (SELECT * EXCLUDE ({name}), {inner} AS url FROM '{path}') TO 'urls.parquet'"
    return (
        f"{path}: {column!r} is {kind}, and one address a row is expected. Name one of them, as --url-column "
        f"{name}.0{'.' + field if field else ''}, or give each a row of its own: duckdb -c {shlex.quote(query)}"
    )


def _first_rows(path: Path, framing: Framing, said: Described) -> list[Mapping[str, Json]]:
    from gristmill.shards.rows import column_names, read_rows, readable_rows

    columns = None
    if framing.format_of(path) == "parquet":  # others may be pictures
        have = column_names(path, framing)
        columns = list(dict.fromkeys(column_of(column, have) for column in said.named.values()))

    bad: list[str] = []

    def rows() -> Iterator[Mapping[str, Json]]:
        for batch in read_rows(path, framing=framing, columns=columns, batch_rows=_ROWS):
            bad.extend(row.detail for row in batch.bad[: 1 - len(bad)])
            yield from (row for row in readable_rows(batch.table) if not isinstance(row, str))

    first = list(islice(rows(), _ROWS))
    if bad and not first:
        raise UsageError(
            f"{path}: no row of it can be read; the first: {bad[0]}. Mend the list, or say how it is read: "
            "gristmill crawl --help"
        )
    return first


def _check_addresses(
    path: Path, framing: Framing, rows: Sequence[Mapping[str, Json]], said: Described
) -> None:
    first = [_text(value_at(row, said.url_column)) for row in rows[:_ADDRESSES]]
    if framing.format_of(path) == "txt" and first and all("\t" in str(value) for value in first):
        raise UsageError(
            f"{path}: there are tabs in its lines ({_shown(first)}), and a txt holds one address a line. Read it as "
            "a table: --set rows.format=tsv"
        )
    lists = [value for value in first if isinstance(value, list)]
    if lists and len(lists) == len(first) and any(_is_address(item) for value in lists for item in value):
        if framing.format_of(path) == "parquet":
            raise UsageError(_unnest(path, said.url_column, "a list"))
        raise UsageError(
            f"{path}: {said.url_column!r} holds lists, and one address a row is expected. Name one of them, as "
            f"--url-column {said.url_column}.0, or give each a row of its own, for example with "
            f"jq -c '.{said.url_column}[] as $u | . + {{url: $u}}'."
        )
    if len(first) < _ADDRESSES or any(map(_is_address, first)):
        return
    better = list(dict.fromkeys(_address_columns(rows[:_ADDRESSES], said.url_column)))
    hint = (
        f"Addresses stand in {' and '.join(better[:_SHOWN])}: --url-column {better[0]}"
        if better
        else "Name the column that holds them with --url-column, or see whether this is the list that you mean"
    )
    raise UsageError(
        f"{path}: none of the first {_ADDRESSES} values of {said.url_column!r} is an address of http or https "
        f"({_shown(first)}). {hint}."
    )


def _address_columns(rows: Sequence[Mapping[str, Json]], tried: str) -> Iterator[str]:
    for row in rows:
        for name, value in row.items():
            if name != tried and _is_address(_text(value)):
                yield name


def _check_captions(path: Path, values: Sequence[Json], said: Described) -> None:
    column = said.caption_column
    given = [value for value in map(_text, values) if value is not None]
    lists = [value for value in given if isinstance(value, list)]
    if lists and not said.captions:
        raise UsageError(f"{path}: {column!r} holds several captions a row ({_shown(lists)}). {_CAPTIONS}.")
    items = [_text(item) for value in given for item in (value if isinstance(value, list) else [value])]
    items = [item for item in items if item is not None]
    if items and not any(isinstance(item, str) for item in items):
        raise UsageError(
            f"{path}: {column!r} holds no text ({_shown(items)}), and captions are text. Name another column "
            f"with --caption-column, or a field within it, as {column}.FIELD; rows that hold something else than "
            "text would be dropped as bad_row."
        )


def _check_checksums(path: Path, values: Sequence[Json], said: Described) -> None:
    given = [value for value in values if not is_missing(value)]
    if not given or any(checksum_of(value, said.hash_kind) for value in given):
        return
    size = DIGEST_BYTES[said.hash_kind]
    fits = [kind for kind in DIGEST_BYTES if all(checksum_of(value, kind) for value in given)]
    raise UsageError(
        f"{path}: {said.hash_column!r} holds no {said.hash_kind} ({_shown(given)}): that is {2 * size} digits of hex "
        f"or {-(-size // 3) * 4} characters of Base64. "
        + (f"It fits --hash-kind {fits[0]}." if fits else "Name another column with --hash-column.")
    )


def _is_address(value: Json) -> bool:
    from gristmill.crawl.guard import Refused, parse
    from gristmill.crawl.settings import CrawlSettings

    if not isinstance(value, str):
        return False
    try:
        parse(value.strip(), CrawlSettings(allow_private_addresses=True))
    except Refused:
        return False
    return True


def _text(value: Json) -> Json:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _shown(values: Sequence[Json]) -> str:
    shown = [text if len(text := repr(value)) <= 60 else f"{text[:57]}..." for value in values[:_SHOWN]]
    return ", ".join(shown) + (", ..." if len(values) > _SHOWN else "")
