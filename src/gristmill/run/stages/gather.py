"""The stage ``gather``, the second half of a shuffle: one shard, out of what every input gives to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gristmill.run.planning.stage import Made, Plan, Stage
from gristmill.run.stages.scatter import ScatterDecision
from gristmill.spec.barrier import GlobalShuffle
from gristmill.spec.errors import RecipeError
from gristmill.spec.recipe import Recipe
from gristmill.spec.step import Step
from gristmill.spec.task import Task, decided

if TYPE_CHECKING:
    from gristmill.run.state.context import Context, Work

__all__ = ["STAGE", "Gather", "GatherDecision"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherDecision:
    """A shard by its number in this round, its first place and the first beyond it."""

    shard: int
    places: tuple[int, int]


class Gather(Stage[GlobalShuffle]):
    """One shard, gathered."""

    name = "gather"
    account = "packing"
    verb = "gather"
    rank = 0

    def __init__(self, steps: Sequence[GlobalShuffle], recipe_steps: Sequence[Step], version: str) -> None:
        super().__init__(steps, recipe_steps, version)
        self._shards = 0
        if steps[0].refers and len(recipe_steps) > 1:
            raise RecipeError(
                f"{steps[0].name} cannot leave samples where they are: only a mixture's lie in shards"
            )
        if steps[0].without_duplicates and len(recipe_steps) > 1:
            raise RecipeError(
                f"{steps[0].name} compares the parts of a mixture, and this is none: leave its duplicates kept"
            )

    @classmethod
    def steps_of(cls, steps: Sequence[Step]) -> Sequence[Any] | None:
        """The last, if it shuffles."""
        return steps[-1:] if steps and isinstance(steps[-1], GlobalShuffle) else None

    async def flow(self, upstream: AsyncIterator[Made], round_: int, plan: Plan) -> AsyncIterator[Made]:
        """A task for each shard, once all is scattered."""
        scattered = [made async for made in upstream]
        for decision in (made.decision for made in scattered[:1]):
            self._want_all(decision, scattered, round_, plan)
        for made in scattered:
            yield made

    def _want_all(
        self, decision: ScatterDecision, scattered: Sequence[Made], round_: int, plan: Plan
    ) -> None:
        places = self.steps[0].places(decision.samples, decision.earlier)
        inputs, identity = tuple(made.shard for made in scattered), self.identity
        for shard in range(places.shards):
            task = Task(
                stage=self.name,
                number=(round_, 0, self._shards + shard),
                inputs=inputs,
                identity=identity,
                decision=GatherDecision(shard=shard, places=places.bounds(shard)),
            )
            plan.want(task)
        self._shards += places.shards

    def reads_bodies(self, task: Task) -> bool:
        """True: what was scattered is read."""
        return True

    def work(self, recipe: Recipe, task: Task, context: Context, work: Work) -> None:
        """Read the shard's samples by their places and write it; or write where they lie."""
        from gristmill.run.stages._gather import run_gather, run_refer

        gather = run_refer if self.steps[0].refers else run_gather
        gather(task, decided(task, GatherDecision), context, work)


STAGE = Gather
