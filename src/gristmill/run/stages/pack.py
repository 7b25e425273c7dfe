"""The stage ``pack``: slices of finished samples, put into one shard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gristmill.run.planning.stage import Made, Plan, Stage
from gristmill.spec.barrier import Barrier, Group, IndexSummary
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Recipe
from gristmill.spec.step import Step
from gristmill.spec.task import ShardInfo, Task, decided

if TYPE_CHECKING:
    from gristmill.run.state.context import Context, Work

__all__ = ["STAGE", "PackDecision", "PackStage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackDecision:
    """The samples of one shard: from and to which, in each input; or why they are left out."""

    slices: tuple[tuple[int, int], ...]
    drop: Reason | None = None


class PackStage(Stage[Barrier]):
    """One shard, packed."""

    name = "pack"
    account = "packing"
    verb = "pack"
    rank = 0

    def __init__(self, steps: Sequence[Barrier], recipe_steps: Sequence[Step], version: str) -> None:
        super().__init__(steps, recipe_steps, version)
        self._shards = 0

    @classmethod
    def steps_of(cls, steps: Sequence[Step]) -> Sequence[Any] | None:
        """The last, if it packs."""
        return steps[-1:] if steps and isinstance(steps[-1], Barrier) else None

    async def flow(self, upstream: AsyncIterator[Made], round_: int, plan: Plan) -> AsyncIterator[Made]:
        """A task for each shard, as soon as it is decided what it holds."""
        decider = self.steps[0].decider()
        async for made in upstream:
            sizes = _sizes(plan, made.shard)
            for group in decider.feed(IndexSummary(shard=made.shard, sizes=sizes)):
                self._want(group, round_, plan)
            yield made
        for group in decider.finish():
            self._want(group, round_, plan)

    def _want(self, group: Group, round_: int, plan: Plan) -> None:
        slices = tuple((piece.start, piece.stop) for piece in group.slices)
        task = Task(
            stage=self.name,
            number=(round_, 0, self._shards),
            inputs=tuple(piece.shard for piece in group.slices),
            identity=self.identity,
            decision=PackDecision(slices=slices, drop=group.drop),
        )
        self._shards += group.drop is None
        plan.want(task)

    def reads_bodies(self, task: Task) -> bool:
        """The media of the samples, unless these are left out."""
        return decided(task, PackDecision).drop is None

    def work(self, recipe: Recipe, task: Task, context: Context, work: Work) -> None:
        """Make the shard, or account for samples that are left out."""
        from gristmill.run.stages._pack import run_pack

        run_pack(self.steps[0], task, decided(task, PackDecision), context, work)


def _sizes(plan: Plan, index: ShardInfo) -> Callable[[], Sequence[int]]:
    def read() -> Sequence[int]:
        from gristmill.run.state.indexes import sizes_of

        return sizes_of(plan.store, index)

    return read


STAGE = PackStage
