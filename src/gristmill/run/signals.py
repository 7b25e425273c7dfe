"""Ctrl-C and SIGTERM: the first ends a run tidily, the second at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Timer
from types import FrameType

__all__ = ["ending_signals"]

_CLOSING_S = 2.0
"""Seconds to kill workers in when the grace is over; then this process ends at once, whatever it is at."""
_CUT_OFF = "Ended at once. Everything finished is kept; the same command continues."


@contextmanager
def ending_signals(stop: Event, last_words: Callable[[str], None], grace_s: float) -> Iterator[list[int]]:
    """Give the signals that came; the first sets ``stop``.

    The second ends the process at once, as the first does when ``grace_s`` is over. Its workers end with
    it. Ends are needed from outside of the main loop, too: it may be in the middle of a task, or not have begun.
    """
    came: list[int] = []
    timers: list[Timer] = []

    def cut_off(number: int) -> None:
        last_words(_CUT_OFF)
        os._exit(128 + number)

    def handle(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:  # before all else: the first may have been interrupted while it set the event
            cut_off(number)
        stop.set()
        timer = Timer(grace_s + _CLOSING_S, cut_off, (number,))
        timer.daemon = True
        with suppress(RuntimeError):  # the machine has no thread for it
            timer.start()
            timers.append(timer)

    before = {}
    with suppress(ValueError):  # not in the main thread: whoever called us handles signals
        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
