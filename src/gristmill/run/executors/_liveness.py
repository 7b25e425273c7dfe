"""One rule by which a worker is given up: it gives signs of life, and now and then something in it gets further.

Each second it says that it lives (:class:`gristmill.run.workers.messages.Beat`), and whether anything moved. One that
says nothing for a minute is stopped, or lost in native code. One in which nothing moves for half an hour waits, or
computes, without an end; which of the two is told by the processor time that it used meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from gristmill.run.workers.messages import Beat
from gristmill.spec.errors import UsageError

__all__ = ["Liveness", "Lost", "standstill_s"]

_VARIABLE = "GRISTMILL_STANDSTILL_S"
_STANDSTILL_S = 1800.0
_SILENCE_S = 60.0
_BUSY = 0.1
"""Processors' worth of time that a worker must have used all along to be said to compute: its signs of life take less
than a hundredth, and on a machine with much else to do a loop gets little more than this."""


def standstill_s() -> float:
    """Seconds after which a worker in which nothing moves is given up: ``GRISTMILL_STANDSTILL_S``, or half an hour.

    Longer than a host may make a crawl wait (``crawl.max_host_pause_s``).

    Raises:
        UsageError: The variable holds no number above 0.
    """
    text = os.environ.get(_VARIABLE) or str(_STANDSTILL_S)
    try:
        limit_s = float(text)
    except ValueError:
        limit_s = 0.0
    if not limit_s > 0:
        raise UsageError(
            f"{_VARIABLE}={text}: expected a number of seconds above 0, for example {_STANDSTILL_S:g}"
        )
    return limit_s


@dataclass(frozen=True, slots=True)
class Lost:
    """Why a worker is given up.

    Attributes:
        said: A clause, its subject the worker.
        waits: It waited for something, so that nothing it worked on is to blame.
    """

    said: str
    waits: bool = False


class Liveness:
    """Holds what is known of one worker's life.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s, self._clock = limit_s, clock
        self._heard_at = self._moved_at = clock()
        self._cpu_s = self._cpu_then_s = 0.0

    def heard(self, beat: Beat | None = None) -> None:
        """It said something; what is no mere sign of life says that it got further."""
        self._heard_at = self._clock()
        if beat is not None:
            self._cpu_s = beat.cpu_s
        if beat is None or beat.moves:
            self.begins()

    def begins(self) -> None:
        """It was given something to do, or got further."""
        self._moved_at, self._cpu_then_s = self._clock(), self._cpu_s

    def excuse(self, lapse_s: float) -> None:
        """For so long nobody listened to it."""
        self._heard_at += lapse_s
        self._moved_at += lapse_s

    def lost(self, *, works: bool) -> Lost | None:
        """Why it is to be given up, if it is.

        Args:
            works: It has something to do.
        """
        if self._clock() - self._heard_at > _SILENCE_S:
            return Lost(f"gave no sign of life for {_SILENCE_S:g} s and was killed")
        lapse_s = self._heard_at - self._moved_at  # while it is silent it may be moving or not
        if not works or lapse_s <= self._limit_s:
            return None
        waits = self._cpu_s - self._cpu_then_s < _BUSY * lapse_s
        return Lost(
            f"{'waited' if waits else 'computed'} for {self._limit_s:g} s without progress and was killed",
            waits,
        )
