"""Executors on this machine: in this process, and in worker processes that may die without harm."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Protocol

from gristmill.run.executors.launch import Launched, launch
from gristmill.run.executors.standstill import asked_stack, standstill_s
from gristmill.run.executors.vitals import Vitals
from gristmill.run.executors.worker import (
    MOST_AT_ONCE,
    Beat,
    Careful,
    Failed,
    Finished,
    Hello,
    WorkerStart,
    outcome_of,
)
from gristmill.run.stages.gather import Gather
from gristmill.run.stages.pack import Pack
from gristmill.run.stages.prescan import Prescan
from gristmill.run.stages.rows import FileDecision
from gristmill.run.stages.samples import Samples
from gristmill.run.state.context import Context, Progress
from gristmill.spec.errors import TaskFailed
from gristmill.spec.task import Task

__all__ = ["Event", "Executor", "InProcess", "LocalProcesses", "NeighbourDied", "WorkerDied", "WorkerStood"]

Event = Finished | Failed | Progress
_STOP_GRACE_S = 15.0
_SILENCE_S = 60.0
"""A worker without a sign of life for so long is stopped, or lost in native code: it is killed."""
_LOST_S = 900.0
"""One that computes for so long without progress, and without reading or writing, is lost in a loop: it is killed."""
_LAPSE_S = 5.0
"""If we have not listened for so long, the silence was ours."""
_READ_AT_ONCE = 2
_LOW_WATER = 512
"""A worker with fewer media left than that gets the next crawl: its stragglers must not leave it idle."""
_FAR_FROM_FULL = 0.5
_BEATS = 2
"""A worker whose crawler says so often in a row that it is far from full gets one crawl more, however much is left of
those it has: their hosts have no more to give at once, and other crawls' hosts would wait for nothing."""


class WorkerDied(TaskFailed):
    """A worker process ended in the middle of a task."""


class NeighbourDied(WorkerDied):
    """A worker process ended with several tasks aboard; which of them was the cause is not known."""


class WorkerStood(WorkerDied):
    """A worker process in which nothing moved: whatever it waits for, no item of the task is to blame."""


class Executor(Protocol):
    """Where tasks run. It moves descriptions, never media; tasks may finish in any order."""

    def room(self, task: Task) -> bool:
        """Whether this task may be submitted now."""

    def submit(self, task: Task) -> None:
        """Begin a task for which there is room."""

    def events(self, timeout_s: float) -> Iterator[Event]:
        """What happened; waits at most ``timeout_s`` for it."""

    def stop(self) -> None:
        """Ask all tasks to end early; each still gives an event."""

    def close(self) -> None:
        """End at once."""


