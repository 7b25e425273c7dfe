"""A worker process: takes tasks from its parent over a socket until told to stop.

Each task runs in a thread of its own. The parent gives several at once only where they mostly wait: a crawl's
last answers are slow ones, and the next crawl begins while they come; or its URLs are all of a few hosts, whose
limits leave room for others'.

It dies with its parent, whatever ends that: the socket then closes, and on Linux the kernel sends SIGKILL.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

from gristmill.media.limits import give_back, used_bytes
from gristmill.run.state.context import Context
from gristmill.run.workers.messages import Beat, Careful, Hello, WorkerStart
from gristmill.run.workers.stacks import stacks_into
from gristmill.run.workers.task import outcome_of
from gristmill.spec.task import Task
from gristmill.storage.arrow import without_pandas

__all__ = ["Moving", "keep_beating", "main"]

_THREADS = 48
"""As many tasks as an executor gives it at once."""
_ENOUGH_BYTES = 512 << 20
"""A worker with so much resident memory is full: a crawl's rows, some 4 kB each, stay in memory until its end."""
_BEATS_TO_TRIM = 10
"""Memory freed between two trims stays in this process; what is then used again costs a page fault each 4 kB."""
_BEATS_BYTES = 1 << 16
"""More than signs of life pass themselves from one to the next."""
_PR_SET_PDEATHSIG = 1


def main(fd: str, stacks_fd: str, *ahead: str) -> None:
    """Serve the parent at the other end of the socket ``fd``; stacks go to ``stacks_fd`` when they are asked for.

    Args:
        ahead: Modules to load before the parent says what is to be done.
    """
    stacks_into(int(stacks_fd))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    connection = Connection(int(fd))
    for module in ahead:
        importlib.import_module(module)
    try:
        start: WorkerStart = connection.recv()
    except (EOFError, OSError):  # the parent has nothing for us, or is gone
        os._exit(0)
    lock = threading.Lock()

    def tell(message: object) -> None:
        with lock:
            connection.send(message)

    context = start.context(tell)
    threading.Thread(
        target=keep_beating, args=(tell, context, start.beat_s), name="beat", daemon=True
    ).start()
    recipe = start.load()
    without_pandas()
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 20, 50)  # thousands of answers live at once; none of them is a cycle
    tell(Hello())

    def work_on(task: Task) -> None:
        tell(outcome_of(recipe, task, context))

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="task") as threads:
        for task in _tasks(connection, context):
            threads.submit(work_on, task)
    context.close()
    os._exit(0)  # all is said and closed; nobody waits for the interpreter to tidy up


def keep_beating(tell: Callable[[object], None], context: Context, every_s: float) -> None:
    """Give a sign of life every so often; the parent kills a worker that gives none, or in which nothing moves."""
    moving = Moving(context)
    for beat in count(1):
        try:
            full = used_bytes()[1] > _ENOUGH_BYTES
            fill, unanswered = (1.0, 0) if full else (context.fill, context.silent)
            tell(Beat(fill, moving(), time.process_time(), unanswered))
        except OSError:  # the parent is gone; whoever reads from it ends us
            return
        if beat % _BEATS_TO_TRIM == 0:
            give_back()
        time.sleep(every_s)


class Moving:
    """Tells whether anything got further since the last question."""

    def __init__(self, context: Context) -> None:
        self._context, self._steps, self._bytes = context, context.steps, _passed_bytes()

    def __call__(self) -> bool:
        """Whether a task said so, bytes were read or written, or the crawler waits for others."""
        steps, passed = self._context.steps, _passed_bytes()
        moves = steps != self._steps or passed - self._bytes > _BEATS_BYTES or self._context.asking
        self._steps, self._bytes = steps, passed
        return moves


def _passed_bytes() -> int:
    """Bytes that system calls of this process have read and written (Linux: proc(5)); elsewhere 0."""
    with suppress(OSError, ValueError):
        lines = Path("/proc/self/io").read_text().splitlines()[:2]  # rchar, wchar
        return sum(int(line.partition(":")[2]) for line in lines)
    return 0


def _tasks(connection: Connection, context: Context) -> Iterator[Task]:
    """Messages: a Task to do, also as :class:`Careful`, ``"stop"`` to end early, None to end.

    The parent's death ends us at once.
    """
    while True:
        try:
            message = connection.recv()
        except (EOFError, OSError):
            os._exit(1)
        if message is None:
            return
        if message == "stop":
            context.stop.set()
        elif isinstance(message, Careful):
            context.careful[message.task.id] = message.killed
            yield message.task
        else:
            yield message
