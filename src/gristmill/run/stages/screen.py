"""The stage ``screen``: the samples of one part without the media that the whole dataset's statistics flagged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gristmill.run.planning.stage import Made, Plan, Stage
from gristmill.spec.barrier import GlobalFilter
from gristmill.spec.recipe import Recipe
from gristmill.spec.step import SampleStep, ShardStep, Step
from gristmill.spec.task import Task

if TYPE_CHECKING:
    from gristmill.run.state.context import Context, Work

__all__ = ["STAGE", "Screen"]


class Screen(Stage[GlobalFilter]):
    """The samples of one part, screened."""

    name = "screen"
    account = "judging"
    rank = 4

    @classmethod
    def steps_of(cls, steps: Sequence[Step]) -> Sequence[Any] | None:
        """The last but one, if it is a global filter that decides."""
        own = steps[-2:-1]
        return own if own and isinstance(own[0], GlobalFilter) and own[0].decisive else None

    @property
    def deciding(self) -> Sequence[Step]:
        """The filter, and those that say what a sample is without some of its media."""
        return (*self.steps, *self._keepers)

    @property
    def _keepers(self) -> Sequence[SampleStep | ShardStep]:
        return [step for step in self.recipe_steps if isinstance(step, SampleStep | ShardStep)]

    async def flow(self, upstream: AsyncIterator[Made], round_: int, plan: Plan) -> AsyncIterator[Made]:
        """Hand on each part's new index, or the old one where nothing in it changed."""
        inputs = [made async for made in upstream]
        tasks = {made.number: self._task(made) for made in inputs if made.beside and made.shard.samples}
        for task in tasks.values():
            plan.want(task)
        for made in inputs:
            waited = tasks.get(made.number)
            screened = (await plan.done(waited)).output("index") if waited is not None else None
            yield replace(made, shard=screened or made.shard)

    def _task(self, made: Made) -> Task:
        inputs = (made.shard, *made.beside)
        return Task(stage=self.name, number=made.number, inputs=inputs, identity=self.identity)

    def work(self, recipe: Recipe, task: Task, context: Context, work: Work) -> None:
        """Take flagged media from the part's samples."""
        from gristmill.run.stages._screen import run_screen

        run_screen(self.steps[0], self._keepers, task, context, work)


STAGE = Screen
