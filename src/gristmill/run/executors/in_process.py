"""Runs each task in this process: for tests, a debugger, and very small work."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from gristmill.run.executors._executor import Event, Executor, Setup
from gristmill.run.workers.task import outcome_of
from gristmill.spec.task import Task

__all__ = ["EXECUTOR", "InProcess"]


class InProcess(Executor):
    """One task at a time, while its events are asked for."""

    def __init__(self, setup: Setup) -> None:
        self._recipe = setup.start.load()
        self._events: deque[Event] = deque()
        self._waiting: deque[Task] = deque()
        self._context = setup.start.context(self._events.append, setup.stop)

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


EXECUTOR = InProcess
