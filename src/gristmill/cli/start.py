"""Says in a sentence what goes wrong before anything is loaded."""

from __future__ import annotations

import errno
import os
import signal
from contextlib import suppress
from types import FrameType

__all__ = ["main", "stopped_code", "unloaded"]

_came: list[int] = []
"""Signals that asked this process to end."""
_SIGNS = ("shared object", "can't load unicodedata", "Too many open files", "Cannot allocate memory")
"""What an interpreter says, by various exceptions, that cannot load a module for want of files or memory."""


def unloaded(err: BaseException) -> str | None:
    """The sentence for a module that cannot be loaded for want of memory or open files; None if that was not it."""
    if not isinstance(err, MemoryError) and not any(sign in str(err) for sign in _SIGNS):
        return None
    said = str(err) or os.strerror(errno.ENOMEM)
    return (
        f"gristmill: {said}. This process may open too few files, or has too little memory (see `ulimit -n` and "
        "`ulimit -v`). Nothing finished is lost: put it right, then give the same command again."
    )


def stopped_code() -> int:
    """The exit code of a command that a signal ended."""
    return 128 + (_came[0] if _came else signal.SIGINT)


def main() -> None:
    """Entry point. A first signal (Ctrl-C, SIGTERM) ends the command with a sentence, a second at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        _came.append(number)
        if len(_came) > 1:
            os._exit(128 + number)
        raise KeyboardInterrupt

    with suppress(ValueError):  # not in the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, handle)
    try:
        from gristmill.cli.main import main as command
    except KeyboardInterrupt:
        _end("gristmill: Stopped.\n", stopped_code())
    except (ImportError, MemoryError, OSError, SyntaxError) as err:
        if (said := unloaded(err)) is None:
            raise
        _end(f"{said}\n", 1)
    command()


def _end(said: str, code: int) -> None:
    with suppress(OSError):  # nobody reads it
        os.write(2, said.encode(errors="replace"))
    os._exit(code)


if __name__ == "__main__":
    main()
