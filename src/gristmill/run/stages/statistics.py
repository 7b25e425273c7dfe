"""A census: counted over the fates of all crawl tasks so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.parquet as pq

from gristmill.run.planning.pipeline import Stages
from gristmill.run.state.context import Context, Work, file_info, scratch_folder
from gristmill.spec.errors import RecipeError
from gristmill.spec.task import ShardInfo, Task
from gristmill.storage.files import whole_file

__all__ = ["run_statistics"]


def run_statistics(stages: Stages, task: Task, context: Context, work: Work) -> None:
    """Count over all fates; write the verdict.

    Raises:
        RecipeError: The recipe counts nothing.
    """
    step, layout = stages.global_filter, context.layout
    if step is None:
        raise RecipeError("there is no step that counts")
    path = layout.decision(task, ".parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(layout, task) as scratch:
        blocklist, work.found = step.tally(lambda: _fates(task.inputs, step.columns, task, context), scratch)
    with whole_file(path) as stream:
        pq.write_table(blocklist, stream, compression="zstd")
    work.outputs.append(file_info(layout, path, "blocklist", blocklist.num_rows))


def _fates(
    indexes: Sequence[ShardInfo], columns: Sequence[str], task: Task, context: Context
) -> Iterator[Any]:
    """The fates beside the indexes, a batch at a time."""
    for done, index in enumerate(indexes):
        context.check_stop()
        context.report(task, done, len(indexes), {}, 0)
        with pq.ParquetFile(context.layout.fates_beside(index)) as file:
            yield from file.iter_batches(columns=list(columns))
