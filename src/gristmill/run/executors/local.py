"""Runs tasks in worker processes of this machine; one that dies costs its task, not the run."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait

from gristmill.run.executors._executor import Event, Executor, NeighbourDied, Setup, WorkerDied, WorkerStood
from gristmill.run.executors._liveness import Liveness, Lost, standstill_s
from gristmill.run.executors._placement import Place, Placement, memory_gib
from gristmill.run.state.context import Progress
from gristmill.run.workers.launch import Launched, launch
from gristmill.run.workers.messages import Beat, Careful, Failed, Finished, WorkerStart
from gristmill.run.workers.stacks import asked_stack
from gristmill.spec.step import Needs
from gristmill.spec.task import Task

__all__ = ["EXECUTOR", "Local"]

_STOP_GRACE_S = 15.0
_LAPSE_S = 5.0
"""If we have not listened for so long, the silence was ours."""


class Local(Executor):
    """Worker processes, each with a socket to this one."""

    def __init__(self, setup: Setup) -> None:
        self._start, self._needs, self._ready = setup.start, setup.needs, setup.ready
        self._standstill_s = standstill_s()
        self._placement = Placement(memory_gib())
        self._workers = [self._new() for _ in range(setup.workers)]
        self._stopping = False
        self._listened_at = time.monotonic()
        self._suspects: dict[str, bool] = {}
        """Tasks that were aboard a worker that died, true where it was killed by others: from then on each runs
        alone, so that it is known whose fault the next death is."""

    def _new(self) -> _Worker:
        launched = self._ready.pop() if self._ready else launch(arrow_pool=self._start.arrow_pool)
        return _Worker(launched, self._start, Liveness(self._standstill_s))

    def _place_for(self, task: Task) -> int | None:
        places = {i: worker.place for i, worker in enumerate(self._workers)}
        return self._placement.choose(places, self._needs(task), alone=task.id in self._suspects)

    def room(self, task: Task) -> bool:
        """See :class:`Executor`."""
        return self._place_for(task) is not None

    def submit(self, task: Task) -> None:
        """See :class:`Executor`."""
        place = self._place_for(task)
        if place is None:
            raise ValueError(f"{task.stage} {task.id} was submitted where there is no room")
        self._workers[place].give(task, self._needs(task), self._suspects)

    def events(self, timeout_s: float) -> Iterator[Event]:
        """See :class:`Executor`."""
        self._excuse_our_own_silence()
        ready = set(wait([worker.connection for worker in self._workers], timeout_s))
        self._listened_at = time.monotonic()
        for i, worker in enumerate(self._workers):
            message = None
            if worker.connection in ready:
                try:
                    message = worker.connection.recv()
                except (EOFError, OSError):
                    yield from self._buried(i)
                    continue
                worker.heard(message)
            if isinstance(message, (Finished, Failed, Progress)):
                yield message
            elif lost := worker.liveness.lost(works=bool(worker.tasks)):
                yield from self._given_up(i, lost)

    def _given_up(self, i: int, lost: Lost) -> Iterator[Failed]:
        """As for one that is dead; it is said where it stood. If it only waits, its tasks are tried as they are."""
        worker, suspects = self._workers[i], dict(self._suspects)
        at = asked_stack(worker.process.pid, worker.stacks)
        worker.process.kill()
        kind = WorkerStood if lost.waits else None
        yield from self._buried(
            i, f"({worker.process.pid}) {lost.said}", f"; it stood at {at}" if at else "", kind
        )
        if lost.waits:
            self._suspects = suspects

    def _buried(
        self, i: int, how: str = "", where: str = "", kind: type[WorkerDied] | None = None
    ) -> Iterator[Failed]:
        """Put a new worker in place of one that is dead, or as good as; its tasks fail.

        Args:
            how: Why we killed it, if we did.
            where: It stood then; said once.
            kind: Of the failures, where it is known whose fault it was.
        """
        worker = self._workers[i]
        ended = worker.end()
        self._workers[i] = self._new()
        if self._stopping:
            self._workers[i].connection.send("stop")
        kind = kind or (WorkerDied if len(worker.tasks) == 1 else NeighbourDied)
        killed = not how and worker.process.returncode == -signal.SIGKILL
        self._suspects.update(dict.fromkeys(worker.tasks, killed))
        for task in worker.tasks.values():
            yield Failed(task, kind(f"{task.stage} task {task.id}: its worker process {how or ended}{where}"))
            where = ""

    def _excuse_our_own_silence(self) -> None:
        lapse_s = time.monotonic() - self._listened_at
        if lapse_s > _LAPSE_S:
            for worker in self._workers:
                worker.liveness.excuse(lapse_s)

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

    def __init__(self, launched: Launched, start: WorkerStart, liveness: Liveness) -> None:
        self.process, self.stacks = launched.process, launched.stacks
        self.connection = Connection(launched.ours.detach())
        self.tasks: dict[str, Task] = {}
        self.place, self.liveness = Place(), liveness
        with suppress(OSError):  # it may be dead already; the next read says so
            self.connection.send(start)

    def give(self, task: Task, needs: Needs, suspects: Mapping[str, bool]) -> None:
        """Begin a task, with care if it killed a worker before."""
        careful = task.id in suspects
        self.tasks[task.id] = task
        self.liveness.begins()
        self.place.put(task.id, needs, task.inputs[0].samples if task.inputs else 0, alone=careful)
        with suppress(OSError):  # as above
            self.connection.send(Careful(task, suspects[task.id]) if careful else task)

    def heard(self, message: object) -> None:
        """Take note of what the worker says of its tasks."""
        self.liveness.heard(message if isinstance(message, Beat) else None)
        if isinstance(message, (Beat, Progress)):
            self.place.heard(message)
        elif isinstance(message, (Finished, Failed)):
            del self.tasks[message.task.id]
            self.place.took(message.task.id)

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


EXECUTOR = Local
