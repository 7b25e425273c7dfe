"""Tells who works on a dataset: each command puts a small file there, its sign, renews it, and removes it at its end.

In a folder a lease tells whether a command lives. In an object store leases are seen on one machine alone;
to all others a sign that changes tells that its command lives. So a sign is its command's claim there:
:mod:`gristmill.ledger.claim`. ``status`` does not wait for a change, and goes by the time since the last one.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread

import msgspec

from gristmill.ledger.ledger import RECORDS, STATE
from gristmill.spec.command import printable
from gristmill.spec.errors import Busy, DamagedOutput, MachineError
from gristmill.spec.task import Task
from gristmill.storage.leases import Leases
from gristmill.storage.store import Store

__all__ = [
    "AT_WORK",
    "LEASES",
    "RENEWED_S",
    "WATCHED_S",
    "Announced",
    "AtWork",
    "WorkerAt",
    "at_work",
    "by_stage",
    "processes_here",
]

AT_WORK = f"{STATE}/at-work"
"""The folder of these files."""
LEASES = f"{STATE}/leases"
"""Byte-range locks, one for each task and each command."""
RENEWED_S = 15.0
"""So often a sign in an object store is renewed."""
WATCHED_S = 4 * RENEWED_S
"""A sign there that stays as it is for so long is of a command that is gone: a store may be away for half of it."""
_RENEWED_IN_FOLDER_S = 60.0
"""Likewise in a folder, where a lease tells who lives."""
_LOOKS = 4
"""So often, with its first signs, a command there looks whether another has begun that it could not see: some stores
list late what was put."""
_LATEST_S = 2.5e11
_MOST_PID = 1 << 22
"""Linux gives no greater one (proc(5), pid_max)."""
_ENDING_S = 2.0
_LONGEST = 60
_LONGEST_SAID = 200
_LOOKED_S = 1.0
"""So often it is looked whether there is something in hand."""
_REPLACED = (
    "{}: this command could not say for more than a minute that it lives, and another has taken up its work. "
    "Everything finished is kept; give the same command again when that one has ended."
)
_AT_ONCE = (
    "{}: another command has begun at the same time, and works on it: {}. Everything finished is kept; give the same "
    "command again when that one has ended."
)


class WorkerAt(msgspec.Struct, frozen=True, kw_only=True):
    """Says of a command's worker on another machine where it is.

    Attributes:
        host: The machine's name.
        pid: The process there.
        since: When it began, in Unix time by the command's clock.
        tasks: What it has in hand, by stage.
    """

    host: str
    pid: int
    since: float = 0.0
    tasks: dict[str, int] = {}


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
        beats: How often it has said so.
        processes: Whose process numbers its own is one of: of which machine and container.
        leases: In an object store, which lease file it holds its leases in.
        begun: False as long as it only looks whether it may begin.
        tasks: What it has in hand, by stage.
        workers: Those on other machines, where an executor has them there.
        exit_code: With which it ended, at ``seen``; None if it works, or ended without a word.
        said: Why it ended so, shortened.
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
    beats: int = 0
    processes: str = ""
    leases: str = ""
    begun: bool = True
    tasks: dict[str, int] = {}
    workers: tuple[WorkerAt, ...] = ()
    exit_code: int | None = None
    said: str = ""
    lives: bool | None = None

    @property
    def gone(self) -> bool:
        """Say whether nothing more is to be expected of it."""
        ended = self.lives is False or self.exit_code is not None
        return ended or (self.lives is None and time.time() - self.seen > WATCHED_S)

    @property
    def journals(self) -> str:
        """Say how the names of its files of records begin."""
        return f"{RECORDS}/{self.host[:40]}-{self.pid}-"

    @property
    def options(self) -> str:
        """Say which part of the work it was told to do, as typed; empty of one that does all."""
        share = f"--share {self.share[0]}/{self.share[1]}" if self.share else ""
        return f"--tasks {self.span[0]}:{self.span[1]}" if self.span else share

    @property
    def title(self) -> str:
        """Say which command it is, and since when it works."""
        job = f"job {printable(self.job)[:_LONGEST]}" if self.job else ""
        words = [f"process {self.pid} on {printable(self.host)[:_LONGEST]}", job, self.options]
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"{', '.join(filter(None, words))}, since {since}"


class Announced:
    """A sign that this process works on a dataset; a context manager, which renews it from a thread of its own.

    It is removed at the end, but stays with the exit code where work that was taken up ends with an error.

    Args:
        store: Of the dataset.
        leases: One is held as long as this is open.
        share: Of ``--share``.
        span: Of ``--tasks``.

    Attributes:
        sign: As it was put last.
        in_hand: Tasks under way, by their ids; may be changed as long as this is open.
        workers: Asked, in the thread of this, for those on other machines.
        rivals: Gives the signs of others that do some of this one's work and do not divide it by leases.
    """

    def __init__(
        self,
        store: Store,
        leases: Leases,
        *,
        share: tuple[int, int] | None,
        span: tuple[int, int] | None,
    ) -> None:
        self.store, self.leases = store, leases
        self.in_hand: Mapping[str, Task] = {}
        self.workers: Callable[[], Iterable[WorkerAt]] = tuple
        self.rivals: Callable[[], Iterable[AtWork]] = tuple
        self.sign = AtWork(
            name=f"{AT_WORK}/{_scope(share)}{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}.json",
            host=socket.gethostname(),
            pid=os.getpid(),
            job=_job(),
            share=share,
            span=span,
            since=time.time(),
            processes=processes_here(),
            leases="" if store.local else leases.mark(),
            begun=False,
        )
        self._putting, self._ended, self._replaced = Lock(), Event(), ""
        self._has_work, self._said_at = False, _clock()
        self._looks: list[dict[str, int]] = []
        self._thread = Thread(target=self._renew, name="at work", daemon=True)

    def __enter__(self) -> Announced:
        self.leases.take(self.sign.name)
        self._put()
        self._thread.start()
        return self

    def __exit__(self, kind: object, err: BaseException | None, trace: object) -> None:
        self._ended.set()
        self._thread.join(_ENDING_S)  # longer it takes only where the store does not answer
        failed = self._has_work and isinstance(err, Exception | KeyboardInterrupt) and not self._replaced
        failed = failed and not isinstance(err, Busy)  # others do what it left
        with suppress(OSError, MachineError):  # it is then told to be gone, which it is
            if not failed:
                self.store.delete(self.sign.name)
            elif not self._thread.is_alive():
                code = 130 if isinstance(err, KeyboardInterrupt) else getattr(err, "exit_code", 1)
                self._put(exit_code=code, said=str(err).partition("\n")[0][:_LONGEST_SAID])
        self.leases.release(self.sign.name)

    def begin(self) -> None:
        """Say that this command has looked around and does its work now.

        Raises:
            OSError: As the store says, or an error of ``gristmill.spec.errors``.
        """
        self._put(begun=True)

    def take_up(self, gone: Iterable[AtWork]) -> None:
        """Do the work that commands which are gone left, whose signs are removed, and from now on one's own."""
        self.forget(gone)
        self._has_work = True

    def _renew(self) -> None:
        """Say every so often that this command lives, and what it has in hand; a failure to say so fails nothing.

        Once something is in hand where there was nothing, it is said at once.
        """
        every_s = _RENEWED_IN_FOLDER_S if self.store.local else RENEWED_S
        said_at = time.monotonic()
        while not self._ended.wait(min(_LOOKED_S, every_s)):
            first = bool(self.in_hand) and not self.sign.tasks
            if not first and time.monotonic() - said_at < every_s:
                continue
            said_at = time.monotonic()
            with suppress(OSError, MachineError):
                if self._is_replaced():
                    return
                self._put()
                self._look_around()

    def check(self) -> None:
        """See that no other command has taken this one for gone, since it could not say for long that it lives.

        Raises:
            Busy: One has, and does its work.
            OSError: As the store says, or an error of ``gristmill.spec.errors``.
        """
        if self._is_replaced():
            raise Busy(self._replaced)

    def _is_replaced(self) -> bool:
        """Look whether another has begun, where this one was silent: a long put may have put its sign back."""
        silent_s = max(time.time() - self.sign.seen, _clock() - self._said_at)
        if self.store.local is None and silent_s > WATCHED_S and not self._replaced:
            removed = self.store.size(self.sign.name) is None
            if removed or any(one.begun for one in self.rivals()):
                self._replaced = _REPLACED.format(self.store)
        return bool(self._replaced)

    def _look_around(self) -> None:
        """Leave, soon after the begin, what another does that has begun at the same time: the first name stays."""
        if self.store.local is not None or not self.sign.begun or len(self._looks) == _LOOKS:
            return
        found = {one.name: one for one in self.rivals() if one.begun and one.name < self.sign.name}
        for name, beats in (self._looks or [{}])[-1].items():
            if name in found and found[name].beats != beats:
                self._replaced = _AT_ONCE.format(self.store, found[name].title)
        self._looks.append({name: one.beats for name, one in found.items()})

    def _put(self, *, begun: bool = False, exit_code: int | None = None, said: str = "") -> None:
        with self._putting:
            said_at = _clock()
            self.sign = msgspec.structs.replace(
                self.sign,
                seen=max(self.sign.since, time.time()),
                beats=self.sign.beats + 1,
                begun=begun or self.sign.begun,
                tasks=by_stage(self.in_hand),
                workers=tuple(self.workers()),
                exit_code=exit_code,
                said=said,
            )
            self.store.put(self.sign.name, msgspec.json.encode(self.sign))
            self._said_at = said_at

    def forget(self, gone: Iterable[AtWork]) -> None:
        """Remove signs of commands that are gone: this one does what they did not."""
        for one in gone:
            self.store.delete(one.name)

    def others(self) -> list[str]:
        """Say how the names of records begin that other commands at work write."""
        found = at_work(self.store, self.leases)
        return [one.journals for one in found if not one.gone and one.name != self.sign.name]

    def complete(self) -> None:
        """Remove what is left of commands that are gone: nothing waits for them any more."""
        others = at_work(self.store, self.leases, of=lambda name: name != self.sign.name)
        self.forget(one for one in others if one.gone)


