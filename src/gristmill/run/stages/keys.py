"""The stage ``keys``: between scattering and gathering, whether parts of a mixture have keys in common."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from gristmill.run.planning.stage import Made, Plan, Stage
from gristmill.spec.barrier import GlobalShuffle
from gristmill.spec.recipe import Recipe
from gristmill.spec.step import Step
from gristmill.spec.task import Task

if TYPE_CHECKING:
    from gristmill.run.state.context import Context, Work

__all__ = ["STAGE", "Keys"]


class Keys(Stage[GlobalShuffle]):
    """All keys of a mixture, compared."""

    name = "keys"
    rank = 1
    awaited_by_all = True

    @classmethod
    def steps_of(cls, steps: Sequence[Step]) -> Sequence[Any] | None:
        """A mixture's only step; keys of a recipe are unique by its own word."""
        return steps if len(steps) == 1 and isinstance(steps[0], GlobalShuffle) else None

    async def flow(self, upstream: AsyncIterator[Made], round_: int, plan: Plan) -> AsyncIterator[Made]:
        """Hand on what was scattered, once its keys are known to differ."""
        scattered = [made async for made in upstream]
        inputs = tuple(made.shard for made in scattered)
        task = Task(stage=self.name, number=(round_, 0, 0), inputs=inputs, identity=self.identity)
        plan.want(task)
        await plan.done(task)
        for made in scattered:
            yield made

    def work(self, recipe: Recipe, task: Task, context: Context, work: Work) -> None:
        """Compare the keys."""
        from gristmill.run.stages._keys import run_keys

        run_keys(task, context)


STAGE = Keys
