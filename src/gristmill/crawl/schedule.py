"""Whose turn it is: per-host queues, taken round robin, with pauses. No clock, no sockets, no tasks."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from types import MappingProxyType
from typing import Generic, TypeVar

from gristmill.spec.reasons import Reason

__all__ = ["Host", "Schedule"]

T = TypeVar("T")


class Host(Generic[T]):
    """Holds what is queued and under way at one host."""

    __slots__ = (
        "active",
        "answered",
        "bombs",
        "closed_because",
        "closed_until_s",
        "failed_because",
        "failing_since_s",
        "failures",
        "gap_s",
        "in_line",
        "key",
        "lately_s",
        "later",
        "limit",
        "most",
        "paused_until_s",
        "pauses_s",
        "queue",
        "remembered_until_s",
        "silent",
        "slowed_at_s",
        "usual_s",
        "vain_s",
    )

    def __init__(self, key: str, limit: int) -> None:
        self.key = key
        self.queue: deque[T] = deque()
        self.active = 0
        self.later = 0  # items of this host that wait for their back-off
        self.in_line = False  # it stands in the round-robin line, or a wake-up will put it there
        self.paused_until_s = 0.0
        self.pauses_s = 0.0  # sum of its pauses since its last good answer
        self.closed_until_s = 0.0  # it asked for more patience than we have: answered without asking
        self.closed_because: tuple[Reason, str] | None = None
        self.most = limit  # under way at once when all is well
        self.limit = float(limit)  # under way at once as things are; rounded down
        self.gap_s = 0.0  # least time from one request's start to the next one's
        self.failures = 0  # in a row, without any answer
        self.failing_since_s = 0.0
        self.failed_because: tuple[Reason, str] | None = None  # the last of them
        self.answered = False
        self.bombs = 0  # in a row, without a good answer between them
        self.silent = False  # it has kept us waiting or failed, and has answered nothing yet
        self.vain_s = (
            0.0  # how long its requests waited in vain, added up, as long as it has answered nothing
        )
        self.slowed_at_s = 0.0
        self.usual_s: float | None = None  # how long its answers take to begin
        self.lately_s = 0.0
        self.remembered_until_s = 0.0

    @property
    def full(self) -> bool:
        """Say whether as many are under way as may be."""
        return self.active + 1 > self.limit


class Schedule(Generic[T]):
    """Gives out items so that no host has more than its limit (``per_host``, or less by ``limits``) and none starves
    another.

    The order is a function of the order of :meth:`add` and of when items finish; it involves no chance.
    """

    def __init__(self, per_host: int, limits: Mapping[str, int] = MappingProxyType({})) -> None:
        self._per_host, self._limits = per_host, limits
        self._hosts: dict[str, Host[T]] = {}
        self._line: deque[Host[T]] = deque()
        self._wakeups: list[tuple[float, int, Host[T], T | None]] = []
        self._serial = count()

    def host(self, key: str) -> Host[T]:
        """The host of this name, made if need be."""
        host = self._hosts.get(key)
        if host is None:
            limit = min(self._per_host, self._limits.get(key, self._per_host))
            host = self._hosts[key] = Host(key, limit)
        return host

    def add(self, key: str, item: T, *, first: bool = False) -> None:
        """Queue an item at the end of its host's queue, or ``first`` in it."""
        host = self.host(key)
        if first:
            host.queue.appendleft(item)
        else:
            host.queue.append(item)
        self._enlist(host)

    def add_later(self, key: str, item: T, at_s: float) -> None:
        """Queue an item first in its host's queue once ``at_s`` has come."""
        host = self.host(key)
        host.later += 1
        heapq.heappush(self._wakeups, (at_s, next(self._serial), host, item))

    def take(self, now_s: float) -> tuple[Host[T], T] | None:
        """The next item that may begin now, if there is one; its host counts one more under way."""
        self._wake(now_s)
        while self._line:
            host = self._line.popleft()
            host.in_line = False
            if host.paused_until_s > now_s and host.closed_until_s <= now_s:
                if host.queue:
                    host.in_line = True
                    heapq.heappush(self._wakeups, (host.paused_until_s, next(self._serial), host, None))
                continue
            if not host.queue or host.full:
                continue
            item = host.queue.popleft()
            host.active += 1
            if host.gap_s:
                host.paused_until_s = max(host.paused_until_s, now_s + host.gap_s)
            self._enlist(host)
            return host, item
        return None

    def done(self, host: Host[T]) -> None:
        """One item of the host is no longer under way."""
        host.active -= 1
        self._enlist(host)

    def forget_idle(self, host: Host[T], now_s: float) -> None:
        """Drop a host of which nothing need be remembered."""
        if not (host.queue or host.active or host.later or host.in_line) and (
            max(host.paused_until_s, host.closed_until_s, host.remembered_until_s) <= now_s
        ):
            self._hosts.pop(host.key, None)

    def next_wakeup_s(self) -> float | None:
        """When :meth:`take` may have something that it has not now, apart from what :meth:`done` brings."""
        return self._wakeups[0][0] if self._wakeups else None

    @property
    def idle(self) -> bool:
        """Say whether nothing is queued, nor waits for its back-off."""
        return not any(host.queue or host.later for host in self._hosts.values())

    @property
    def silent_count(self) -> int:
        """Items that are queued, under way, or wait for their back-off, at silent hosts. From any thread."""
        return sum(
            len(host.queue) + host.active + host.later for host in list(self._hosts.values()) if host.silent
        )

    def hosts(self) -> Iterable[Host[T]]:
        """All that are remembered."""
        return self._hosts.values()

    def drop(self, unwanted: Callable[[T], bool]) -> None:
        """Take all waiting items for which ``unwanted`` holds out of every queue."""
        for host in list(self._hosts.values()):
            host.queue = deque(item for item in host.queue if not unwanted(item))
        kept = []
        for wakeup in self._wakeups:
            if wakeup[3] is not None and unwanted(wakeup[3]):
                wakeup[2].later -= 1
            else:
                kept.append(wakeup)
        heapq.heapify(kept)
        self._wakeups = kept

    def tidy(self, now_s: float) -> None:
        """Forget every host of which nothing need be remembered any more."""
        for host in list(self._hosts.values()):
            self.forget_idle(host, now_s)

    def _enlist(self, host: Host[T]) -> None:
        if host.queue and not host.in_line and not host.full:
            host.in_line = True
            self._line.append(host)

    def _wake(self, now_s: float) -> None:
        while self._wakeups and self._wakeups[0][0] <= now_s:
            _, _, host, item = heapq.heappop(self._wakeups)
            if item is None:
                host.in_line = False
            else:
                host.later -= 1
                host.queue.appendleft(item)
            self._enlist(host)