def _clock() -> float:
    """A clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def by_stage(tasks: Mapping[str, Task]) -> dict[str, int]:
    """Count tasks under way by stage; another thread may change which they are meanwhile."""
    return Counter(task.stage for task in list(tasks.values()))


def at_work(
    store: Store, leases: Leases | None = None, *, of: Callable[[str], bool] = lambda name: True
) -> list[AtWork]:
    """Say which commands work on a dataset, or did and have not done all; the oldest first.

    Args:
        store: Of the dataset.
        leases: This process's, if it works there itself.
        of: Says of a file's name whether it is wanted.
    """
    found = sorted(_read(store, of), key=lambda one: one.since)
    here = socket.gethostname()
    if leases is not None:
        return _looked_at(found, store, leases)
    if not found or (store.local is None and all(one.host != here for one in found)):
        return found
    if any((one.host, one.pid, one.exit_code) == (here, os.getpid(), None) for one in found):
        return found  # to look would give its locks back
    try:
        with store.leases(LEASES) as own:
            return _looked_at(found, store, own)
    except OSError:  # one may only read here
        return found


def _looked_at(found: list[AtWork], store: Store, leases: Leases) -> list[AtWork]:
    """Say which of them live, as far as it can be known at once."""
    if store.local is not None:
        return [
            msgspec.structs.replace(one, lives=one.exit_code is None and leases.is_held(one.name))
            for one in found
        ]
    mark, here, processes = leases.mark(), socket.gethostname(), processes_here()
    told = []
    for one in found:
        held = one.exit_code is None and one.leases == mark and leases.is_held(one.name)
        # another machine may see the lease file, and not its locks
        free = one.leases == mark and one.host == here and not held
        ended = (one.host, one.processes) == (here, processes) and _has_ended(one.pid)
        ended = ended or one.exit_code is not None
        told.append(msgspec.structs.replace(one, lives=True if held else False if free or ended else None))
    return told


def _has_ended(pid: int) -> bool:
    """Tell whether there is no process of that number."""
    try:
        os.kill(pid if 0 < pid < _MOST_PID else 1, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's
        return False
    return False


def processes_here() -> str:
    """Tell apart whose process numbers mean the same: the kernel that runs, and the container; empty if unknown."""
    with suppress(OSError):
        kernel = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{kernel} {Path('/proc/self/ns/pid').readlink()}"  # random(4), namespaces(7)
    return ""


def _read(store: Store, of: Callable[[str], bool]) -> Iterator[AtWork]:
    for stored in store.list(AT_WORK):  # however many: one that is passed over has its tasks done twice
        if not stored.name.endswith(
            ".json"
        ):  # one that is being written, and is not to be taken from whoever does
            continue
        if not of(stored.name):
            continue
        # removed meanwhile, or not ours
        with suppress(FileNotFoundError, DamagedOutput, msgspec.DecodeError, RecursionError):
            one = msgspec.json.decode(store.read(stored.name), type=AtWork)
            if 0 <= one.since <= one.seen < _LATEST_S:
                yield msgspec.structs.replace(one, name=stored.name, lives=None)


def _scope(share: tuple[int, int] | None) -> str:
    """How the names of signs begin, so that most are told apart without being read."""
    return f"share-{share[0]}-{share[1]}." if share else ""


def _job() -> str:
    """Name the Slurm job that this process is of (sbatch(1), output environment variables)."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID", ""), os.environ.get("SLURM_ARRAY_TASK_ID", "")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")
