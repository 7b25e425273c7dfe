"""Rich's console, of which no terminal obeys what strangers wrote; see :mod:`gristmill.cli.printed`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from gristmill.cli.printed import Printable
from gristmill.spec.command import printable

__all__ = ["Terminal"]


class Terminal(Console):
    """Rich's console on one of the streams.

    Args:
        stderr: On that one.
        options: Of Rich's.
    """

    def __init__(self, *, stderr: bool = False, **options: Any) -> None:
        stream = sys.stderr if stderr else sys.stdout
        super().__init__(file=stream.stream if isinstance(stream, Printable) else stream, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See ``rich.console.Console``."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
