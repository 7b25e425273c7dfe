"""A Lance dataset, written by its own library: the extra ``lance``.

Where every sample has one video it is a blob: a scan passes it over, and ``take_blobs`` opens it as a file. Lists of
videos are plain columns.
Format: https://lance.org/format, https://lance.org/guide/blob
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from gristmill.exports._arrow_rows import row_batch, row_schema
from gristmill.exports._columns import Columns, Row
from gristmill.exports._exporter import FinishedShards
from gristmill.exports._row_store import RowStore, batches
from gristmill.spec.errors import UsageError
from gristmill.spec.extras import install
from gristmill.spec.sample import Json

__all__ = ["EXPORTER", "Lance"]

_BATCH_BYTES = 32 << 20
_DATA = "data.lance"


@dataclass(frozen=True, kw_only=True)
class Lance(RowStore):
    """A Lance dataset, for random access and columns of its own."""

    writes = "data.lance/"
    loses = "nothing; media have no names but those that json says"

    most_bytes: ClassVar[int] = 1 << 40
    by_shard: ClassVar[bool] = False

    def write(
        self, folder: Path, before: Sequence[Json], rows: Iterator[Row], columns: Columns
    ) -> Iterator[Json]:
        """Append the rows of a shard to the version that the shard before it made."""
        lance, place, schema = _library(), str(folder / _DATA), _schema(columns)
        if not before:
            shutil.rmtree(place, ignore_errors=True)
        elif lance.dataset(place).version != before[-1]["version"]:
            lance.dataset(place, version=before[-1]["version"]).restore()
        plain = row_schema(columns, pa.large_binary())
        some = (
            pa.RecordBatch.from_arrays(row_batch(batch, plain).columns, schema=schema)
            for batch in batches(rows, _BATCH_BYTES)
        )
        reader = pa.RecordBatchReader.from_batches(schema, some)
        made = lance.write_dataset(reader, place, mode="append" if before else "create")
        yield {"version": made.version}

    def reading(self, out: str) -> str:
        """See :class:`RowStore`."""
        return f"import lance\ndataset = lance.dataset({f'{out}/{_DATA}'!r})"

    def finish(self, folder: Path, files: Sequence[Json], columns: Columns, dataset: FinishedShards) -> None:
        """Nothing more: Lance has its own manifest."""


def _schema(columns: Columns) -> pa.Schema:
    """That of the dataset: a video is a blob."""
    fields = list(row_schema(columns, pa.large_binary()))
    for n, field in enumerate(fields):
        if field.name == "video":
            fields[n] = field.with_metadata({"lance-encoding:blob": "true"})
    return pa.schema(fields)


def _library() -> Any:
    try:
        import lance
    except ImportError as err:
        raise UsageError(
            f"A Lance dataset is written by its own library. Install it: {install('lance')}"
        ) from err
    return lance


EXPORTER = Lance()
