"""Ask a worker process for the stacks of its threads, and say in a clause where it stands."""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

__all__ = ["asked_stack", "busy_stacks", "new_stack_file", "stacks_into"]

_DUMP_S = 1.0
_FRAME = re.compile(r'  File "([^"]*)", line (\d+) in (.*)')
_WAITS = {"threading.py", "queue.py", "connection.py"}
_FOR_WORK = {
    ("keep_beating", "worker.py"),
    ("_tasks", "worker.py"),
    ("_worker", "thread.py"),  # of a pool
    ("_run", "dns.py"),
    ("select", "selectors.py"),
    ("run", "_monitor.py"),  # of tqdm
}
_FRAMES_TOLD = 4
_STACKS_TOLD = 2


def new_stack_file() -> IO[bytes]:
    """A file without a name, where a worker writes its threads' stacks when it is asked."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("stacks"), "w+b")
    return tempfile.TemporaryFile()


def stacks_into(fd: int) -> None:
    """In a worker: write the stacks of all threads there on SIGUSR1, also while one of them holds the interpreter."""
    faulthandler.register(signal.SIGUSR1, file=fd, all_threads=True)


def asked_stack(pid: int, file: IO[bytes]) -> str:
    """Say where the threads of a worker stand, in a clause: ``read (spool.py:90) < store (samples.py:12)``.

    Returns:
        Of the threads that are at work, the innermost frames; empty where the process does not answer in a second.
    """
    with suppress(OSError):
        os.kill(pid, signal.SIGUSR1)
        deadline, before = time.monotonic() + _DUMP_S, -1
        while time.monotonic() < deadline and (size := os.fstat(file.fileno()).st_size) != before:
            before = size if size else -1  # until it has begun, and then until it adds nothing more
            time.sleep(0.1)
        file.seek(0)
        return busy_stacks(file.read().decode("utf-8", "replace"))
    return ""


def busy_stacks(dump: str) -> str:
    """Tell the stacks of a dump that ``faulthandler`` wrote, in a clause, without threads that have nothing to do."""
    stacks = [
        [(name, Path(file).name, line) for file, line, name in _FRAME.findall(stack)]
        for stack in re.split(r"^(?:Current thread|Thread) .*\n", dump, flags=re.MULTILINE)[1:]
    ]
    busy = [stack for stack in stacks if stack and not _idle(stack)]
    busy.sort(
        key=lambda stack: stack[0][1] in _WAITS
    )  # those that wait for other threads say less than these
    told = (" < ".join(f"{name} ({file}:{line})" for name, file, line in s[:_FRAMES_TOLD]) for s in busy)
    return "; ".join(list(dict.fromkeys(told))[:_STACKS_TOLD])


def _idle(stack: list[tuple[str, str, str]]) -> bool:
    waiting = next(((name, file) for name, file, _ in stack if file not in _WAITS), None)
    return waiting is None or waiting in _FOR_WORK
