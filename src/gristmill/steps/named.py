"""Taking rows that name a picture by its file, and looking that up in lists of addresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

import pyarrow as pa

from gristmill.shards.framing import Framing
from gristmill.shards.rows import read_rows, rows_of
from gristmill.spec.sample import Json
from gristmill.spec.step import ADDED, TableContext
from gristmill.steps.rows import TakeRows

__all__ = ["FOUND_URL", "FOUND_WIDTH", "TakeNamed"]

FOUND_URL, FOUND_WIDTH = f"{ADDED}url", f"{ADDED}width"
"""Columns of a row whose picture is in the lists: its address, and its width in pixels where that is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeNamed(TakeRows):
    """Every row of a list, as :class:`TakeRows` has it; pictures that JSON rows name are looked up by their names.

    The lists are read once, row by row, and of them only what the rows name is kept in memory, some 300 bytes each.
    Of several rows of one name the first holds.

    Attributes:
        lists: Key of the ``aux`` source that holds the lists. Without its files nothing is looked up.
        path: Column of the rows that holds the path of a picture.
        url, width: Columns of the lists.
    """

    lists: str = "lists"
    path: str = "image"
    url: str = "image_url"
    width: str = "original_width"
    _files: tuple[Path, ...] = field(default=(), repr=False, compare=False, metadata={"identity": False})

    takes_aux = True

    def with_aux(self, aux: Mapping[str, tuple[Path, ...]]) -> Self:
        """See :class:`gristmill.spec.step.TableStep`."""
        return replace(self, _files=aux.get(self.lists, ()))

    def _chosen(self, table: Path, framing: Framing, box: TableContext) -> Iterator[tuple[Any, Any]]:
        chosen = TakeRows._chosen(self, table, framing, box)
        if not self._files or framing.format_of(table) not in {"json", "jsonl"}:
            yield from chosen
            return
        found = self._look_up(table, framing, box)
        for some, rows in chosen:
            places = [found.get(name or "") or ("", None) for name in map(self._name_in, rows_of(some))]
            urls = pa.array([url or None for url, _ in places], pa.string())
            widths = pa.array([width for _, width in places], pa.int64())
            yield some.append_column(FOUND_URL, urls).append_column(FOUND_WIDTH, widths), rows

    def _look_up(self, table: Path, framing: Framing, box: TableContext) -> dict[str, tuple[str, int | None]]:
        """Address and width of each picture that the rows name and the lists have, by its name."""
        found: dict[str, tuple[str, int | None]] = {}
        for batch in read_rows(table, framing=framing):
            found.update(dict.fromkeys(filter(None, map(self._name_in, rows_of(batch.table))), ("", None)))
        wanted, seen = len(found), 0
        for path in self._files:
            for batch in read_rows(path, columns=[self.url, self.width]):
                box.progress(0, None)
                for row in rows_of(batch.table):
                    name = picture_name(row[self.url])
                    if found.get(name or "") == ("", None):
                        width = str(row[self.width] or "")
                        found[name or ""] = row[self.url], int(width) if width.isdecimal() else None
                        seen += 1
        box.note(
            f"{seen:,} of {wanted:,} pictures are in the {len(self._files)} lists, by the names of their files"
        )
        return found

    def _name_in(self, row: Mapping[str, Json]) -> str | None:
        return picture_name(row.get(self.path))


def picture_name(path: Json) -> str | None:
    """The name of a picture's file: what a path or an address ends in, decoded, with underscores for blanks."""
    if not isinstance(path, str):
        return None
    end = path.rpartition("/")[2]
    return (unquote(end) if "%" in end else end).replace(" ", "_") or None
