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
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

from gristmill.ledger.run_config import InputFile
from gristmill.media.limits import give_back, used_bytes
from gristmill.run.executors.standstill import Stirring, stacks_into
from gristmill.run.executors.task import run_task
from gristmill.run.state.context import Context, Progress
from gristmill.spec.errors import GristmillError, MachineError, Stopped, TaskFailed
from gristmill.spec.recipe import Recipe
from gristmill.spec.task import Task, TaskRecord
from gristmill.storage.arrow import without_pandas
from gristmill.storage.files import machine_error

__all__ = [
    "BEAT_S",
    "MOST_AT_ONCE",
    "TASKS_AT_ONCE",
    "Beat",
    "Careful",
    "Failed",
    "Finished",
    "Hello",
    "WorkerStart",
    "main",
]

_NO_THREAD = "can't start new thread"
"""All that Python says where the machine lets this process have no further thread; a plain ``RuntimeError``."""
_NO_MORE_THREADS = (
    "the machine lets this process start no further thread: too many run already, or memory is limited (see `ulimit "
    "-u` and `ulimit -v`). Nothing finished is lost: put it right, then give the same command again, perhaps with "
    "fewer --workers."
)
TASKS_AT_ONCE = 6
MOST_AT_ONCE = 48
"""With crawls beyond the usual number, given because the crawler is far from full."""
_ENOUGH_BYTES = 512 << 20
"""A worker with so much resident memory is full: a crawl's rows, some 4 kB each, stay in memory until its end."""
BEAT_S = 1.0
_BEATS_TO_TRIM = 10
"""Memory freed between two trims stays in this process; what is then used again costs a page fault each 4 kB."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStart:
    """First message to a worker: what all its tasks share.

    Attributes:
        at_once: Tasks of one worker at once, where they are of the second stage: many that mostly wait for the
            network, or two, so that one works while the other waits for the disk.
        beat_s: Seconds from one sign of life to the next.
        arrow_pool: Where Arrow takes its memory from.
    """

    load: Callable[[], Recipe]
    folder: Path
    inputs: tuple[InputFile, ...]
    remotes: dict[str, str]
    only: int | None
    first: int = 0
    aux: tuple[InputFile, ...] = ()
    at_once: int = TASKS_AT_ONCE
    beat_s: float = BEAT_S
    arrow_pool: str = "system"


@dataclass(frozen=True, slots=True)
class Hello:
    """The worker is ready."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The worker's interpreter runs: it is neither stopped nor lost in native code.

    Attributes:
        fill: How full its crawler is, from 0 to 1; 1 too where its memory is.
        stirs: Whether a thread that works on a task was woken since the last one, or its crawler waits for others.
        unanswered: Media aboard that wait for hosts which have answered nothing yet, and may never; 0 where its
            memory is full.
    """

    fill: float
    stirs: bool
    unanswered: int = 0


@dataclass(frozen=True, slots=True)
class Careful:
    """A task that was aboard a worker that died.

    Attributes:
        killed: By SIGKILL, and not ours: short of memory the kernel sends it, or a person.
    """

    task: Task
    killed: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """A task is done, but for its record."""

    task: Task
    record: TaskRecord


@dataclass(frozen=True, slots=True)
class Failed:
    """A task failed or was stopped."""

    task: Task
    error: GristmillError


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

    def tell_progress(progress: Progress) -> None:
        tell(progress)

    context = Context(
        folder=start.folder,
        inputs=start.inputs,
        remotes=start.remotes,
        aux=start.aux,
        only=start.only,
        first=start.first,
        tell=tell_progress,
    )
    threading.Thread(target=_beat, args=(tell, context, start.beat_s), name="beat", daemon=True).start()
    recipe = start.load()
    without_pandas()
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 20, 50)  # thousands of answers live at once; none of them is a cycle
    tell(Hello())

    def work_on(task: Task) -> None:
        tell(outcome_of(recipe, task, context))

    with ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="task") as threads:
        for task in _tasks(connection, context):
            threads.submit(work_on, task)
    context.close()
    os._exit(0)  # all is said and closed; nobody waits for the interpreter to tidy up


def _beat(tell: Callable[[object], None], context: Context, every_s: float) -> None:
    """Give a sign of life every so often; the parent kills a worker that gives none."""
    stirring = Stirring()
    for beat in count(1):
        try:
            full = used_bytes()[1] > _ENOUGH_BYTES
            stirs = stirring() or context.asking
            tell(Beat(1.0, stirs) if full else Beat(context.fill, stirs, context.silent))
        except OSError:  # the parent is gone; whoever reads from it ends us
            return
        if beat % _BEATS_TO_TRIM == 0:
            give_back()
        time.sleep(every_s)


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


def outcome_of(recipe: Recipe, task: Task, context: Context) -> Finished | Failed:
    """Run a task and turn what may go wrong into a message that travels."""
    try:
        if context.stop.is_set():
            raise Stopped("the run was asked to stop")
        return Finished(task, run_task(recipe, task, context))
    except GristmillError as err:
        return Failed(task, _portable(err))
    except OSError as err:
        return Failed(task, machine_error(err, context.folder))
    except MemoryError:
        return Failed(task, TaskFailed(f"{task.stage} task {task.id}: memory is used up"))
    except Exception as err:  # noqa: BLE001 - a bug must cost one task and name itself, not hang the run
        if str(err) == _NO_THREAD:
            return Failed(task, MachineError(_NO_MORE_THREADS))
        last = traceback.extract_tb(err.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        text = f"{task.stage} task {task.id}: {type(err).__name__}: {err} ({where}). This is a bug; please report it."
        return Failed(task, TaskFailed(text))


def _portable(err: GristmillError) -> GristmillError:
    """The error itself if it survives pickling, else one of the same words."""
    try:
        pickle.loads(pickle.dumps(err))
    except (pickle.PicklingError, TypeError, AttributeError):
        return TaskFailed(str(err))
    return err
