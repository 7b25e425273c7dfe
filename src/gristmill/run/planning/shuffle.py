"""The tasks of a shuffle: one for each input, which scatters, then one for each output shard, which gathers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from gristmill.run.planning.decisions import GatherDecision, ScatterDecision, Share
from gristmill.run.planning.pipeline import GATHER, KEYS, SCATTER, Stages
from gristmill.spec.barrier import GlobalShuffle, Places
from gristmill.spec.task import ShardInfo, Task, TaskRecord

__all__ = ["ShuffleTasks"]


class ShuffleTasks:
    """One shuffle over inputs that are added in the dataset's order.

    Args:
        step: Says which place each sample gets.
        stages: For the tasks' identities.
        first_shard: Number of its first output shard.
        earlier: Samples of the first round, where this is a later one.
    """

    def __init__(
        self, step: GlobalShuffle, stages: Stages, first_shard: int = 0, earlier: int | None = None
    ) -> None:
        self._step, self._stages, self._first, self._earlier = step, stages, first_shard, earlier
        self._inputs: list[tuple[tuple[int, int, int], ShardInfo, int, str, Share | None]] = []
        self._done = 0
        self.samples = 0
        """All samples that get a place, those left out at the end included."""

    def add(
        self,
        number: tuple[int, int, int],
        shard: ShardInfo,
        samples: int | None = None,
        prefix: str = "",
        share: Share | None = None,
    ) -> None:
        """One more input.

        Args:
            number: Its place in the dataset's order.
            shard: A finished shard of a part, or the index of a crawl task.
            samples: How many of its samples are taken, copies counted; all if None.
            prefix: What the keys of a mixture's part get in front.
            share: What is taken of such a part, if that is not all.
        """
        taken = shard.samples if samples is None else samples
        self._inputs.append((number, shard, self.samples, prefix, share))
        self.samples += taken

    @cached_property
    def _places(self) -> Places:
        return self._step.places(self.samples, self._earlier)

    @property
    def shards(self) -> int:
        """Output shards."""
        return self._places.shards

    @cached_property
    def scatter(self) -> Sequence[Task]:
        """A task for each input, once all inputs are added."""
        return [
            Task(
                stage=SCATTER,
                number=number,
                inputs=(shard,),
                identity=self._stages.identity(SCATTER),
                decision=ScatterDecision(
                    start=start, samples=self.samples, earlier=self._earlier, prefix=prefix, share=share
                ),
            )
            for number, shard, start, prefix, share in self._inputs
        ]

    def scattered(self, records: Mapping[str, TaskRecord]) -> bool:
        """Whether all of them are done; cheap to ask again and again."""
        tasks = self.scatter
        while self._done < len(tasks) and tasks[self._done].id in records:
            self._done += 1
        return self._done == len(tasks)

    def keys(self, records: Mapping[str, TaskRecord]) -> Task:
        """The task that looks for keys in common; all is scattered, as ``records`` say."""
        rows = self._rows(records)
        return Task(stage=KEYS, number=(0, 0, 0), inputs=rows, identity=self._stages.identity(KEYS))

    def _rows(self, records: Mapping[str, TaskRecord]) -> tuple[ShardInfo, ...]:
        done = (records[task.id] for task in self.scatter)
        return tuple(index for record in done if (index := record.output("index")) is not None)

    def gather(self, records: Mapping[str, TaskRecord]) -> list[Task]:
        """A task for each output shard; all is scattered, as ``records`` say."""
        rows = self._rows(records)
        round_ = self.scatter[0].number[0] if self.scatter else 0
        return [
            Task(
                stage=GATHER,
                number=(round_, 0, self._first + shard),
                inputs=rows,
                identity=self._stages.identity(GATHER),
                decision=GatherDecision(shard=shard, places=self._places.bounds(shard)),
            )
            for shard in range(self._places.shards)
        ]
