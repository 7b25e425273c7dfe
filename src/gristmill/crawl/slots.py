"""Connections to one host that all workers of a run have together, where the host allows but a few.

Each is a slot: a file that one process at a time holds the lock of (``flock``), which the kernel takes from a process
that dies. A slot has an equal share of the host's bits a second. What has come through it is paid for with time, and
until when stands in the file, for whoever holds it next. A body that has begun is not slowed down; so that it, too,
stays within the host's rate over ten seconds, a slot uses only a part of its share.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import time
from collections.abc import Callable, Sized
from dataclasses import dataclass, field
from pathlib import Path

from gristmill.spec.errors import MachineError
from gristmill.spec.host_rule import HostRule

__all__ = ["Slot", "Slots"]

TURN_S = 10.0
"""How long a process keeps a slot while others may want it."""
POLL_S = 0.05
LONGEST_POLL_S = 0.2
AFTER_YOU_S = 0.25
"""How long a process leaves a slot alone that it has had for a turn: others poll more often."""
LINGER_S = 6.0
"""How long a connection may stay open that was kept alive and is not used again; more than the client keeps it."""
ENOUGH_WAITING = 4
"""URLs for each slot: so many are not all asked for by the others while one answer comes."""
SHARE_USED = 0.8
MOST_DEBT_S = 120.0
"""What a file says beyond it comes from a clock that was set otherwise."""


@dataclass(slots=True, eq=False)
class Slot:
    """One connection.

    Attributes:
        free_at_s: Until when what came through it is paid for, in Unix time.
        fd: Of its locked file; None where it is not ours.
        busy: A request uses it.
        lingers: Its connection may still be open.
    """

    number: int
    free_at_s: float = 0.0
    taken_at_s: float = 0.0
    began_s: float = 0.0
    fd: int | None = None
    busy: bool = False
    lingers: bool = False
    over: bool = False
    not_before_s: float = 0.0
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)


class Slots:
    """The slots of one host, as one process sees them.

    Args:
        rule: How many there are, and how much may come through them.
        clock: Unix time.
    """

    def __init__(self, rule: HostRule, clock: Callable[[], float] = time.time) -> None:
        self._name = re.sub(r"[^a-z0-9.-]", "_", rule.host)
        self._folder: Path | None = None
        self._clock = clock
        self._slots = [Slot(number) for number in range(rule.connections)]
        share = None if rule.bits_per_s is None else SHARE_USED * rule.bits_per_s / rule.connections
        self._bytes_s = None if share is None else share / 8
        self._freed = asyncio.Event()

    def share(self, folder: Path) -> None:
        """Share them with other processes, by files in a folder; to be called before the first is taken."""
        if self._folder is None:
            folder.mkdir(parents=True, exist_ok=True)
            self._folder = folder

    async def take(self) -> Slot:
        """Wait for a slot, and until what came through it before is paid for.

        Raises:
            MachineError: The file system cannot lock.
        """
        slot = await self._own()
        try:
            await asyncio.sleep(slot.free_at_s - self._clock())
        except asyncio.CancelledError:
            self._idle(slot)
            raise
        slot.began_s = self._clock()
        return slot

    def keep_alive(self, slot: Slot, queue: Sized) -> Callable[[], bool]:
        """Say whether the slot's connection is certain to be used again: asked before and after an answer's head.

        Args:
            slot: As it was taken.
            queue: What waits for the host in this process.
        """
        last = slot.fd is not None and self._clock() - slot.taken_at_s >= TURN_S

        def keeps() -> bool:
            slot.lingers = not last and len(queue) > ENOUGH_WAITING * len(self._slots)
            return slot.lingers

        return keeps

    def give(self, slot: Slot, received_bytes: int) -> None:
        """Say that a request is over, and how much it brought."""
        if self._bytes_s is not None:
            paid_s = slot.began_s + received_bytes / self._bytes_s
            slot.free_at_s = max(slot.free_at_s, paid_s)
        self._idle(slot)

    def close(self) -> None:
        """Let go of all."""
        for slot in self._slots:
            self._let_go(slot)

    async def _own(self) -> Slot:
        """A slot that is ours, and busy from now on."""
        pause_s = POLL_S
        while True:
            slot = next((s for s in self._slots if self._usable(s)), None)
            slot = slot or next((s for s in self._slots if self._lock(s)), None)
            if slot is not None:
                break
            self._freed.clear()
            try:
                await asyncio.wait_for(self._freed.wait(), pause_s)
            except TimeoutError:
                pause_s = min(1.5 * pause_s, LONGEST_POLL_S)
        slot.busy = True
        if slot.timer is not None:
            slot.timer.cancel()
            slot.timer = None
        return slot

    def _usable(self, slot: Slot) -> bool:
        return not slot.busy and not slot.over and (slot.fd is not None or self._folder is None)

    def _lock(self, slot: Slot) -> bool:
        """Try to get the lock of a slot that is not ours."""
        if self._folder is None or slot.fd is not None or slot.not_before_s > self._clock():
            return False
        path = self._folder / f"{self._name}.{slot.number}"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as err:
            raise MachineError(
                f"{path}: {err.strerror}. A lock on it says who may ask {self._name}."
            ) from err
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            text = os.pread(fd, 32, 0)
        except BlockingIOError:
            os.close(fd)
            return False
        except OSError as err:
            os.close(fd)
            raise MachineError(
                f"{path}: the file system cannot lock files ({err.strerror}), and locks say which worker may ask "
                f"{self._name}. Choose a folder on another file system."
            ) from err
        now_s = self._clock()
        paid_s = float(text) if re.fullmatch(rb"\d{1,11}\.\d{3}\n", text) else 0.0
        slot.fd, slot.taken_at_s, slot.over, slot.lingers = fd, now_s, False, False
        slot.free_at_s = min(paid_s, now_s + MOST_DEBT_S)
        return True

    def _idle(self, slot: Slot) -> None:
        """A slot is not used now: keep it for a next request, or let go of it once no connection can be open."""
        slot.busy = False
        if slot.fd is not None:
            slot.over = self._clock() - slot.taken_at_s >= TURN_S
            wait_s = LINGER_S if slot.lingers else 0.0 if slot.over else POLL_S
            slot.timer = asyncio.get_running_loop().call_later(wait_s, self._let_go, slot)
        self._freed.set()

    def _let_go(self, slot: Slot) -> None:
        if slot.timer is not None:
            slot.timer.cancel()
            slot.timer = None
        if slot.fd is None:
            return
        if slot.over:
            slot.not_before_s = self._clock() + AFTER_YOU_S
        os.ftruncate(slot.fd, os.pwrite(slot.fd, f"{slot.free_at_s:.3f}\n".encode(), 0))
        os.close(slot.fd)
        slot.fd = None
        self._freed.set()
