"""The stage ``index``: one media source, fetched, indexed, and its layout decided, before any medium is asked for.

What it makes lies in ``DIR/sources``, for all datasets in DIR; its record tells what was found.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gristmill.run.planning.stage import Made, Plan, Stage
from gristmill.spec.recipe import Recipe
from gristmill.spec.step import Step, TableStep
from gristmill.spec.task import ShardInfo, Task, digest_of

if TYPE_CHECKING:
    from gristmill.run.state.context import Context, Work

__all__ = ["STAGE", "Index", "IndexDecision"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexDecision:
    """Says which media source is indexed.

    Attributes:
        source: Its key.
    """

    source: str


class Index(Stage[Step]):
    """One media source."""

    name = "index"
    rank = 9
    awaited_by_all = True

    @classmethod
    def steps_of(cls, steps: Sequence[Step]) -> Sequence[Any] | None:
        """None is its own; there is nothing to index where finished shards are mixed."""
        return () if steps and isinstance(steps[0], TableStep) else None

    @classmethod
    def concerns(cls, recipe: Recipe) -> bool:
        """Only one with media sources."""
        return bool(recipe.of_role("media"))

    async def flow(self, upstream: AsyncIterator[Made], round_: int, plan: Plan) -> AsyncIterator[Made]:
        """Hand on the annotation files once every media source is indexed that has files since this round."""
        new = dict.fromkeys(file.source for file in plan.config.media if file.since == round_)
        tasks = [self._task(key, round_, plan) for key in new]
        for task in tasks:
            plan.want(task)
        for task in tasks:
            await plan.done(task)
        async for made in upstream:
            yield made

    def _task(self, key: str, round_: int, plan: Plan) -> Task:
        inputs = tuple(
            ShardInfo(
                path=file.name, role="source", samples=0, size_bytes=file.size_bytes, digest=file.digest
            )
            for file in plan.config.media_in(round_)
            if file.source == key
        )
        settings = plan.config.identity.get("media", {}).get(key)
        return Task(
            stage=self.name,
            number=(round_, 0, 0),
            inputs=inputs,
            identity=digest_of(settings),
            decision=IndexDecision(source=key),
        )

    def work(self, recipe: Recipe, task: Task, context: Context, work: Work) -> None:
        """Fetch and index it."""
        from gristmill.run.stages._index import run_index

        run_index(recipe, task, context, work)


STAGE = Index
