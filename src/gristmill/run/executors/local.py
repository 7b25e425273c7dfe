"""Runs tasks in worker processes of this machine; one that dies costs its task, not the run."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait

from gristmill.run.executors._executor import Setup
from gristmill.run.executors._liveness import standstill_s
from gristmill.run.executors._placement import memory_gib
from gristmill.run.executors._pool import Ending, Gone, Pool, Worker, ending_of
from gristmill.run.workers.launch import Launched, launch
from gristmill.run.workers.messages import WorkerStart
from gristmill.run.workers.stacks import asked_stack

__all__ = ["EXECUTOR", "Local"]

_STOP_GRACE_S = 15.0


class Local(Pool["_Process"]):
    """Worker processes, each with a socket to this one."""

    def __init__(self, setup: Setup) -> None:
        self._start, self._ready = setup.start, setup.ready
        super().__init__(setup, standstill_s(), memory_gib())

    def _new(self) -> _Process:
        launched = self._ready.pop() if self._ready else launch(arrow_pool=self._start.arrow_pool)
        return _Process(launched, self._start, self._limit_s)

    def _listen(self, timeout_s: float) -> Mapping[int, list[object]]:
        workers = {worker.connection: i for i, worker in enumerate(self._workers)}
        said: dict[int, list[object]] = {}
        for connection in wait(list(workers), timeout_s):
            assert isinstance(connection, Connection)
            try:
                said[workers[connection]] = [connection.recv()]
            except (EOFError, OSError):
                said[workers[connection]] = [Gone()]
        return said


class _Process(Worker):
    """One worker process and the socket to it."""

    def __init__(self, launched: Launched, start: WorkerStart, limit_s: float) -> None:
        super().__init__(limit_s)
        self.process, self.stacks = launched.process, launched.stacks
        self.connection = Connection(launched.ours.detach())
        with suppress(OSError):  # it may be dead already; the next read says so
            self.connection.send(start)

    @property
    def pid(self) -> str:
        """See :class:`Worker`."""
        return str(self.process.pid)

    def send(self, message: object) -> None:
        """See :class:`Worker`."""
        self.connection.send(message)

    def stack(self) -> str:
        """See :class:`Worker`."""
        return asked_stack(self.process.pid, self.stacks)

    def kill(self) -> None:
        """See :class:`Worker`."""
        self.process.kill()

    def end(self, deadline: float | None = None) -> Ending:
        """See :class:`Worker`."""
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()) if deadline else 0.2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            with suppress(subprocess.TimeoutExpired):  # it ends once the system lets go of it
                self.process.wait(_STOP_GRACE_S)
        self.connection.close()
        self.stacks.close()
        return ending_of(self.process.returncode)


EXECUTOR = Local
