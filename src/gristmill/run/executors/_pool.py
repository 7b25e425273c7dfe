"""A pool of workers, wherever they run: which gets a task, what follows when one is lost.

How one is started, spoken to and ended is said by a :class:`Worker` of each kind.
"""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from gristmill.run.executors._executor import Event, Executor, NeighbourDied, Setup, WorkerDied, WorkerStood
from gristmill.run.executors._liveness import Liveness, Lost
from gristmill.run.executors._placement import Place, Placement
from gristmill.run.state.context import Progress
from gristmill.run.workers.messages import Beat, Careful, Failed, Finished
from gristmill.spec.step import Needs
from gristmill.spec.task import Task

__all__ = ["Ending", "Gone", "Pool", "Worker", "ending_of"]

_LAPSE_S = 5.0
"""If we have not listened for so long, the silence was ours."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Says how a worker ended.

    Attributes:
        said: A clause, its subject the worker process.
        killed: By SIGKILL, and not ours.
        blameless: Its machine is lost, say: nothing that it worked on is to blame.
    """

    said: str
    killed: bool = False
    blameless: bool = False


def ending_of(code: int | None) -> Ending:
    """Say how a process ended, by its exit code as ``subprocess`` has it; None if it would not."""
    if code is None:
        return Ending("was killed and does not end: the system is in the middle of something for it")
    if code < 0:
        return Ending(f"was killed by {signal.Signals(-code).name}", killed=code == -signal.SIGKILL)
    return Ending(f"ended with code {code}")


class Gone:
    """In the place of a message: the worker is no more."""


class Worker(ABC):
    """One worker process, as its pool sees it.

    Attributes:
        tasks: Aboard, by id.
    """

    def __init__(self, limit_s: float) -> None:
        self.tasks: dict[str, Task] = {}
        self.place, self.liveness = Place(), Liveness(limit_s)

    @property
    @abstractmethod
    def pid(self) -> str:
        """Say which process it is, as a person looks for it."""

    @abstractmethod
    def send(self, message: object) -> None:
        """Say something to it.

        Raises:
            OSError: It may be dead already; the next message that is read from it says so.
        """

    @abstractmethod
    def stack(self) -> str:
        """Say where its threads stand, in a clause; empty if it does not say."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once."""

    @abstractmethod
    def end(self, deadline: float | None = None) -> Ending:
        """Make sure that the process is gone by ``deadline`` (now if None); says how it ended."""

    def give(self, task: Task, needs: Needs, suspects: Mapping[str, bool]) -> None:
        """Begin a task, with care if it killed a worker before."""
        careful = task.id in suspects
        self.tasks[task.id] = task
        self.liveness.begins()
        self.place.put(task.id, needs, task.inputs[0].samples if task.inputs else 0, alone=careful)
        with suppress(OSError):
            self.send(Careful(task, suspects[task.id]) if careful else task)

    def heard(self, message: object) -> None:
        """Take note of what the worker says of its tasks."""
        self.liveness.heard(message if isinstance(message, Beat) else None)
        if isinstance(message, (Beat, Progress)):
            self.place.heard(message)
        elif isinstance(message, (Finished, Failed)):
            del self.tasks[message.task.id]
            self.place.took(message.task.id)


W = TypeVar("W", bound=Worker)


class Pool(Executor, Generic[W]):
    """Workers that are replaced when they are lost; what was aboard comes again.

    Args:
        setup: See :class:`Setup`.
        limit_s: Until a worker in which nothing moves is given up.
        memory_gib: What all tasks together may hold.
    """

    def __init__(self, setup: Setup, limit_s: float, memory_gib: float) -> None:
        self._needs, self._limit_s = setup.needs, limit_s
        self._placement = Placement(memory_gib)
        self._stopping = False
        self._listened_at = time.monotonic()
        self._suspects: dict[str, bool] = {}
        """Tasks that were aboard a worker that died, true where it was killed by others: from then on each runs
        alone, so that it is known whose fault the next death is."""
        self._workers = [self._new() for _ in range(setup.workers)]

    @abstractmethod
    def _new(self) -> W:
        """Start a worker."""

    @abstractmethod
    def _listen(self, timeout_s: float) -> Mapping[int, list[object]]:
        """What workers say, by their numbers, :class:`Gone` if one is; waits at most ``timeout_s`` for anything."""

    def _places(self, needs: Needs) -> Mapping[int, Place]:
        """Workers that may be given such a task, if there is room."""
        return {i: worker.place for i, worker in enumerate(self._workers)}

    def _place_for(self, task: Task) -> int | None:
        needs = self._needs(task)
        return self._placement.choose(self._places(needs), needs, alone=task.id in self._suspects)

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
        lapse_s = time.monotonic() - self._listened_at
        if lapse_s > _LAPSE_S:
            for worker in self._workers:
                worker.liveness.excuse(lapse_s)
        said = self._listen(timeout_s)
        self._listened_at = time.monotonic()
        for i, worker in enumerate(self._workers):
            for message in said.get(i, ()):
                if isinstance(message, Gone):
                    yield from self._buried(i)
                    break
                worker.heard(message)
                if isinstance(message, (Finished, Failed, Progress)):
                    yield message
            else:
                if i not in said and (lost := worker.liveness.lost(works=bool(worker.tasks))):
                    yield from self._given_up(i, lost)

    def _given_up(self, i: int, lost: Lost) -> Iterator[Failed]:
        """As for one that is dead; it is said where it stood. If it only waits, its tasks are tried as they are."""
        worker = self._workers[i]
        at = worker.stack()
        worker.kill()
        ending = Ending(f"({worker.pid}) {lost.said}", blameless=lost.waits)
        yield from self._buried(i, ending, f"; it stood at {at}" if at else "")

    def _buried(self, i: int, how: Ending | None = None, where: str = "") -> Iterator[Failed]:
        """Put a new worker in place of one that is dead, or as good as; its tasks fail.

        Args:
            how: It ended, if it is we who ended it.
            where: It stood then; said once.
        """
        worker = self._workers[i]
        ending = worker.end()
        ending = how or ending
        self._workers[i] = self._new()
        if self._stopping:
            with suppress(OSError):
                self._workers[i].send("stop")
        kind = WorkerDied if len(worker.tasks) == 1 else NeighbourDied
        if ending.blameless:
            kind = WorkerStood
        else:
            self._suspects.update(dict.fromkeys(worker.tasks, ending.killed))
        for task in worker.tasks.values():
            yield Failed(task, kind(f"{task.stage} task {task.id}: its worker process {ending.said}{where}"))
            where = ""

    def stop(self) -> None:
        """See :class:`Executor`."""
        self._stopping = True
        for worker in self._workers:
            with suppress(OSError):
                worker.send("stop")

    def close(self) -> None:
        """See :class:`Executor`."""
        for worker in self._workers:
            if not worker.tasks:
                with suppress(OSError):
                    worker.send(None)
        deadline = time.monotonic() + 5
        for worker in self._workers:
            worker.end(None if worker.tasks else deadline)
