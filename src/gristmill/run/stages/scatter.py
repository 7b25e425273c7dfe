"""The stage ``scatter``, the first half of a shuffle: one input, and the place that each of its samples goes to.

An input is a part's index, or of a mixture a finished shard of one of its datasets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from gristmill.ledger.run_config import LEFT_OUT, RunConfig
from gristmill.run.planning.stage import Made, Plan, Stage
from gristmill.spec.barrier import GlobalShuffle
from gristmill.spec.mixture import Subset
from gristmill.spec.recipe import Recipe
from gristmill.spec.step import Step
from gristmill.spec.task import Task, decided

if TYPE_CHECKING:
    from gristmill.run.state.context import Context, Work

__all__ = ["STAGE", "Scatter", "ScatterDecision", "Share"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Holds what is taken of a mixture's part: ``taken`` of its ``of`` samples.

    Attributes:
        first: The position in the part of the input's first sample.
        subset: Which ones, see :class:`gristmill.spec.mixture.Part`.
    """

    first: int
    taken: int
    of: int
    subset: Subset = "even"

    @property
    def whole(self) -> bool:
        """All of it, once each."""
        return self.taken == self.of

    def of_next(self, samples: int, step: GlobalShuffle) -> int:
        """Say how many are taken of so many samples from the first."""
        if self.subset == "even":
            return (self.first + samples) * self.taken // self.of - self.first * self.taken // self.of
        often, more = divmod(self.taken, self.of)
        if self.subset == "first":
            return often * samples + max(0, min(samples, more - self.first))
        return int(self.copies(samples, step).sum())

    def copies(self, samples: int, step: GlobalShuffle) -> Any:
        """Say how often each of so many samples from the first is taken: int64, shape (samples,)."""
        import numpy as np

        if self.subset == "even":
            ends = (self.first + np.arange(samples + 1, dtype=np.int64)) * self.taken // self.of
            return np.diff(ends)
        often, more = divmod(self.taken, self.of)
        if self.subset == "first":
            rank = self.first + np.arange(samples, dtype=np.int64)
        else:
            rank = step.ranks(self.first, self.first + samples, self.of)
        return often + (rank < more).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatterDecision:
    """Says where the samples of one input stand in the order of the whole dataset.

    Attributes:
        start: Number of its first sample.
        samples: Samples of all inputs.
        earlier: Samples of the first round, where this is a later one.
        prefix: What keys get in front.
        share: What is taken; all if None.
        without: Digest of the list of samples that are left out, see :data:`gristmill.ledger.run_config.LEFT_OUT`.
    """

    start: int
    samples: int
    earlier: int | None = None
    prefix: str = ""
    share: Share | None = None
    without: str = ""


class Scatter(Stage[GlobalShuffle]):
    """One input, scattered."""

    name = "scatter"
    account = "placing"
    verb = "scatter"
    rank = 2
    awaited_by_all = True

    def __init__(self, steps: Sequence[GlobalShuffle], recipe_steps: Sequence[Step], version: str) -> None:
        super().__init__(steps, recipe_steps, version)
        self._earlier: int | None = None

    @classmethod
    def steps_of(cls, steps: Sequence[Step]) -> Sequence[Any] | None:
        """The last, if it shuffles."""
        return steps[-1:] if steps and isinstance(steps[-1], GlobalShuffle) else None

    @property
    def divided(self) -> bool:
        """Of a mixture, where nothing comes before; else it is the samples that are."""
        return len(self.recipe_steps) == 1

    async def flow(self, upstream: AsyncIterator[Made], round_: int, plan: Plan) -> AsyncIterator[Made]:
        """Hand on what was scattered of each input, with the decision that it was scattered by."""
        inputs = [made async for made in upstream]
        tasks = self._tasks(inputs, plan.config)
        for task in tasks:  # anybody scatters what was crawled; of a mixture each its span
            if task.inputs[0].role != "source" or task.number[1] in plan.span:
                plan.want(task)
        for task in tasks:
            rows = (await plan.done(task)).output("index")
            if rows is not None:
                yield Made(number=task.number, shard=rows, decision=task.decision)

    def _tasks(self, inputs: Sequence[Made], config: RunConfig) -> list[Task]:
        taken = list(_taken(inputs, config, self.steps[0]))
        starts = [0, *accumulate(samples for samples, _, _ in taken)]
        identity, earlier = self.identity, self._earlier
        self._earlier = earlier or starts[-1]
        return [
            Task(
                stage=self.name,
                number=made.number,
                inputs=(made.shard,),
                identity=identity,
                decision=ScatterDecision(
                    start=start,
                    samples=starts[-1],
                    earlier=earlier,
                    prefix=prefix,
                    share=share,
                    without=next((file.digest for file in config.aux if file.source == LEFT_OUT), ""),
                ),
            )
            for made, start, (_, prefix, share) in zip(inputs, starts, taken, strict=False)
        ]

    def reads_bodies(self, task: Task) -> bool:
        """The media of an index."""
        return True

    def work(self, recipe: Recipe, task: Task, context: Context, work: Work) -> None:
        """Give each sample its place."""
        from gristmill.run.stages._scatter import run_scatter

        run_scatter(self.steps[0], task, decided(task, ScatterDecision), context, work)


def _taken(
    inputs: Sequence[Made], config: RunConfig, step: GlobalShuffle
) -> Iterator[tuple[int, str, Share | None]]:
    """How many samples are taken of each input, copies counted; the prefix of their keys; and by what share."""
    seen: Counter[str] = Counter()
    for made in inputs:
        samples = made.shard.samples
        if made.shard.role != "source":
            yield samples, "", None
            continue
        file = config.inputs[made.number[1]]
        source, samples = file.source, samples - file.spare
        part = config.parts[source]
        share = Share(
            first=seen[source],
            taken=part["taken"],
            of=part["samples"] - part.get("spare", 0),
            subset=part.get("subset", "even"),
        )
        seen[source] += samples
        prefix = part["prefix"] or ""
        yield (samples, prefix, None) if share.whole else (share.of_next(samples, step), prefix, share)


STAGE = Scatter
