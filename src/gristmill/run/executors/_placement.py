"""Choose the worker for a task by what the task needs, what each worker has aboard, and how full its crawler is.

A worker is one process with, as a rule, one processor. It takes as many tasks as fit: a crawl mostly waits, so that
several do; a task that computes has it for itself. The last media of tasks are slow ones, so that the next task is
given before the others are done, but not long before.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gristmill.run.state.context import Progress
from gristmill.run.workers.messages import Beat
from gristmill.spec.step import Needs

__all__ = ["MOST_AT_ONCE", "Place", "Placement", "memory_gib"]

MOST_AT_ONCE = 48
"""Tasks in one worker, with crawls given because its crawler is far from full."""
_LOW_WATER = 512
"""A worker with fewer media left than that gets another task: its stragglers must not leave it idle."""
_FAR_FROM_FULL = 0.5
_BEATS = 2
"""A worker whose crawler says so often in a row that it is far from full gets one crawl more, however much is left of
those it has: their hosts have no more to give at once, and other crawls' hosts would wait for nothing."""


@dataclass(slots=True)
class _Aboard:
    needs: Needs
    left: int
    alone: bool


class Place:
    """One worker, as far as it matters for placement."""

    def __init__(self) -> None:
        self._aboard: dict[str, _Aboard] = {}
        self._unanswered = 0  # media aboard that wait for hosts which have answered nothing yet
        self._idle_beats = 0  # in a row, since the last task was given

    def __len__(self) -> int:
        return len(self._aboard)

    @property
    def left(self) -> int:
        """Media that its tasks have still to finish."""
        return sum(one.left for one in self._aboard.values())

    @property
    def memory_gib(self) -> float:
        """Say what its tasks hold at most."""
        return sum(one.needs.memory_gib for one in self._aboard.values())

    def room(self, needs: Needs, *, alone: bool = False) -> bool:
        """Say whether it takes a task. One with nothing aboard takes any.

        Args:
            needs: Of the task.
            alone: No other task may be aboard with it.
        """
        if not self._aboard:
            return True
        if alone or any(one.alone for one in self._aboard.values()):
            return False
        starves = self._starves
        busy = sum(one.needs.cpus for one in self._aboard.values() if not (starves and one.needs.network))
        if starves:  # crawls only wait: more of them, and something that computes beside
            return len(self) < MOST_AT_ONCE and (needs.network or busy + needs.cpus <= 1)
        return busy + needs.cpus <= 1 and self.left < _LOW_WATER

    @property
    def _starves(self) -> bool:
        """Whether it crawls, and its crawler would do more, now or soon, if it had other hosts' URLs."""
        if not any(one.needs.network for one in self._aboard.values()):
            return False
        soon = self._unanswered > 0 and self.left - self._unanswered < _LOW_WATER
        return soon or self._idle_beats >= _BEATS

    def put(self, task_id: str, needs: Needs, media: int, *, alone: bool = False) -> None:
        """A task was given to it, with so many media."""
        self._aboard[task_id] = _Aboard(needs, media, alone)
        self._idle_beats = 0

    def took(self, task_id: str) -> None:
        """A task has left it."""
        del self._aboard[task_id]

    def heard(self, message: Beat | Progress) -> None:
        """It said how full it is, or how far a task."""
        if isinstance(message, Beat):
            self._idle_beats = self._idle_beats + 1 if message.fill < _FAR_FROM_FULL else 0
            self._unanswered = message.unanswered
        elif (one := self._aboard.get(message.task_id)) is not None:
            one.left = (message.total or 0) - message.done


class Placement:
    """Chooses among places, within the memory of the machine.

    Args:
        memory_gib: What all tasks together may hold; one task always may.
    """

    def __init__(self, memory_gib: float) -> None:
        self._memory_gib = memory_gib

    def choose(self, places: Mapping[int, Place], needs: Needs, *, alone: bool = False) -> int | None:
        """The place with least to do that has room; None if none has."""
        held = sum(place.memory_gib for place in places.values())
        if held and held + needs.memory_gib > self._memory_gib:
            return None
        free = [key for key, place in places.items() if place.room(needs, alone=alone)]
        return min(free, key=lambda key: (len(places[key]), places[key].left), default=None)


def memory_gib() -> float:
    """Memory that processes here may have: the machine's, or that of our control group (Linux: cgroups(7), v2)."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError, ValueError):  # no control groups, or "max"
        own = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2]
        for folder in (Path(f"/sys/fs/cgroup{own}"), *Path(f"/sys/fs/cgroup{own}").parents):
            limit = folder / "memory.max"
            if limit.is_file() and (text := limit.read_text().strip()) != "max":
                limits.append(int(text))
    return min(limits) / 2**30
