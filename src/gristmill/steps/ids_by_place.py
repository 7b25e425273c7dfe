"""Ids of rows that have none, by their places among records that have: if what both say agrees at every place."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from gristmill.shards.framing import Framing
from gristmill.shards.rows import read_rows, rows_of
from gristmill.spec.errors import SourceError
from gristmill.spec.sample import Json
from gristmill.spec.step import ADDED, TableContext
from gristmill.steps.cells import TakeCells

__all__ = ["ID_BY_PLACE", "TakeByPlace"]

ID_BY_PLACE = f"{ADDED}id"
"""Column of a row that got its id by its place."""

_KEY, _SPLIT = "__key__", "split"
_IN_NAME = re.compile(r"(train|val|test)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeByPlace(TakeCells):
    """Every row of a list, as :class:`TakeCells` has it; those of Parquet files get ids, if records by ids are there.

    The rows of a file must be some of the records of its split, one after the other by rising ids; the file's name
    says which split. So a split may lie in several files. If the rows are found at no place, or at more than one, the
    run ends: then no id can be told by place, and equal rows not by what they say.

    Attributes:
        records: Key of the ``aux`` source that holds the records. Without its file no row gets an id.
        agree: What a row and its record must agree in.
    """

    records: str = "problems"
    agree: tuple[str, ...] = ("question", "choices")
    _files: tuple[Path, ...] = field(default=(), repr=False, compare=False, metadata={"identity": False})

    takes_aux = True

    def with_aux(self, aux: Mapping[str, tuple[Path, ...]]) -> Self:
        """See :class:`gristmill.spec.step.TableStep`."""
        return replace(self, _files=aux.get(self.records, ()))

    def _chosen(self, table: Path, framing: Framing, box: TableContext) -> Iterator[tuple[Any, Any]]:
        chosen = TakeCells._chosen(self, table, framing, box)
        if not self._files or framing.format_of(table) != "parquet":
            yield from chosen
            return
        ids = pa.array(self._ids(table), pa.string())
        for some, rows in chosen:
            yield some.append_column(ID_BY_PLACE, ids.take(rows)), rows

    def _ids(self, table: Path) -> list[str]:
        """The ids of all rows of a file.

        Raises:
            SourceError: They cannot be told.
        """
        batches = read_rows(table, columns=self.agree)
        said = [self._digest(row) for batch in batches for row in rows_of(batch.table)]
        split = _IN_NAME.search(table.name)
        records = self._records(split[1]) if split else []
        there = [digest for _, digest in records]
        starts = range(len(there) - len(said) + 1)
        places = [start for start in starts if there[start : start + len(said)] == said]
        if len(places) == 1:
            return [key for key, _ in records[places[0] : places[0] + len(said)]]
        if places:
            why = f"its rows are found at {len(places)} places"
        else:
            n = next(
                (n for n, (ours, theirs) in enumerate(zip(said, there, strict=False)) if ours != theirs), 0
            )
            first = f" (the first that differs from the first records is row {n})" if there else ""
            why = f"its rows are not found in their order{first}"
        raise SourceError(
            f"{table.name}: {why} among the {len(there):,} {split[1] if split else ''} records of "
            f"{self._files[0].name} by rising ids, so ids cannot be told by place. Leave --source {self.records} "
            "out: samples then have no id of upstream."
        )

    def _records(self, split: str) -> list[tuple[str, str]]:
        """Ids of a split in rising order, each with a digest of what its record says."""
        found = []
        for batch in read_rows(self._files[0]):
            for row in rows_of(batch.table):
                key, of = row.get(_KEY), row.get(_SPLIT)
                if not isinstance(key, str) or not key.isdecimal() or not isinstance(of, str):
                    raise SourceError(
                        f"{self._files[0]}: expected records by their ids, each with a split, as problems.json has."
                    )
                if of == split:
                    found.append((key, self._digest(row)))
        return sorted(found, key=lambda one: int(one[0]))

    def _digest(self, row: Mapping[str, Json]) -> str:
        text = json.dumps([row.get(name) for name in self.agree])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
