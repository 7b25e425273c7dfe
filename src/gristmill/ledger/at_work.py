"""Tells who works on a dataset: each command puts a small file there, renews it, and removes it at its end.

In a folder a lease tells whether a command lives. In an object store nothing does of one on another machine, so that
one which has not renewed its file for long is taken for gone. What is said here decides nothing: tasks are divided by
leases and shares.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress

import msgspec

from gristmill.ledger.ledger import STATE
from gristmill.spec.errors import DamagedOutput, MachineError
from gristmill.spec.task import Task
from gristmill.storage.leases import Leases
from gristmill.storage.store import Store

__all__ = ["AT_WORK", "LEASES", "Announced", "AtWork", "at_work"]

AT_WORK = f"{STATE}/at-work"
"""The folder of these files."""
LEASES = f"{STATE}/leases"
"""Byte-range locks, one for each task and each command."""
_RENEWED_S = 60.0
_SILENT_S = 600.0
"""So long after its last sign a command in an object store is taken for gone."""
_LATEST_S = 2.5e11
_MOST_PID = 1 << 22
"""Linux gives no greater one (proc(5), pid_max)."""
_MOST = 10_000
"""Commands that are looked at; more files than that no run leaves there."""


class AtWork(msgspec.Struct, frozen=True, kw_only=True):
    """Says which command works on a dataset, and where.

    Attributes:
        name: Of its file, and of its lease.
        host: The machine's name.
        pid: The process there.
        job: As Slurm calls it, ``ARRAYJOB_TASK`` or ``JOB``; empty outside of it.
        share: Of ``--share``, which of how many.
        span: Of ``--tasks``.
        since: When it began, in Unix time by its own clock.
        seen: When it last said so.
        tasks: What it has in hand, by stage.
        lives: False where it is gone, None where nobody can know.
    """

    name: str
    host: str
    pid: int
    job: str = ""
    share: tuple[int, int] | None = None
    span: tuple[int, int] | None = None
    since: float = 0.0
    seen: float = 0.0
    tasks: dict[str, int] = {}
    lives: bool | None = None

    @property
    def gone(self) -> bool:
        """Say whether nothing more is to be expected of it."""
        return self.lives is False or (self.lives is None and time.time() - self.seen > _SILENT_S)


class Announced:
    """A file that says of this process that it works on a dataset; a context manager.

    Args:
        store: Of the dataset.
        leases: One is held as long as this is open.
        share: Of ``--share``.
        span: Of ``--tasks``.
    """

    def __init__(
        self,
        store: Store,
        leases: Leases,
        *,
        share: tuple[int, int] | None,
        span: tuple[int, int] | None,
    ) -> None:
        self._store, self._leases = store, leases
        name = f"{AT_WORK}/{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}.json"
        self._own = AtWork(
            name=name,
            host=socket.gethostname(),
            pid=os.getpid(),
            job=_job(),
            share=share,
            span=span,
            since=time.time(),
        )
        leases.take(name)
        self._put({})
        for one in at_work(store, leases):
            if one.gone and (one.share, one.span) == (share, span):  # this one does what it did not
                store.delete(one.name)

    def renew(self, tasks: Iterable[Task]) -> None:
        """Say once a minute that this command lives, and what it has in hand; a failure to say so fails nothing."""
        if time.time() - self._own.seen >= _RENEWED_S:
            with suppress(OSError, MachineError):
                self._put(Counter(task.stage for task in tasks))

    def _put(self, tasks: dict[str, int]) -> None:
        self._own = msgspec.structs.replace(self._own, seen=time.time(), tasks=tasks)
        self._store.put(self._own.name, msgspec.json.encode(self._own))

    def complete(self) -> None:
        """Remove what is left of commands that are gone: nothing waits for them any more."""
        for one in at_work(self._store, self._leases):
            if one.gone:
                self._store.delete(one.name)

    def __enter__(self) -> Announced:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError, MachineError):  # it is then told to be gone, which it is
            self._store.delete(self._own.name)
        self._leases.release(self._own.name)


def at_work(store: Store, leases: Leases | None = None) -> list[AtWork]:
    """Say which commands work on a dataset, or did and ended without a word; the oldest first.

    Args:
        store: Of the dataset.
        leases: This process's, if it works there itself.
    """
    found = sorted(_read(store), key=lambda one: one.since)
    if store.local is None:
        return [msgspec.structs.replace(one, lives=False) if _has_ended(one) else one for one in found]
    if not found:
        return found
    if leases is not None:
        return [_looked_at(one, leases) for one in found]
    if any((one.host, one.pid) == (socket.gethostname(), os.getpid()) for one in found):
        return found  # to look would give its locks back
    try:
        with store.leases(LEASES) as own:
            return [_looked_at(one, own) for one in found]
    except OSError:  # one may only read here
        return found


def _has_ended(one: AtWork) -> bool:
    """Whether a command of this machine is no process any more; what others are, nobody here knows."""
    if one.host == socket.gethostname() and 0 < one.pid < _MOST_PID:
        try:
            os.kill(one.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # somebody else's
            return False
    return False


def _looked_at(one: AtWork, leases: Leases) -> AtWork:
    return msgspec.structs.replace(one, lives=leases.is_held(one.name))


def _read(store: Store) -> Iterator[AtWork]:
    for number, stored in enumerate(store.list(AT_WORK)):
        if number == _MOST:
            return
        if not stored.name.endswith(
            ".json"
        ):  # one that is being written, and is not to be taken from whoever does
            continue
        # removed meanwhile, or not ours
        with suppress(FileNotFoundError, DamagedOutput, msgspec.DecodeError, RecursionError):
            one = msgspec.json.decode(store.read(stored.name), type=AtWork)
            if 0 <= one.since <= one.seen < _LATEST_S:
                yield msgspec.structs.replace(one, name=stored.name, lives=None)


def _job() -> str:
    """Name the Slurm job that this process is of (sbatch(1), output environment variables)."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID", ""), os.environ.get("SLURM_ARRAY_TASK_ID", "")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")
