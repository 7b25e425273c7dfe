"""Starting worker processes, before it is known what they will work on where that takes a while to find out.

A worker needs as long to load what it works with as the command needs to look at the inputs. Standard library only:
whoever launches has loaded nothing yet.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from gristmill.run.workers.stacks import new_stack_file

__all__ = ["Launched", "launch", "launched"]

_ENVIRONMENT = {
    # bodies come and go by the hundred: memory that is free goes back to the system at once
    "MALLOC_ARENA_MAX": "2",
    "OPENBLAS_NUM_THREADS": "1",  # nothing here multiplies matrices, and its threads spin
}
# Ctrl-C is the parent's to answer. Without the garbage collector until all is loaded: none of that is garbage.
_MAIN = (
    "import gc; gc.disable(); import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); import sys; "
    "from gristmill.run.workers.worker import main; main(*sys.argv[1:])"
)
_END_S = 5.0


@dataclass(frozen=True, slots=True)
class Launched:
    """A worker process that waits to be told what it works on.

    Attributes:
        ours: Our end of the socket to it; once it is closed, the process ends.
        stacks: Where its threads' stacks go when they are asked for.
    """

    process: subprocess.Popen[bytes]
    ours: socket.socket
    stacks: IO[bytes]

    def dismiss(self) -> None:
        """It is not needed."""
        self.ours.close()
        self.stacks.close()
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):  # it ends once the system lets go of it
            self.process.wait(_END_S)


def launch(*, arrow_pool: str, ahead: Sequence[str] = ()) -> Launched:
    """Start a worker process.

    Args:
        arrow_pool: Where Arrow takes its memory from there.
        ahead: Modules that it loads before it is told anything.

    Raises:
        OSError: As the system says.
    """
    ours, theirs = socket.socketpair()
    stacks = new_stack_file()
    fds = theirs.fileno(), stacks.fileno()
    # -P: else a file of the folder that the command is typed in, say h2.py, would be imported as a module.
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _MAIN, *map(str, fds), *ahead],
        pass_fds=fds,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **_ENVIRONMENT, "ARROW_DEFAULT_MEMORY_POOL": arrow_pool},
    )
    theirs.close()
    return Launched(process, ours, stacks)


@contextmanager
def launched(workers: int, *, arrow_pool: str, ahead: Sequence[str] = ()) -> Iterator[list[Launched]]:
    """So many workers, launched; whoever takes them out of the list looks after them."""
    ready: list[Launched] = []
    try:
        while len(ready) < workers:
            ready.append(launch(arrow_pool=arrow_pool, ahead=ahead))
        yield ready
    finally:
        while ready:
            ready.pop().dismiss()
