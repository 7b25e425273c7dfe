"""Messages: commands that a person can copy and paste, and words of strangers that a terminal can be shown."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from gristmill.spec.errors import SourceError

__all__ = ["for_part", "for_readers", "naming_source", "printable", "started_as", "to_type"]

_OPTION = re.compile(r"(--source|--set) ([a-z][\w-]*)(?=[=.])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


_program: ContextVar[str] = ContextVar("program", default="gristmill")


def to_type(*words: object) -> str:
    """``gristmill`` with ``words``, each quoted for a shell (POSIX 2.2) where it needs that."""
    return shlex.join([_program.get(), *map(str, words)])


def started_as(program: str) -> None:
    """From now on name this command as it was started: by its path where its name alone would not be found.

    Args:
        program: As in ``sys.argv[0]``.
    """
    path = Path(program)
    if path.name != "gristmill" or (not path.is_absolute() and len(path.parts) == 1):
        return
    found = shutil.which("gristmill")
    if found is not None and Path(found).resolve() == path.resolve():
        return
    own, here = path.absolute(), Path.cwd()
    _program.set(str(own.relative_to(here) if own.is_relative_to(here) else own))


@contextmanager
def for_readers() -> Iterator[None]:
    """Name the command by its name alone: what is written now is read elsewhere, and the same for all."""
    token = _program.set("gristmill")
    try:
        yield
    finally:
        _program.reset(token)


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
    """Advice for a dataset, as it is typed where it is a part of a mixture: ``--source PART.KEY=``.

    Args:
        text: The advice.
        part: Its name, or a pattern of several, which is quoted.
    """
    quote = "'" if "*" in part else ""
    return _OPTION.sub(rf"\1 {quote}{part}.\2{quote}", text) if part else text


def printable(text: str) -> str:
    """``text`` without what a terminal would obey: names of files and columns are chosen by strangers."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)
