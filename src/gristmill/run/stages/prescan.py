"""The stage ``prescan``: what a step must know of every annotation file before it chooses rows in any.

Each file's prescan is a task; its record holds what was found. Any process may do any of them, so that a process
with a share of the files (``--tasks``) need not wait for others that may never start.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gristmill.run.planning.stage import Made, Plan, Stage
from gristmill.spec.recipe import Recipe
from gristmill.spec.step import PrescanStep, Step
from gristmill.spec.task import ShardInfo, Task

if TYPE_CHECKING:
    from gristmill.run.state.context import Context, Work

__all__ = ["STAGE", "Prescan"]


class Prescan(Stage[PrescanStep]):
    """One annotation file, looked at."""

    name = "prescan"
    account = "looking"
    rank = 8
    awaited_by_all = True

    @classmethod
    def steps_of(cls, steps: Sequence[Step]) -> Sequence[Any] | None:
        """The first, if it prescans."""
        return steps[:1] if steps and isinstance(steps[0], PrescanStep) else None

    async def flow(self, upstream: AsyncIterator[Made], round_: int, plan: Plan) -> AsyncIterator[Made]:
        """Hand on the files, each with what was decided for it when all were looked at."""
        files = [made async for made in upstream]
        tasks = [self.task(made.shard, made.number) for made in files]
        for task in tasks:
            plan.want(task)
        decisions = self.steps[0].decide([(await plan.done(task)).found for task in tasks])
        for made, decision in zip(files, decisions, strict=True):
            yield replace(made, decision=decision)

    def task(self, file: ShardInfo, number: tuple[int, int, int]) -> Task:
        """The task over one annotation file."""
        return Task(stage=self.name, number=number, inputs=(file,), identity=self.identity)

    def work(self, recipe: Recipe, task: Task, context: Context, work: Work) -> None:
        """Let the step look at the file; the record keeps what it finds."""
        from gristmill.run.stages._tables import InputTable

        file = InputTable(context.inputs[task.number[1]], task, context, work)
        try:
            with file.read_by_a_step():
                work.found = self.steps[0].prescan(file)
        finally:
            file.close()


STAGE = Prescan
