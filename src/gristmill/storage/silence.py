"""Says what is waited for where a store does not answer. The command decides to whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["SILENT_S", "tell_silence", "told_if_silent"]

SILENT_S = 3.0
"""After so long it is said."""
_tell: list[Callable[[str], None]] = [lambda said: None]


def tell_silence(tell: Callable[[str], None]) -> None:
    """Name who is told, in words that come without a stop."""
    _tell[0] = tell


@contextmanager
def told_if_silent(said: str) -> Iterator[None]:
    """Tell it if the block has not ended after some seconds."""
    from threading import Timer

    timer = Timer(SILENT_S, lambda: _tell[0](said))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
