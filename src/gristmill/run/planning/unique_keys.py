"""The tasks that compare the keys of crawl tasks: one for each, in the dataset's order, before it is packed.

Each looks for its keys among those of all tasks before it, and writes its own, sorted, as a run. A run that follows
enough of its length takes them into itself, so that there are few to look into, and none is longer than memory bears.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile

from gristmill.ledger.ledger import Ledger
from gristmill.run.planning.pipeline import UNIQUE, Stages
from gristmill.spec.task import ShardInfo, Task

__all__ = ["UniqueKeys"]

_RUNS_OF_A_LENGTH = 15
_MOST_KEYS = 1 << 22
"""No run is made longer than that: 64 MB."""


class UniqueKeys:
    """The comparison of keys of one dataset.

    Args:
        push: Takes a task that is to be done.
    """

    def __init__(self, stages: Stages, ledger: Ledger, push: Callable[[Task], None]) -> None:
        self._stages, self._ledger, self._push = stages, ledger, push
        self._runs: list[tuple[int, ShardInfo]] = []
        self.tasks: dict[str, Task] = {}
        """All so far, by id."""

    def without_repeats(self, number: tuple[int, int, int], index: ShardInfo) -> ShardInfo | None:
        """The index that is to be packed in the place of ``index``; None if its task is not done.

        Called in the dataset's order, again with the same one until it is done.
        """
        level, merged = self._to_merge()
        task = Task(
            stage=UNIQUE,
            number=number,
            inputs=(index, *(run for _, run in self._runs)),
            identity=self._stages.identity(UNIQUE),
            decision={"merge": merged},
        )
        if task.id not in self.tasks:
            self.tasks[task.id] = task
            self._push(task)
        record = self._ledger.records.get(task.id)
        if record is None:
            return None
        run = record.output("keys")
        if run is not None and run.samples:
            self._runs[len(self._runs) - merged :] = [(level, run)]
        return record.output("index") or index

    def _to_merge(self) -> tuple[int, int]:
        """The level of the next run, and how many of the last ones it takes into itself."""
        level = merged = samples = 0
        while True:
            left = reversed(self._runs[: len(self._runs) - merged])
            like = [run.samples for _, run in takewhile(lambda one, level=level: one[0] == level, left)]  # type: ignore[misc]
            if len(like) < _RUNS_OF_A_LENGTH or samples + sum(like) > _MOST_KEYS:
                return level, merged
            level, merged, samples = level + 1, merged + len(like), samples + sum(like)
