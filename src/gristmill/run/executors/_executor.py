"""What an executor is, what it is made of, and how workers end that it loses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event as Flag
from typing import TypeAlias

from gristmill.ledger.at_work import WorkerAt
from gristmill.run.state.context import Progress
from gristmill.run.workers.launch import Launched
from gristmill.run.workers.messages import Failed, Finished, WorkerStart
from gristmill.spec.errors import TaskFailed
from gristmill.spec.step import Needs
from gristmill.spec.task import Task

__all__ = ["Event", "Executor", "NeighbourDied", "Setup", "WorkerDied", "WorkerStood"]

Event: TypeAlias = Finished | Failed | Progress


class WorkerDied(TaskFailed):
    """A worker process ended in the middle of a task."""


class NeighbourDied(WorkerDied):
    """A worker process ended with several tasks aboard; which of them was the cause is not known."""


class WorkerStood(WorkerDied):
    """A worker process in which nothing moved: whatever it waits for, no item of the task is to blame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Holds what an executor is made of.

    Attributes:
        start: What all tasks share.
        workers: How many processes may work at once; 0 where nobody said, on other machines: as many as have room.
        needs: What a task occupies.
        stop: Set once the run is to stop, by a signal's handler.
        ready: Worker processes that are launched already; those that are used are taken out of it.
        say: Tells a person something.
    """

    start: WorkerStart
    workers: int
    needs: Callable[[Task], Needs]
    stop: Flag = field(default_factory=Flag)
    ready: list[Launched] = field(default_factory=list)
    say: Callable[[str], None] = lambda text: None


class Executor(ABC):
    """Says where tasks run. It moves descriptions, never media; tasks may finish in any order."""

    @staticmethod  # noqa: B027 - most have nothing to find out
    def check() -> None:
        """Refuse within seconds, before anything is read or fetched, what can be known to fail.

        Raises:
            UsageError, MachineError: What is missing, and what to type.
        """

    @abstractmethod
    def __init__(self, setup: Setup) -> None:
        """Be ready for tasks."""

    @abstractmethod
    def room(self, task: Task) -> bool:
        """Say whether this task may be submitted now; of none that it may, while there is nobody to run it yet."""

    @abstractmethod
    def submit(self, task: Task) -> None:
        """Begin a task for which there is room."""

    @abstractmethod
    def events(self, timeout_s: float) -> Iterator[Event]:
        """Say what happened; waits at most ``timeout_s`` for it.

        A task that is lost with whatever ran it is :class:`Failed` with a :class:`WorkerDied`, and may come again.
        """

    def elsewhere(self) -> Iterator[WorkerAt]:
        """Say which workers there are on other machines, and what they have in hand; in whichever thread."""
        yield from ()

    @abstractmethod
    def stop(self) -> None:
        """Ask all tasks to end early; each still gives an event."""

    @abstractmethod
    def close(self) -> None:
        """End at once."""
