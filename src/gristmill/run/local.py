"""Executors on this machine: in this process, and in worker processes that may die without harm."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Protocol

from gristmill.run.context import Context, Progress
from gristmill.run.worker import Failed, Finished, Hello, WorkerStart, outcome_of
from gristmill.spec.errors import TaskFailed
from gristmill.spec.task import Task

__all__ = ["Event", "Executor", "InProcess", "LocalProcesses", "WorkerDied"]

Event = Finished | Failed | Progress
_STOP_GRACE_S = 15.0
_MAIN = "import sys; from gristmill.run.worker import main; main(int(sys.argv[1]))"


class WorkerDied(TaskFailed):
    """A worker process ended in the middle of a task."""


class Executor(Protocol):
    """Where tasks run. It moves descriptions, never media; tasks may finish in any order."""

    slots: int

    def submit(self, task: Task) -> None:
        """Begin a task; at most ``slots`` are under way."""

    def events(self, timeout_s: float) -> Iterator[Event]:
        """What happened; waits at most ``timeout_s`` for it."""

    def stop(self) -> None:
        """Ask all tasks to end early; each still gives an event."""

    def close(self) -> None:
        """End at once."""


class InProcess:
    """Runs each task in this process: for tests, a debugger, and very small work."""

    slots = 1

    def __init__(self, start: WorkerStart) -> None:
        self._recipe = start.load()
        self._events: deque[Event] = deque()
        self._waiting: deque[Task] = deque()
        self._context = Context(
            folder=start.folder,
            inputs=start.inputs,
            hubs=start.hubs,
            only=start.only,
            tell=self._events.append,
        )

    def submit(self, task: Task) -> None:
        """See :class:`Executor`."""
        self._waiting.append(task)

    def events(self, timeout_s: float) -> Iterator[Event]:
        """See :class:`Executor`."""
        if self._waiting:
            self._events.append(outcome_of(self._recipe, self._waiting.popleft(), self._context))
        while self._events:
            yield self._events.popleft()

    def stop(self) -> None:
        """See :class:`Executor`."""
        self._context.stop.set()

    def close(self) -> None:
        """See :class:`Executor`."""
        self._context.close()


class LocalProcesses:
    """Runs tasks in worker processes; one that dies costs its task, not the run.

    Args:
        start: What all workers share.
        workers: How many.
    """

    def __init__(self, start: WorkerStart, workers: int) -> None:
        self.slots = workers
        self._start = start
        self._workers = [_Worker(start) for _ in range(workers)]
        self._stopping = False

    def submit(self, task: Task) -> None:
        """See :class:`Executor`."""
        idle = next(worker for worker in self._workers if worker.task is None)
        idle.give(task)

    def events(self, timeout_s: float) -> Iterator[Event]:
        """See :class:`Executor`."""
        ready = set(wait([worker.connection for worker in self._workers], timeout_s))
        for i, worker in enumerate(self._workers):
            if worker.connection not in ready:
                continue
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                task, how = worker.task, worker.end()
                self._workers[i] = _Worker(self._start)
                if self._stopping:
                    self._workers[i].connection.send("stop")
                if task is not None:
                    yield Failed(task, WorkerDied(f"{task.stage} task {task.id}: its worker process {how}"))
                continue
            if isinstance(message, (Finished, Failed)):
                worker.task = None
            if not isinstance(message, Hello):
                yield message

    def stop(self) -> None:
        """See :class:`Executor`."""
        self._stopping = True
        for worker in self._workers:
            with suppress(OSError):
                worker.connection.send("stop")

    def close(self) -> None:
        """See :class:`Executor`."""
        for worker in self._workers:
            if worker.task is None:
                with suppress(OSError):
                    worker.connection.send(None)
        deadline = time.monotonic() + 5
        for worker in self._workers:
            worker.end(deadline if worker.task is None else None)


class _Worker:
    """One worker process and the socket to it."""

    def __init__(self, start: WorkerStart) -> None:
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        theirs.close()
        self.connection = Connection(ours.detach())
        self.task: Task | None = None
        with suppress(OSError):  # it may be dead already; the next read says so
            self.connection.send(start)

    def give(self, task: Task) -> None:
        """Begin a task."""
        self.task = task
        with suppress(OSError):  # as above
            self.connection.send(task)

    def end(self, deadline: float | None = None) -> str:
        """Make sure that the process is gone by ``deadline`` (now if None); says how it ended."""
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()) if deadline else 0.2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(_STOP_GRACE_S)
        self.connection.close()
        code = self.process.returncode
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
