"""Writes the index of a task whose samples a later task changed, and the fates that are others now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.ledger.fates import fates_table, write_fates
from gristmill.run.stages._samples import INDEX_SCHEMA
from gristmill.run.state import layout
from gristmill.run.state.context import Context, Work
from gristmill.run.state.indexes import content_digest
from gristmill.spec.fate import Fate
from gristmill.spec.task import Task

__all__ = ["write_changed"]


def write_changed(
    lines: Sequence[dict[str, Any]], told: Sequence[Fate], task: Task, context: Context, work: Work
) -> None:
    """Write all lines of a task's first input, an index, as they are now, and beside them the fates that changed."""
    source = context.inputs[task.number[1]]
    table = pa.Table.from_pylist(lines, schema=INDEX_SCHEMA)
    name, digest = layout.screened(task.inputs[0], task), content_digest(table)
    with context.output("index", name, samples=work.kept, digest=digest) as out:
        pq.write_table(table, out.stream, compression="zstd")
    with context.output("fates", layout.fates_of(task), samples=len(told)) as fates:
        write_fates(fates.stream, [fates_table(told, source=source.source, file=source.name)])
    work.outputs += [out.info, fates.info]
