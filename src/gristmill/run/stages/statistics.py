"""The stage ``statistics``: counted once all samples of a round are made, over the fates of all rounds so far.

Where the blocklist that comes of it decides (``GlobalFilter.decisive``), each part's samples are screened by it
before they are packed; else it is counted at the very end, and only told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gristmill.run.planning.stage import Made, Plan, Stage
from gristmill.spec.barrier import GlobalFilter
from gristmill.spec.recipe import Recipe
from gristmill.spec.step import Step
from gristmill.spec.task import ShardInfo, Task

if TYPE_CHECKING:
    from gristmill.run.state.context import Context, Work

__all__ = ["STAGE", "Statistics"]


class Statistics(Stage[GlobalFilter]):
    """All fates of a dataset, counted."""

    name = "statistics"
    account = "counting"
    rank = 5

    def __init__(self, steps: Sequence[GlobalFilter], recipe_steps: Sequence[Step], version: str) -> None:
        super().__init__(steps, recipe_steps, version)
        self._indexes: list[ShardInfo] = []

    @classmethod
    def steps_of(cls, steps: Sequence[Step]) -> Sequence[Any] | None:
        """The last but one, if it is a global filter."""
        own = steps[-2:-1]
        return own if own and isinstance(own[0], GlobalFilter) else None

    async def flow(self, upstream: AsyncIterator[Made], round_: int, plan: Plan) -> AsyncIterator[Made]:
        """Hand on what came; where the blocklist decides, only once it is there, and together with it."""
        waiting = []
        async for made in upstream:
            self._indexes.append(made.shard)
            if self.steps[0].decisive:
                waiting.append(made)
            else:
                yield made
        if self.steps[0].decisive:
            task = self._task(round_)
            plan.want(task)
            blocklist = (await plan.done(task)).output("blocklist")
            beside = (blocklist,) if blocklist is not None and blocklist.samples else ()
            for made in waiting:
                yield replace(made, beside=beside)

    def end(self, plan: Plan) -> None:
        """Count all the same where it is only told."""
        if not self.steps[0].decisive:
            plan.want(self._task(len(plan.config.rounds)))

    def _task(self, round_: int) -> Task:
        return Task(
            stage=self.name, number=(round_, 0, 0), inputs=tuple(self._indexes), identity=self.identity
        )

    def work(self, recipe: Recipe, task: Task, context: Context, work: Work) -> None:
        """Count over all fates; write the blocklist."""
        import pyarrow.parquet as pq

        from gristmill.run.state import layout

        step, here = self.steps[0], dict[str, Path]()
        with context.scratch(task) as scratch:
            blocklist, work.found = step.tally(lambda: _fates(step.columns, task, context, here), scratch)
        name = layout.decision(task, ".parquet")
        with context.output("blocklist", name, samples=blocklist.num_rows) as out:
            pq.write_table(blocklist, out.stream, compression="zstd")
        work.outputs.append(out.info)


def _fates(columns: Sequence[str], task: Task, context: Context, here: dict[str, Path]) -> Iterator[Any]:
    """The fates beside the indexes, a batch at a time; read twice, and so ``here`` keeps where they are."""
    from gristmill.run.state import layout

    for done, index in enumerate(task.inputs):
        context.check_stop()
        context.report(task, done, len(task.inputs), {}, 0)
        with _opened(layout.fates_beside(index), context, here) as file:
            yield from file.iter_batches(columns=list(columns))


def _opened(name: str, context: Context, here: dict[str, Path]) -> Any:
    """Open a file of fates where it was the first time, or as it is in the store where that is gone."""
    import pyarrow.parquet as pq

    with suppress(KeyError, FileNotFoundError):
        return pq.ParquetFile(here[name])
    here[name] = context.store.fetch(name)
    return pq.ParquetFile(here[name])


STAGE = Statistics
