"""Executors run tasks, in this process, in worker processes or elsewhere: a file each, found by its name.

A file holds a class ``EXECUTOR``, made of a :class:`Setup`. Which worker gets a task is decided in ``_placement``,
whether a worker still lives in ``_liveness``. ``_relay`` and ``_cluster`` are parts of ``ray``.
"""

from __future__ import annotations

from gristmill.run.executors._executor import (
    Event,
    Executor,
    NeighbourDied,
    Setup,
    WorkerDied,
    WorkerStood,
)
from gristmill.spec.errors import UnknownName
from gristmill.spec.registry import module_in, names_in

__all__ = ["Event", "Executor", "NeighbourDied", "Setup", "WorkerDied", "WorkerStood", "find", "names"]

LOCAL, IN_PROCESS = "local", "in-process"


def names() -> list[str]:
    """Executors that there are, as typed: dashes for underscores."""
    return names_in(__path__)


def find(name: str, workers: int) -> type[Executor]:
    """The class of an executor.

    Args:
        name: As typed; empty for worker processes on this machine.
        workers: How many there are to be: with none, tasks run in this process.

    Raises:
        UnknownName: There is no such executor.
    """
    name = name or LOCAL
    if name == LOCAL and not workers:
        name = IN_PROCESS
    module = module_in(__name__, name)
    if module is None:
        raise UnknownName("executor", name, tuple(names()))
    found: type[Executor] = module.EXECUTOR
    return found
