"""Messages: commands that a person can copy and paste, and words of strangers that a terminal can be shown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from gristmill.spec.errors import SourceError

__all__ = ["for_part", "naming_source", "printable", "to_type"]

_OPTION = re.compile(r"(--source|--set) ([a-z][\w-]*[=.])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def to_type(*words: object) -> str:
    """``gristmill`` with ``words``, each quoted for a shell (POSIX 2.2) where it needs that."""
    return shlex.join(["gristmill", *map(str, words)])


@contextmanager
def naming_source(key: str) -> Iterator[None]:
    """Name the source ``key`` in what is advised by whoever fetches files and does not know what they are for.

    Raises:
        SourceError: As the block does, with ``--source KEY=`` in its words replaced.
    """
    try:
        yield
    except SourceError as err:
        text = str(err).replace("--source KEY=", f"--source {key}=")
        if text == str(err):
            raise
        raise type(err)(text) from err


def for_part(text: str, part: str) -> str:
    """Advice for a dataset, as it is typed where it is a part of a mixture: ``--source PART.KEY=``."""
    return _OPTION.sub(rf"\1 {part}.\2", text) if part else text


def printable(text: str) -> str:
    """``text`` without what a terminal would obey: names of files and columns are chosen by strangers."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)
