"""Deadlines of all requests under way, kept by one timer.

A timer for each request and each read costs more than the reads. Here one sweep, a few times a second, looks
at all requests, and cancels those that are over time; limits are therefore kept to within one sweep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum
from math import inf

import aiohttp

from gristmill.crawl.costs import Cost
from gristmill.crawl.settings import CrawlSettings
from gristmill.spec.reasons import Reason

LOOKUP_PATIENCE = 4
"""Lookups have limits of their own and wait for their turn, which is not the URL's fault. This is a last resort."""
SLOW_BYTES_S = 8_000
"""A request that has brought fewer bytes a second than that, its lookup included, gives way to others."""
LATE_S = 0.25
"""What a sweep may come later than due without anything being made of it."""

__all__ = ["Attempt", "ExchangePhase", "RequestWatch"]


class ExchangePhase(IntEnum):
    """Says how far an exchange has come."""

    LOOKUP = 0
    HEAD = 1
    BODY = 2


class Attempt:
    """One exchange under way, as the sweep sees it. The exchange itself only counts bytes."""

    __slots__ = (
        "asked_s",
        "began_s",
        "connected",
        "cost",
        "deadline_s",
        "detail",
        "give_way",
        "host",
        "opened",
        "opened_at_s",
        "patience",
        "paused",
        "phase",
        "reason",
        "received_bytes",
        "refused",
        "response",
        "seen_at_s",
        "seen_bytes",
        "slow",
        "task",
        "window_at_s",
        "window_bytes",
    )

    def __init__(
        self,
        task: asyncio.Task[object],
        now_s: float,
        left_s: float,
        give_way: Callable[[], bool],
        patience: Callable[[], float],
        host: str | None,
        cost: Cost,
    ) -> None:
        self.task = task
        self.cost = cost
        self.began_s = now_s
        self.asked_s = inf  # when the exchange proper began
        self.give_way, self.patience, self.host = give_way, patience, host
        self.slow = False  # it has given way to others
        self.deadline_s = now_s + LOOKUP_PATIENCE * left_s  # until the exchange proper begins
        self.phase = ExchangePhase.LOOKUP
        self.received_bytes = self.seen_bytes = self.window_bytes = 0
        self.seen_at_s = self.window_at_s = now_s
        self.paused = False  # it waits for us, not for the server
        self.opened = False  # whether it opened a connection, or uses one that was kept alive
        self.opened_at_s = now_s
        self.connected = False  # whether the one that it opened stands
        self.refused: str | None = None  # an address that the guard would not connect to
        self.response: aiohttp.ClientResponse | None = None  # once the head has come
        self.reason: Reason | None = None
        self.detail = ""

    def enter(self, phase: ExchangePhase, now_s: float) -> None:
        """Begin a phase: its limits count from now."""
        if phase is ExchangePhase.HEAD:
            self.asked_s = now_s
        self.phase = phase
        self.seen_at_s = self.window_at_s = now_s

    def open(self, now_s: float) -> None:
        """It begins to connect, or does so to one more address of the host."""
        if not self.opened:
            self.opened, self.opened_at_s = True, now_s

    def connect(self, now_s: float) -> None:
        """The connection that it opened stands: from now on it waits for the server's answer."""
        self.connected = True
        self.seen_at_s = now_s

    def vain_s(self, now_s: float, least_bytes_s: float) -> float:
        """Say how long it has waited for the server, if in that time fewer bytes came than that; else 0."""
        waited_s = max(0.0, now_s - self.asked_s)
        return waited_s if self.received_bytes < least_bytes_s * waited_s else 0.0

    def excuse(self, seconds: float) -> None:
        """Let its limits count so much later."""
        self.began_s += seconds
        self.asked_s += seconds
        self.opened_at_s += seconds
        self.deadline_s += seconds
        self.seen_at_s += seconds
        self.window_at_s += seconds


