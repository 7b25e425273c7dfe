"""Which samples a worker was at when it died: what kills workers is found by halves, and left out.

A worker that is killed leaves no account. So a task that killed one is given out again with care: its samples are
taken in portions, and before each portion its rows are written down. If the worker dies again, the rows of that
portion are taken in smaller ones, until a single one is left. That one is recorded as an error of ours, and the
others go on.
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


class Suspects:
    """The rows that a task's last worker was at, in a file.

    Args:
        path: The file; it is there only between a portion's beginning and the end of the task.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._rows: tuple[int, ...] = tuple(json.loads(path.read_bytes()))
        except (FileNotFoundError, ValueError):
            self._rows = ()

    @property
    def culprit(self) -> int | None:
        """The row over which a worker died when it had no other in work."""
        return self._rows[0] if len(self._rows) == 1 else None

    def portions(self, samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
        """The samples in portions, those that the last worker was at first and in smaller ones."""
        suspected = set(self._rows) if self.culprit is None else set()
        first = [sample for sample in samples if row_of(sample) in suspected]
        rest = [sample for sample in samples if row_of(sample) not in suspected]
        for group, size in ((first, max(1, len(first) // _SMALLER)), (rest, PORTION)):
            for start in range(0, len(group), size):
                portion = group[start : start + size]
                write_whole(self._path, json.dumps([row_of(sample) for sample in portion]).encode())
                yield portion
        self._path.unlink(missing_ok=True)


def row_of(sample: Sample) -> int:
    """Where the sample's row stands upstream."""
    return sample.origin.row if sample.origin else 0
