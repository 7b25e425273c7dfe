"""Ids of rows that have none, by their places among records that have: if what both say agrees at every place."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Self

from gristmill.shards.rows import read_rows, rows_of
from gristmill.spec.errors import SourceError
from gristmill.spec.sample import Json, Outcome, Sample
from gristmill.spec.step import SampleStep

__all__ = ["IdsByPlace"]

Ids = Mapping[str, list[tuple[str, str]]]
"""Of each split the ids in rising order, each with a digest of what its record says."""

_KEY, _SPLIT, _ID = "__key__", "split", "id"
_IN_NAME = re.compile(r"(train|val|test)")
_PART = re.compile(r"-\d+-of-0*([1-9]\d*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdsByPlace(SampleStep):
    """Give each row of a Parquet file the id of the record at its place, if a file of records by ids is there.

    Records are those of the row's split, which is named in its file's name, by rising ids. A row that says something
    else than the record at its place ends the run: then no id can be told by place, and equal rows not by their text.

    Attributes:
        source: Key of the ``aux`` source that holds the records. Without its file no row gets an id.
        fields: What a row and its record must agree in.
    """

    source: str = "problems"
    fields: tuple[str, ...] = ("question", "choices")

    name = "ids"
    _ids: Ids | None = field(default=None, repr=False, compare=False, metadata={"identity": False})

    def with_aux(self, aux: Mapping[str, tuple[Path, ...]]) -> Self:
        """See :class:`SampleStep`.

        Raises:
            SourceError: The file cannot be read, or holds no records by ids.
        """
        paths = aux.get(self.source)
        if not paths:
            return self
        stat = paths[0].stat()
        return replace(self, _ids=_read(paths[0], self.fields, stat.st_size, stat.st_mtime_ns))

    def apply(self, sample: Sample) -> Outcome:
        """See :class:`SampleStep`.

        Raises:
            SourceError: Ids cannot be told by place.
        """
        origin = sample.origin
        if self._ids is None or origin is None or sample.columns.get(_ID) is not None:
            return sample
        if not all(name in sample.upstream for name in self.fields):
            return sample
        split, part = _IN_NAME.search(origin.file), _PART.search(origin.file)
        if part and part[1] != "1":
            raise SourceError(
                f"{origin.file} is one of {part[1]} files of its split: what the others hold decides the places of "
                "its rows, so ids cannot be told by place. Give the split as one file, or leave --source "
                f"{self.source} out: samples then have no id of upstream."
            )
        known = self._ids.get(split[1], []) if split else []
        found = known[origin.row] if origin.row < len(known) else None
        if found is None or found[1] != _digest(sample.upstream, self.fields):
            raise SourceError(
                f"{origin.file}: its row {origin.row} is not the problem at that place of {self.source}"
                f"{f' (id {found[0]})' if found else ''}, so ids cannot be told by place. Leave --source "
                f"{self.source} out: samples then have no id of upstream."
            )
        return replace(sample, columns={**sample.columns, _ID: found[0]})


@lru_cache(maxsize=2)
def _read(path: Path, fields: tuple[str, ...], size: int, changed: int) -> Ids:
    """The records of a file as it is now."""
    found: dict[str, list[tuple[str, str]]] = {}
    for batch in read_rows(path):
        for row in rows_of(batch.table):
            key, split = row.get(_KEY), row.get(_SPLIT)
            if not isinstance(key, str) or not key.isdecimal() or not isinstance(split, str):
                raise SourceError(
                    f"{path}: expected records by their ids, each with a split, as problems.json has."
                )
            found.setdefault(split, []).append((key, _digest(row, fields)))
    for ids in found.values():
        ids.sort(key=lambda one: int(one[0]))
    return found


def _digest(row: Mapping[str, Json], fields: tuple[str, ...]) -> str:
    text = json.dumps([row.get(name) for name in fields])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
