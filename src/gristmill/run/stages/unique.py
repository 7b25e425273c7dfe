"""The stage ``unique``: the samples of one part without those whose keys an earlier one has.

There is a task for each part whose recipe gives keys, in the dataset's order. Each looks for its keys among those of
all parts before it, and writes its own, sorted, as a run. A run that follows enough of its length takes them into
itself, so that there are few to look into, and none is longer than memory bears.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from gristmill.run.planning.stage import Made, Plan, Stage
from gristmill.spec.recipe import Recipe
from gristmill.spec.step import Step, TableStep
from gristmill.spec.task import ShardInfo, Task, decided

if TYPE_CHECKING:
    from gristmill.run.state.context import Context, Work

__all__ = ["STAGE", "Unique", "UniqueDecision"]

_RUNS_OF_A_LENGTH = 15
_MOST_KEYS = 1 << 22
"""No run is made longer than that: 64 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UniqueDecision:
    """Says how many of the last runs the new one takes into itself."""

    merge: int


class Unique(Stage[Step]):
    """The keys of one part, compared."""

    name = "unique"
    account = "judging"
    rank = 3

    def __init__(self, steps: Sequence[Step], recipe_steps: Sequence[Step], version: str) -> None:
        super().__init__(steps, recipe_steps, version)
        self._runs: list[tuple[int, ShardInfo]] = []

    @classmethod
    def steps_of(cls, steps: Sequence[Step]) -> Sequence[Any] | None:
        """None of the steps is its own: keys are compared wherever a table is read."""
        return () if steps and isinstance(steps[0], TableStep) else None

    async def flow(self, upstream: AsyncIterator[Made], round_: int, plan: Plan) -> AsyncIterator[Made]:
        """Hand on each part's new index, or the old one where no key is repeated."""
        async for made in upstream:
            if not (made.shard.samples and made.facts.get("named")):
                yield made
                continue
            level, merged = self._to_merge()
            task = Task(
                stage=self.name,
                number=made.number,
                inputs=(made.shard, *(run for _, run in self._runs)),
                identity=self.identity,
                decision=UniqueDecision(merge=merged),
            )
            plan.want(task)
            record = await plan.done(task)
            run = record.output("keys")
            if run is not None and run.samples:
                self._runs[len(self._runs) - merged :] = [(level, run)]
            yield replace(made, shard=record.output("index") or made.shard)

    def _to_merge(self) -> tuple[int, int]:
        """The level of the next run, and how many of the last ones it takes into itself."""
        level = merged = samples = 0
        while True:
            left = reversed(self._runs[: len(self._runs) - merged])
            like = [run.samples for _, run in takewhile(lambda one, level=level: one[0] == level, left)]  # type: ignore[misc]
            if len(like) < _RUNS_OF_A_LENGTH or samples + sum(like) > _MOST_KEYS:
                return level, merged
            level, merged, samples = level + 1, merged + len(like), samples + sum(like)

    def work(self, recipe: Recipe, task: Task, context: Context, work: Work) -> None:
        """Drop what repeats a key; write the keys that are new."""
        from gristmill.run.stages._unique import run_unique

        run_unique(task, decided(task, UniqueDecision), context, work)


STAGE = Unique