class RequestWatch:
    """Sweeps over all attempts and cancels those that take too long."""

    def __init__(self, settings: CrawlSettings, loop: asyncio.AbstractEventLoop) -> None:
        self._settings = settings
        self._loop = loop
        self._attempts: dict[Attempt, None] = {}
        self._doubts: dict[str, Callable[[float | None], bool]] = {}
        self._least_bytes_s = settings.min_rate_bytes_s
        self._by_host: dict[str, dict[Attempt, None]] = {}
        shortest_s = min(settings.total_s, settings.stall_s, settings.min_rate_window_s)
        self._tick_s = min(0.25, max(0.01, shortest_s / 10))
        self._timer: asyncio.TimerHandle | None = None
        self._swept_s = 0.0

    def begin(
        self,
        left_s: float,
        give_way: Callable[[], bool],
        patience: Callable[[], float] | None = None,
        host: str | None = None,
        *,
        cost: Cost | None = None,
    ) -> Attempt:
        """Watch the current task.

        Args:
            left_s: Seconds that it has from when its lookup is done.
            give_way: Called once the server turns out to be slow, so that others need not wait for it; called
                again later if it returns False.
            patience: Seconds within which the head must come; asked only when ``stall_s`` of them are over, and
                that by default.
            host: For :meth:`waiting` and :meth:`cut`.
            cost: What its host has cost.
        """
        task = asyncio.current_task()
        assert task is not None
        now_s = self._loop.time()
        patience = patience or (lambda: self._settings.stall_s)
        attempt = Attempt(task, now_s, left_s, give_way, patience, host, cost or Cost(now_s))
        self._attempts[attempt] = None
        if host is not None:
            self._by_host.setdefault(host, {})[attempt] = None
        if self._timer is None:
            self._swept_s = now_s
            self._timer = self._loop.call_later(self._tick_s, self._sweep)
        return attempt

    def end(self, attempt: Attempt) -> None:
        """No longer watch it; it lets go of what it belongs to.

        Its task, by way of its context, and the caller's function lead back to it. Such rings, one for each request,
        would stay in memory until a full garbage collection, which comes every ten thousand requests and more.
        """
        self._attempts.pop(attempt, None)
        del attempt.task, attempt.give_way, attempt.patience
        attempt.response = None
        if attempt.host is not None and (others := self._by_host.get(attempt.host)) is not None:
            others.pop(attempt, None)
            if not others:
                del self._by_host[attempt.host]

    @property
    def count(self) -> int:
        """Attempts that are watched, or hosts of which some are, if these are more; 0 at rest."""
        return max(len(self._attempts), len(self._by_host))

    def waiting(self, host: str) -> float | None:
        """Say how long a host's requests under way have waited in vain, added up; None if one is being answered."""
        total_s = 0.0
        for attempt in self._by_host.get(host, ()):
            vain_s = self.in_vain(attempt)
            if attempt.received_bytes and not vain_s:
                return None
            total_s += vain_s
        return total_s

    def doubt(self, host: str, decide: Callable[[float | None], bool]) -> None:
        """Ask at each sweep whether a host is to be given up, as long as requests to it are under way.

        Args:
            host: Its name.
            decide: Given what :meth:`waiting` says; returns whether there is nothing more to decide.
        """
        self._doubts[host] = decide

    def cut(self, host: str) -> None:
        """End a host's requests that wait in vain: it is given up."""
        for attempt in self._by_host.get(host, ()):
            waited_s = self.in_vain(attempt)
            if waited_s and attempt.reason is None:
                attempt.reason = Reason.STALLED
                attempt.detail = f"no answer for {waited_s:.3g} s when the host was given up"
                attempt.task.cancel()

    def in_vain(self, attempt: Attempt) -> float:
        """Say how long a request has waited for next to nothing, our own standing still left out; else 0."""
        now_s = self._loop.time()
        return attempt.vain_s(now_s - self._late_s(now_s - self._swept_s), self._least_bytes_s)

    def _late_s(self, since_s: float) -> float:
        """How much later than due a sweep comes: suspended or busy were we then, and no server is to blame for it."""
        late_s = since_s - self._tick_s
        return late_s if late_s > LATE_S else 0.0

    def close(self) -> None:
        """Stop sweeping."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        now_s = self._loop.time()
        since_s, self._swept_s = now_s - self._swept_s, now_s
        ours_s = self._late_s(since_s)
        for attempt in list(self._attempts):
            if attempt.paused or ours_s:
                attempt.excuse(max(since_s if attempt.paused else 0.0, ours_s))
            elif attempt.reason is None:
                if self._too_slow(attempt, now_s):
                    attempt.task.cancel()
                elif not attempt.slow and self._holds_up(attempt, now_s):
                    attempt.slow = attempt.give_way()
        for host, decide in list(self._doubts.items()):
            if host not in self._by_host or decide(self.waiting(host)):
                del self._doubts[host]
        self._timer = self._loop.call_later(self._tick_s, self._sweep) if self._attempts else None

    def _holds_up(self, attempt: Attempt, now_s: float) -> bool:
        under_way_s = now_s - attempt.began_s
        return (
            under_way_s >= self._settings.slow_after_s and attempt.received_bytes < under_way_s * SLOW_BYTES_S
        )

    def _too_slow(self, attempt: Attempt, now_s: float) -> bool:
        settings = self._settings
        if now_s >= attempt.deadline_s:
            lookup = attempt.phase is ExchangePhase.LOOKUP
            attempt.reason = Reason.DNS_FAILED if lookup else Reason.DEADLINE
            allowed_s = settings.total_s * (LOOKUP_PATIENCE if lookup else 1)
            attempt.detail = f"not done within {allowed_s:g} s"
            return True
        if attempt.phase is ExchangePhase.LOOKUP:
            return False
        if attempt.opened and not attempt.connected:
            return self._connects_too_long(attempt, now_s)
        if attempt.received_bytes != attempt.seen_bytes:
            attempt.seen_bytes = attempt.received_bytes
            attempt.seen_at_s = now_s
        elif _has_failed(attempt.response):
            attempt.reason = Reason.SHORT_BODY
            attempt.detail = "the body broke off"
            return True
        if self._stalls(attempt, now_s - attempt.seen_at_s):
            return True
        return attempt.phase is ExchangePhase.BODY and self._below_rate(attempt, now_s)

    def _connects_too_long(self, attempt: Attempt, now_s: float) -> bool:
        allowed_s = self._settings.connect_s
        if now_s - attempt.opened_at_s < allowed_s:
            return False
        attempt.reason, attempt.detail = Reason.CONNECT_TIMEOUT, f"no connection within {allowed_s:g} s"
        return True

    def _stalls(self, attempt: Attempt, silent_s: float) -> bool:
        allowed_s = self._settings.stall_s
        if silent_s < allowed_s:
            return False
        heading = attempt.phase is ExchangePhase.HEAD
        if heading:
            allowed_s = attempt.patience()
        if silent_s < allowed_s:
            return False
        attempt.reason = Reason.STALLED
        attempt.detail = f"{'no answer' if heading else 'no bytes'} for {allowed_s:.3g} s"
        return True

    def _below_rate(self, attempt: Attempt, now_s: float) -> bool:
        settings = self._settings
        window_s = now_s - attempt.window_at_s
        if window_s < settings.min_rate_window_s:
            return False
        if attempt.received_bytes - attempt.window_bytes < settings.min_rate_bytes_s * window_s:
            attempt.reason = Reason.STALLED
            attempt.detail = f"slower than {settings.min_rate_bytes_s} bytes/s for {window_s:.3g} s"
            return True
        attempt.window_at_s = now_s
        attempt.window_bytes = attempt.received_bytes
        return False


def _has_failed(response: aiohttp.ClientResponse | None) -> bool:
    """Whether a body cannot go on. The HTTP client does not tell its reader of, say, a malformed chunk."""
    if response is None or response.connection is None or response.content.is_eof():
        return False
    protocol = response.connection.protocol
    return protocol is not None and protocol.exception() is not None
