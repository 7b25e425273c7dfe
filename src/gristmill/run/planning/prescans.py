"""The tasks of a survey: what a step over tables must know of every annotation file before it chooses rows in any.

Each file's survey is a task; its record holds what was found. Any process may do any of them, so that a process
with a share of the files (``--tasks``) need not wait for others that may never start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import InputFile
from gristmill.run.planning.pipeline import PRESCAN, Stages
from gristmill.spec.step import PrescanStep
from gristmill.spec.task import ShardInfo, Task

__all__ = ["Prescans"]


class Prescans:
    """The survey tasks of a dataset, and what was decided once all are done.

    Args:
        stages: Their first step is a PrescanStep.
        inputs: All annotation files, in the dataset's order.
        ledger: Where the records are.
        shard_of: An annotation file as the input of a task.
    """

    def __init__(
        self,
        stages: Stages,
        inputs: Sequence[InputFile],
        ledger: Ledger,
        shard_of: Callable[[int], ShardInfo],
    ) -> None:
        self._step, self._ledger = stages.table, ledger
        self.tasks = [
            Task(
                stage=PRESCAN,
                number=(0, position, 0),
                inputs=(shard_of(position),),
                identity=stages.identity(PRESCAN),
            )
            for position in range(len(inputs))
        ]
        self._missing = set(range(len(inputs)))
        self._decisions: Sequence[Any] = ()

    def missing(self) -> list[int]:
        """Positions of the files that are not surveyed yet."""
        self._missing = {p for p in self._missing if self.tasks[p].id not in self._ledger.records}
        return sorted(self._missing)

    def decision(self, position: int) -> Any:
        """What holds for one file; call it only when none is missing."""
        if not self._decisions and isinstance(self._step, PrescanStep):
            found = [self._ledger.records[task.id].found for task in self.tasks]
            self._decisions = self._step.decide(found)
        return self._decisions[position]
