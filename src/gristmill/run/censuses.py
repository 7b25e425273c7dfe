"""The tasks of a census: counted once all crawl tasks of a round are done, over the fates of all rounds so far.

Where its verdict decides (``Census.decisive``), each crawl task's samples are sifted by it before they are packed;
else it is counted at the very end, and only told.
"""

from __future__ import annotations

from collections.abc import Callable

from gristmill.ledger.ledger import Ledger
from gristmill.run.pipeline import CENSUS, SIFT, Stages
from gristmill.spec.task import ShardInfo, Task, TaskRecord

__all__ = ["Censuses"]


class Censuses:
    """The census tasks of a dataset, and the sifting that follows from them.

    Args:
        push: Takes a task that is to be done.
    """

    def __init__(self, stages: Stages, ledger: Ledger, push: Callable[[Task], None]) -> None:
        self._stages, self._ledger, self._push = stages, ledger, push
        self._indexes: list[tuple[tuple[int, int, int], ShardInfo]] = []
        self._census: Task | None = None
        self._sifts: dict[str, Task] = {}
        self.tasks: dict[str, Task] = {}
        """All that must be done before the dataset is complete, by id."""

    @property
    def decisive(self) -> bool:
        """Packing waits for the verdict."""
        return self._stages.census is not None and self._stages.census.decisive

    def collect(self, record: TaskRecord) -> None:
        """Take note of a finished crawl task; called in the dataset's order."""
        index = record.output("index")
        if self._stages.census is not None and index is not None:
            self._indexes.append((record.number, index))

    def settle(self, round_: int) -> bool:
        """All crawl tasks of the round are collected: have them counted, and sifted if that was the purpose.

        Returns:
            The verdict is there.
        """
        if self._stages.census is None:
            return True
        if self._census is None or self._census.number[0] != round_:
            self._census = Task(
                stage=CENSUS,
                number=(round_, 0, 0),
                inputs=tuple(index for _, index in self._indexes),
                identity=self._stages.identity(CENSUS),
            )
            self._add(self._census)
        if self._census.id not in self._ledger.records:
            return False
        if self.decisive:
            for number, index in self._indexes:
                if number[0] == round_:
                    self._sift(number, index)
        return True

    def _sift(self, number: tuple[int, int, int], index: ShardInfo) -> None:
        verdict = self._verdict()
        if verdict is None or index.samples == 0:
            return
        task = Task(stage=SIFT, number=number, inputs=(index, verdict), identity=self._stages.identity(SIFT))
        self._sifts[index.path] = task
        self._add(task)

    def _verdict(self) -> ShardInfo | None:
        """The verdict's file; None if it condemns nothing."""
        record = self._ledger.records.get(self._census.id) if self._census else None
        verdict = record.output("verdict") if record else None
        return verdict if verdict is not None and verdict.samples else None

    def _add(self, task: Task) -> None:
        self.tasks[task.id] = task
        self._push(task)

    def sifted(self, record: TaskRecord) -> TaskRecord | None:
        """The record whose index is to be packed: of the sifting if it changed something; None if it is not done."""
        index = record.output("index")
        task = self._sifts.get(index.path) if index is not None else None
        if task is None:
            return record
        done = self._ledger.records.get(task.id)
        return done if done is None or done.output("index") is not None else record

    @property
    def complete(self) -> bool:
        """Nothing of it is left to be done."""
        return all(task_id in self._ledger.records for task_id in self.tasks)
