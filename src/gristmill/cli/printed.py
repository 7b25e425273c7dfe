"""What is printed: names of files, columns and hosts are chosen by strangers, and no terminal obeys them.

The streams of a command write texts of which what a terminal would obey is spelled out. Rich's console, which needs
control sequences of its own, does so with each text before it adds them: :class:`gristmill.cli.terminal.Terminal`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from gristmill.spec.command import printable

__all__ = ["Printable", "printable_streams"]


class Printable:
    """A stream that writes printable text; all else is the stream's that it stands for."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write; a line may begin where it began before, so that it is written over."""
        over = "\r" if text[:1] == "\r" else ""
        return self.stream.write(over + printable(text[len(over) :]))

    def writelines(self, lines: Iterable[str]) -> None:
        """See ``io.TextIOBase``."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def printable_streams() -> Iterator[None]:
    """Within the block ``sys.stdout`` and ``sys.stderr`` write printable text."""
    before = sys.stdout, sys.stderr
    # either may be closed
    sys.stdout, sys.stderr = (stream and cast(TextIO, Printable(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