class InProcess:
    """Runs each task in this process: for tests, a debugger, and very small work.

    Args:
        start: As for worker processes.
        stop: Ends the task under way early once it is set.
    """

    def __init__(self, start: WorkerStart, stop: threading.Event) -> None:
        self._recipe = start.load()
        self._events: deque[Event] = deque()
        self._waiting: deque[Task] = deque()
        self._context = Context(
            folder=start.folder,
            inputs=start.inputs,
            remotes=start.remotes,
            aux=start.aux,
            only=start.only,
            first=start.first,
            stop=stop,
            tell=self._events.append,
        )

    def room(self, task: Task) -> bool:
        """See :class:`Executor`."""
        return not self._waiting

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
        ready: Some that are launched already; they are taken out of it.
    """

    def __init__(self, start: WorkerStart, workers: int, ready: list[Launched] | None = None) -> None:
        self._start, self._standstill_s = start, standstill_s()
        self._ready = [] if ready is None else ready
        self._workers = [self._new() for _ in range(workers)]
        self._stopping = False
        self._listened_at = time.monotonic()
        self._suspects: dict[str, bool] = {}
        """Tasks that were aboard a worker that died, true where it was killed by others: from then on each runs
        alone, so that it is known whose fault the next death is."""

    def _new(self) -> _Worker:
        launched = self._ready.pop() if self._ready else launch(arrow_pool=self._start.arrow_pool)
        return _Worker(launched, self._start, self._standstill_s)

    def room(self, task: Task) -> bool:
        """See :class:`Executor`."""
        return any(worker.room(task, self._suspects) for worker in self._workers)

    def submit(self, task: Task) -> None:
        """See :class:`Executor`: to the worker that has least to do."""
        free = [worker for worker in self._workers if worker.room(task, self._suspects)]
        worker = min(free, key=lambda worker: (len(worker.tasks), sum(worker.left.values())))
        worker.give(task, self._suspects)

    def events(self, timeout_s: float) -> Iterator[Event]:
        """See :class:`Executor`."""
        self._excuse_our_own_silence()
        ready = set(wait([worker.connection for worker in self._workers], timeout_s))
        self._listened_at = time.monotonic()
        for i, worker in enumerate(self._workers):
            if worker.connection not in ready:
                if worker.silent:
                    yield from self._buried(i, f"gave no sign of life for {_SILENCE_S:g} s and was killed")
                continue
            if worker.lost:
                yield from self._buried(i, f"computed for {_LOST_S:g} s without progress and was killed")
                continue
            if worker.stands:
                yield from self._given_up(i)
                continue
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                yield from self._buried(i, None)
                continue
            worker.heard(message)
            if not isinstance(message, (Hello, Beat)):
                yield message

    def _given_up(self, i: int) -> Iterator[Failed]:
        """As for one that is dead; but its tasks are tried again as they are, and it is said what it waits for."""
        worker = self._workers[i]
        at = asked_stack(worker.process.pid, worker.stacks)
        stood = f"; it stood at {at}" if at else ""
        suspects = dict(self._suspects)
        how = f"({worker.process.pid}) waited for {self._standstill_s:g} s without progress and was killed"
        for failed in self._buried(i, how):
            yield Failed(failed.task, WorkerStood(f"{failed.error}{stood}"))
            stood = ""  # said once
        self._suspects = suspects

    def _buried(self, i: int, how: str | None) -> Iterator[Failed]:
        """Put a new worker in place of one that is dead, or as good as; its tasks fail."""
        worker = self._workers[i]
        if how is not None:
            worker.process.kill()
        ended = worker.end()
        self._workers[i] = self._new()
        if self._stopping:
            self._workers[i].connection.send("stop")
        alone = len(worker.tasks) == 1
        killed = how is None and worker.process.returncode == -signal.SIGKILL
        self._suspects.update(dict.fromkeys(worker.tasks, killed))
        for task in worker.tasks.values():
            text = f"{task.stage} task {task.id}: its worker process {how or ended}"
            yield Failed(task, WorkerDied(text) if alone else NeighbourDied(text))

    def _excuse_our_own_silence(self) -> None:
        lapse_s = time.monotonic() - self._listened_at
        if lapse_s > _LAPSE_S:
            for worker in self._workers:
                worker.heard_at += lapse_s

    def stop(self) -> None:
        """See :class:`Executor`."""
        self._stopping = True
        for worker in self._workers:
            with suppress(OSError):
                worker.connection.send("stop")

    def close(self) -> None:
        """See :class:`Executor`."""
        for worker in self._workers:
            if not worker.tasks:
                with suppress(OSError):
                    worker.connection.send(None)
        deadline = time.monotonic() + 5
        for worker in self._workers:
            worker.end(None if worker.tasks else deadline)


class _Worker:
    """One worker process and the socket to it."""

    def __init__(self, launched: Launched, start: WorkerStart, standstill_s: float) -> None:
        self.process, self.stacks = launched.process, launched.stacks
        self.connection = Connection(launched.ours.detach())
        self.tasks: dict[str, Task] = {}
        self.heard_at = time.monotonic()
        self._vitals = Vitals(self.process.pid, _LOST_S, standing_s=standstill_s)
        self._at_once = start.at_once
        self._unanswered = 0  # media aboard that wait for hosts which have answered nothing yet
        self._idle_beats = 0  # in a row, since the last task was given
        self.left: dict[str, int] = {}  # media that each task has still to finish
        with suppress(OSError):  # it may be dead already; the next read says so
            self.connection.send(start)

    def room(self, task: Task, suspects: Mapping[str, bool]) -> bool:
        """An idle worker takes any task. One whose crawls are coming to their end takes another crawl, and one that
        surveys files, or reads those that were surveyed, does so with several: such tasks wait more than they work.
        One whose crawler is far from full, or whose crawls only wait for silent hosts, takes a crawl more, and packs
        beside.
        """
        if not self.tasks:
            return True
        if task.id in suspects or not suspects.keys().isdisjoint(self.tasks):
            return False
        if self._waits and task.stage in {Samples.name, Pack.name, Gather.name}:
            return len(self.tasks) < MOST_AT_ONCE
        at_once = {self._most(other) for other in (task, *self.tasks.values())}
        alike = len({other.stage for other in (task, *self.tasks.values())}) == 1
        return alike and len(self.tasks) < min(at_once) and sum(self.left.values()) < _LOW_WATER

    def _most(self, task: Task) -> int:
        """How many tasks like this one may be aboard."""
        if task.stage in {Samples.name, Prescan.name}:
            return self._at_once
        prescanned = isinstance(task.decision, FileDecision) and task.decision.prescan is not None
        return min(self._at_once, _READ_AT_ONCE) if prescanned else 1

    @property
    def _waits(self) -> bool:
        """Whether it crawls, and its crawler would do more, now or soon, if it had other hosts' URLs."""
        if not any(task.stage == Samples.name for task in self.tasks.values()):
            return False
        soon = self._unanswered > 0 and sum(self.left.values()) - self._unanswered < _LOW_WATER
        return soon or self._idle_beats >= _BEATS

    @property
    def silent(self) -> bool:
        """Whether it has given no sign of life for too long."""
        return time.monotonic() - self.heard_at > _SILENCE_S

    @property
    def lost(self) -> bool:
        """Whether its tasks keep it busy for too long without getting anywhere."""
        return bool(self.tasks) and self._vitals.lost()

    @property
    def stands(self) -> bool:
        """Whether nothing has moved in it for too long."""
        return bool(self.tasks) and self._vitals.stands()

    def give(self, task: Task, suspects: Mapping[str, bool]) -> None:
        """Begin a task, with care if it killed a worker before."""
        self.tasks[task.id] = task
        self._vitals.advanced()
        self._idle_beats = 0
        self.left[task.id] = task.inputs[0].samples if task.inputs else 0  # a census of nothing has none
        with suppress(OSError):  # as above
            self.connection.send(Careful(task, suspects[task.id]) if task.id in suspects else task)

    def heard(self, message: object) -> None:
        """Take note of what the worker says of its tasks."""
        self.heard_at = time.monotonic()
        if not isinstance(message, Beat):
            self._vitals.advanced()
        if isinstance(message, Beat):
            if message.stirs:
                self._vitals.stirred()
            self._idle_beats = self._idle_beats + 1 if message.fill < _FAR_FROM_FULL else 0
            self._unanswered = message.unanswered
        elif isinstance(message, Progress) and message.task_id in self.left:
            self.left[message.task_id] = (message.total or 0) - message.done
        elif isinstance(message, (Finished, Failed)):
            del self.tasks[message.task.id], self.left[message.task.id]

    def end(self, deadline: float | None = None) -> str:
        """Make sure that the process is gone by ``deadline`` (now if None); says how it ended."""
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()) if deadline else 0.2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            with suppress(subprocess.TimeoutExpired):  # it ends once the system lets go of it
                self.process.wait(_STOP_GRACE_S)
        self.connection.close()
        self.stacks.close()
        code = self.process.returncode
        if code is None:
            return "was killed and does not end: the system is in the middle of something for it"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
