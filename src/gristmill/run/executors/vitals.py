"""Whether a process that lives also gets anywhere, by what Linux knows of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Vitals"]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_BUSY = 0.5
"""Processors' worth of time that a process must have used all along, to be called lost and not waiting."""
_MOVED_BYTES = 1_000_000
"""What is read or written by one that works."""
_BEATS_BYTES_S = 500
"""More than the signs of life of one that does not."""
_WAITS = 0.05
"""Processors' worth of time up to which a process is called waiting; signs of life take a tenth of that."""


@dataclass(slots=True)
class _Seen:
    at_s: float
    cpu_s: float
    moved_bytes: int


class Vitals:
    """Tells a process that computes without an end, or waits without one, from one that gets somewhere.

    Args:
        pid: The process.
        patience_s: Seconds of computing, without a word and with next to nothing read or written, after which it is
            lost.
        clock: Monotonic seconds.
        standing_s: Seconds without any of that, and without having stirred, after which it stands still.
    """

    def __init__(
        self,
        pid: int,
        patience_s: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        standing_s: float = float("inf"),
    ) -> None:
        self._pid, self._patience_s, self._clock, self._standing_s = pid, patience_s, clock, standing_s
        self._since = _Seen(clock(), 0.0, 0)
        self._stirred: _Seen | None = self._since
        self._looked_at_s = self._looked_for_stirring_at_s = clock()

    def advanced(self) -> None:
        """It said that it got further."""
        self._since = self._stirred = _Seen(self._clock(), *self._figures())

    def stirred(self) -> None:
        """It said that it waits for what is under way: nothing got further yet, but something moves."""
        self._stirred = None  # from when on, is taken note of at the next look

    def stands(self) -> bool:
        """Whether for too long nothing moved in it. Looks now and then; cheap to ask."""
        now_s = self._clock()
        if now_s - self._looked_for_stirring_at_s < self._standing_s / 15:
            return False
        self._looked_for_stirring_at_s = now_s
        cpu_s, moved_bytes = self._figures()
        if self._stirred is None:
            self._stirred = _Seen(now_s, cpu_s, moved_bytes)
        lapse_s = now_s - self._stirred.at_s
        moves = moved_bytes - self._stirred.moved_bytes >= max(_MOVED_BYTES, _BEATS_BYTES_S * lapse_s)
        if moves or cpu_s - self._stirred.cpu_s > lapse_s * _WAITS:
            self._stirred = _Seen(now_s, cpu_s, moved_bytes)
            return False
        return lapse_s > self._standing_s

    def lost(self) -> bool:
        """Whether it has computed for too long with nothing to show for it. Looks now and then; cheap to ask."""
        now_s = self._clock()
        if now_s - self._looked_at_s < self._patience_s / 15:
            return False
        self._looked_at_s = now_s
        cpu_s, moved_bytes = self._figures()
        lapse_s = now_s - self._since.at_s
        moves = moved_bytes - self._since.moved_bytes >= _MOVED_BYTES
        if moves or cpu_s - self._since.cpu_s < lapse_s * _BUSY:
            self._since = _Seen(now_s, cpu_s, moved_bytes)
            return False
        return lapse_s > self._patience_s

    def _figures(self) -> tuple[float, int]:
        """Processor seconds, and bytes read and written by system calls (proc(5)); zeros where nothing is known."""
        cpu_s, moved_bytes = 0.0, 0
        with suppress(OSError, ValueError):
            fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
            cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
            for line in Path(f"/proc/{self._pid}/io").read_text().splitlines()[:2]:  # rchar, wchar
                moved_bytes += int(line.partition(":")[2])
        return cpu_s, moved_bytes
