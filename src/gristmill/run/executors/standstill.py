"""Whether a worker that neither computes nor says anything still gets anywhere, and where it stands if not.

A thread that waits for good, as in a read from a dead network file system or for a lock that nobody gives back, is
never woken. One to which bytes come, whose disk takes what it syncs, or that looks now and then whether another
process is done, is: the kernel counts that for each thread (``voluntary_ctxt_switches``, proc(5)).
"""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from gristmill.spec.errors import UsageError

__all__ = ["Stirring", "asked_stack", "new_stack_file", "stacks_into", "standstill_s"]

_VARIABLE = "GRISTMILL_STANDSTILL_S"
_STANDSTILL_S = 1800.0
_POLLING = ("MainThread", "beat", "crawl", "lookup", "tqdm")
"""Threads that are woken whether or not a task gets further, or that are none of a task's."""
_DUMP_S = 1.0
_FRAME = re.compile(r'  File "([^"]*)", line (\d+) in (.*)')
_WAITS = {"threading.py", "queue.py", "connection.py"}
_FOR_WORK = {
    ("_beat", "worker.py"),
    ("_tasks", "worker.py"),
    ("_worker", "thread.py"),  # of a pool
    ("_run", "dns.py"),
    ("select", "selectors.py"),
    ("run", "_monitor.py"),  # of tqdm
}
_FRAMES_TOLD = 4
_STACKS_TOLD = 2


def standstill_s() -> float:
    """Seconds after which a worker in which nothing moves is given up: ``GRISTMILL_STANDSTILL_S``, or half an hour.

    Longer than a host may make a crawl wait (``crawl.max_host_pause_s``).

    Raises:
        UsageError: The variable holds no number above 0.
    """
    text = os.environ.get(_VARIABLE) or str(_STANDSTILL_S)
    try:
        limit_s = float(text)
    except ValueError:
        limit_s = 0.0
    if not limit_s > 0:
        raise UsageError(
            f"{_VARIABLE}={text}: expected a number of seconds above 0, for example {_STANDSTILL_S:g}"
        )
    return limit_s


class Stirring:
    """Tells, within a worker, whether any thread that works on a task was woken since the last question."""

    def __init__(self) -> None:
        self._seen: dict[int, str] = {}

    def __call__(self) -> bool:
        """Whether one was; False too where the system does not say (not Linux)."""
        seen = {
            thread.native_id: _switches(thread.native_id)
            for thread in threading.enumerate()
            if thread.native_id is not None and not thread.name.startswith(_POLLING)
        }
        before, self._seen = self._seen, seen
        return any(count != before.get(thread, "") for thread, count in seen.items())


def _switches(thread: int) -> str:
    with suppress(OSError):
        for line in Path(f"/proc/self/task/{thread}/status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                return line
    return ""


def new_stack_file() -> IO[bytes]:
    """A file without a name, where a worker writes its threads' stacks when it is asked."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("stacks"), "w+b")
    return tempfile.TemporaryFile()


def stacks_into(fd: int) -> None:
    """In a worker: write the stacks of all threads there on SIGUSR1, also while one of them holds the interpreter."""
    faulthandler.register(signal.SIGUSR1, file=fd, all_threads=True)


def asked_stack(pid: int, file: IO[bytes]) -> str:
    """Where the threads of a worker stand, in a clause: ``read (spool.py:90) < store (samples.py:12)``.

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
        return _told(file.read().decode("utf-8", "replace"))
    return ""


def _told(dump: str) -> str:
    """The stacks of a dump that ``faulthandler`` wrote, without those of threads that have nothing to do."""
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
