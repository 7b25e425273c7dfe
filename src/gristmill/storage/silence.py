"""Says what is waited for where a store does not answer. The command decides to whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["tell_silence", "told_if_silent"]

_SILENT_S = 3.0
"""After so long it is said."""
_tell: list[Callable[[str], None]] = []
"""Nobody in a worker: the command that it works for asks as well."""
_WAITS: dict[object, tuple[float, Callable[[], str]]] = {}
"""Holds what is waited for, and when that is to be said. A dictionary's own steps need no lock."""
_BEGUN = threading.Event()


def tell_silence(tell: Callable[[str], None]) -> None:
    """Name who is told, in words that come without a stop."""
    if not _tell:
        threading.Thread(target=_watch, name="silence", daemon=True).start()
    _tell[:] = [tell]


@contextmanager
def told_if_silent(said: Callable[[], str]) -> Iterator[None]:
    """Tell what is waited for, and for how long, if the block has not ended after some seconds."""
    wait = object()
    if _tell:
        _WAITS[wait] = time.monotonic() + _SILENT_S, said
        _BEGUN.set()
    try:
        yield
    finally:
        _WAITS.pop(wait, None)


def _watch() -> None:
    while True:
        waits = list(_WAITS.items())
        if not waits:
            _BEGUN.wait()
            _BEGUN.clear()
            continue
        time.sleep(max(0.0, min(due for _, (due, _) in waits) - time.monotonic()))
        for wait, (due, said) in waits:
            if time.monotonic() >= due and _WAITS.pop(wait, None) is not None:
                with suppress(OSError, ValueError):  # nobody reads it any more
                    _tell[0](f"{said()} for {_SILENT_S:.0f} s")
