"""Tasks that are known: which is next, and whether all are done."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod

from gristmill.ledger.ledger import Ledger
from gristmill.run.planning.decisions import PackDecision
from gristmill.run.planning.pipeline import (
    GATHER,
    KEYS,
    PACK,
    PRESCAN,
    ROWS,
    SAMPLES,
    SCATTER,
    SCREEN,
    STATISTICS,
    UNIQUE,
)
from gristmill.run.planning.shuffle import ShuffleTasks
from gristmill.spec.task import Task, TaskRecord

__all__ = ["TaskQueue"]

_NEAREST = (
    (PACK, GATHER),
    (KEYS,),
    (SCATTER,),
    (UNIQUE,),
    (SCREEN,),
    (STATISTICS,),
    (SAMPLES,),
    (ROWS,),
    (PRESCAN,),
)
_RANK = {stage: rank for rank, stages in enumerate(_NEAREST) for stage in stages}


class TaskQueue(ABC):
    """What every schedule keeps: the nearer a task is to a finished shard, the sooner it comes.

    Args:
        ledger: What is done.
        last: The last stage to work on.

    Attributes:
        settled: All that is to be packed is known.
        packs: Tasks that make shards, by id.
        scatters: Tasks of a shuffle that lead to them, by id.
        fed: Ids of the tasks whose samples were decided on.
    """

    def __init__(self, ledger: Ledger, last: str) -> None:
        self._ledger, self._last = ledger, last
        self._heap: list[tuple[int, tuple[int, int, int], str, Task]] = []
        self._shards = 0
        self.settled = False
        self.packs: dict[str, Task] = {}
        self.scatters: dict[str, Task] = {}
        self.fed: set[str] = set()

    @abstractmethod
    def absorb(self, record: TaskRecord) -> None:
        """Take note of a task done, here or by another process."""

    def pop(self) -> Task | None:
        """The next task that is not done; None if there is none just now."""
        while self._heap:
            task = heapq.heappop(self._heap)[3]
            if task.id not in self._ledger.records:
                return task
        return None

    def push(self, task: Task) -> None:
        """A task to be done (again)."""
        heapq.heappush(self._heap, (self._rank(task), task.number, task.id, task))

    def _rank(self, task: Task) -> int:
        return _RANK[task.stage]

    @property
    def prescanning(self) -> bool:
        """All that follows waits for tasks of every input, here or elsewhere."""
        return False

    def spent(self, record: TaskRecord) -> str | None:
        """The annotation file that nobody needs any more now that ``record`` is there, if it is one."""
        return None

    @property
    def complete(self) -> bool:
        """Nothing is left to be done by anybody."""
        return self.settled and all(task_id in self._ledger.records for task_id in self.packs)

    @property
    def judged(self) -> set[str]:
        """Ids of the tasks of a census, if there is one."""
        return set()

    @property
    def waiting(self) -> int:
        """Tasks known and not given out."""
        return len(self._heap)

    def needed(self) -> set[str]:
        """Paths of intermediate files that tasks not done yet will read."""
        tasks = [*self.packs.values(), *self.scatters.values()]
        return {
            shard.path
            for task in tasks
            if task.id not in self._ledger.records
            and not (isinstance(task.decision, PackDecision) and task.decision.drop)
            for shard in task.inputs
        }

    def _push_unless_done(self, task: Task) -> None:
        if _RANK[task.stage] >= _RANK[self._last] and task.id not in self._ledger.records:
            self.push(task)

    def scatter(self, shuffle_tasks: ShuffleTasks, span: range | None = None) -> bool:
        """Take up a shuffle's first tasks.

        Args:
            spread: All its inputs are known.
            span: Input positions whose tasks this process may do; all if None.

        Returns:
            True once all is scattered.
        """
        if any(task.id not in self.scatters for task in shuffle_tasks.scatter[:1]):
            for task in shuffle_tasks.scatter:
                self.scatters[task.id] = task
                self.fed.add(task.id)
                if span is None or task.number[1] in span:
                    self._push_unless_done(task)
        return shuffle_tasks.scattered(self._ledger.records)

    def gather(self, shuffle_tasks: ShuffleTasks) -> None:
        """Take up the tasks that make shards, once all is scattered."""
        for task in shuffle_tasks.gather(self._ledger.records):
            self.packs[task.id] = task
            self._push_unless_done(task)
        self._shards += shuffle_tasks.shards
