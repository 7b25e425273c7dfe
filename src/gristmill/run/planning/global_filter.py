"""The tasks of a census: counted once all crawl tasks of a round are done, over the fates of all rounds so far.

Where its verdict decides (``Census.decisive``), each crawl task's samples are sifted by it before they are packed;
else it is counted at the very end, and only told.
"""

from __future__ import annotations

from collections.abc import Callable

from gristmill.ledger.ledger import Ledger
from gristmill.run.planning.pipeline import SCREEN, STATISTICS, Stages
from gristmill.spec.task import ShardInfo, Task, TaskRecord

__all__ = ["FilterTasks"]


class FilterTasks:
    """The census tasks of a dataset, and the sifting that follows from them.

    Args:
        push: Takes a task that is to be done.
    """

    def __init__(self, stages: Stages, ledger: Ledger, push: Callable[[Task], None]) -> None:
        self._stages, self._ledger, self._push = stages, ledger, push
        self._indexes: list[tuple[tuple[int, int, int], ShardInfo]] = []
        self._filter: Task | None = None
        self._filtering: dict[str, Task] = {}
        self.tasks: dict[str, Task] = {}
        """All that must be done before the dataset is complete, by id."""

    @property
    def decisive(self) -> bool:
        """Packing waits for the verdict."""
        return self._stages.global_filter is not None and self._stages.global_filter.decisive

    def collect(self, record: TaskRecord) -> None:
        """Take note of a finished crawl task; called in the dataset's order."""
        index = record.output("index")
        if self._stages.global_filter is not None and index is not None:
            self._indexes.append((record.number, index))

    def settle(self, round_: int) -> bool:
        """All crawl tasks of the round are collected: have them counted, and sifted if that was the purpose.

        Returns:
            The verdict is there.
        """
        if self._stages.global_filter is None:
            return True
        if self._filter is None or self._filter.number[0] != round_:
            self._filter = Task(
                stage=STATISTICS,
                number=(round_, 0, 0),
                inputs=tuple(index for _, index in self._indexes),
                identity=self._stages.identity(STATISTICS),
            )
            self._add(self._filter)
        if self._filter.id not in self._ledger.records:
            return False
        if self.decisive:
            for number, index in self._indexes:
                if number[0] == round_:
                    self._apply_blocklist(number, index)
        return True

    def _apply_blocklist(self, number: tuple[int, int, int], index: ShardInfo) -> None:
        blocklist = self._blocklist()
        if blocklist is None or index.samples == 0:
            return
        task = Task(
            stage=SCREEN, number=number, inputs=(index, blocklist), identity=self._stages.identity(SCREEN)
        )
        self._filtering[index.path] = task
        self._add(task)

    def _blocklist(self) -> ShardInfo | None:
        """The verdict's file; None if it condemns nothing."""
        record = self._ledger.records.get(self._filter.id) if self._filter else None
        blocklist = record.output("blocklist") if record else None
        return blocklist if blocklist is not None and blocklist.samples else None

    def _add(self, task: Task) -> None:
        self.tasks[task.id] = task
        self._push(task)

    def screened(self, record: TaskRecord) -> TaskRecord | None:
        """The record whose index is to be packed: of the sifting if it changed something; None if it is not done."""
        index = record.output("index")
        task = self._filtering.get(index.path) if index is not None else None
        if task is None:
            return record
        done = self._ledger.records.get(task.id)
        return done if done is None or done.output("index") is not None else record

    @property
    def complete(self) -> bool:
        """Nothing of it is left to be done."""
        return all(task_id in self._ledger.records for task_id in self.tasks)
