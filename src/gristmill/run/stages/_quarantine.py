"""Which samples a worker was at when it died: what kills workers is found by halves, and left out.

A worker that is killed leaves no account. So a task that killed one is given out again with care: its samples are
taken in portions, and before each portion its rows are written down. If the worker dies again, the rows of that
portion are taken in smaller ones, until a single one is left. If workers die over that one again and again, with no
other beside it, it is recorded, and the others go on: one death may have been the machine's, or a person's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from gristmill.spec.sample import Sample
from gristmill.storage.files import write_whole

__all__ = ["Suspects"]

PORTION = 64
"""Samples taken together after a first death; an eighth of them after each further one."""
_SMALLER = 8
BELIEVED = 3
"""Workers that must die over a single sample."""


class Suspects:
    """The rows that a task's last worker was at, in a file, and how many workers died that were at just these.

    Args:
        path: The file; it is there only between a portion's beginning and the end of the task.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._deaths = 0
        try:
            rows, self._deaths = json.loads(path.read_bytes())
            self._rows: tuple[int, ...] = tuple(rows)
        except (FileNotFoundError, ValueError, TypeError):
            self._rows = ()

    @property
    def culprit(self) -> int | None:
        """The row over which workers died when they had no other in work, one after another."""
        return self._rows[0] if len(self._rows) == 1 and self._deaths >= BELIEVED else None

    def portions(self, samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
        """The samples in portions, those that the last worker was at first and in smaller ones."""
        suspected = set(self._rows) if self.culprit is None else set()
        first = [sample for sample in samples if sample.row in suspected]
        rest = [sample for sample in samples if sample.row not in suspected]
        for group, size in ((first, max(1, len(first) // _SMALLER)), (rest, PORTION)):
            for start in range(0, len(group), size):
                portion = group[start : start + size]
                rows = tuple(sample.row for sample in portion)
                deaths = self._deaths + 1 if rows == self._rows else 1
                write_whole(self._path, json.dumps([rows, deaths]).encode())
                yield portion
        self._path.unlink(missing_ok=True)
