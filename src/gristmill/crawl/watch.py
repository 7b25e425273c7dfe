"""Deadlines of all requests under way, kept by one timer.

A timer for each request and each read costs more than the reads. Here one sweep, a few times a second, looks
at all requests, and cancels those that are over time; limits are therefore kept to within one sweep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum

import aiohttp

from gristmill.crawl.settings import CrawlSettings
from gristmill.spec.reasons import Reason

LOOKUP_PATIENCE = 4
"""Lookups have limits of their own and wait for their turn, which is not the URL's fault. This is a last resort."""
SLOW_BYTES_S = 8_000
"""A request that has brought fewer bytes a second than that, its lookup included, gives way to others."""

__all__ = ["Attempt", "Phase", "Watch"]


class Phase(IntEnum):
    """How far an exchange has come."""

    LOOKUP = 0
    HEAD = 1
    BODY = 2


class Attempt:
    """One exchange under way, as the sweep sees it. The exchange itself only counts bytes."""

    __slots__ = (
        "began_s",
        "deadline_s",
        "detail",
        "give_way",
        "opened",
        "paused",
        "phase",
        "received_bytes",
        "refused",
        "response",
        "seen_at_s",
        "seen_bytes",
        "slow",
        "task",
        "verdict",
        "window_at_s",
        "window_bytes",
    )

    def __init__(
        self, task: asyncio.Task[object], now_s: float, left_s: float, give_way: Callable[[], bool]
    ) -> None:
        self.task = task
        self.began_s = now_s
        self.give_way = give_way
        self.slow = False  # it has given way to others
        self.deadline_s = now_s + LOOKUP_PATIENCE * left_s  # until the exchange proper begins
        self.phase = Phase.LOOKUP
        self.received_bytes = self.seen_bytes = self.window_bytes = 0
        self.seen_at_s = self.window_at_s = now_s
        self.paused = False  # it waits for us, not for the server
        self.opened = False  # whether it opened a connection, or uses one that was kept alive
        self.refused: str | None = None  # an address that the guard would not connect to
        self.response: aiohttp.ClientResponse | None = None  # once the head has come
        self.verdict: Reason | None = None
        self.detail = ""

    def enter(self, phase: Phase, now_s: float) -> None:
        """Begin a phase: its limits count from now."""
        self.phase = phase
        self.seen_at_s = self.window_at_s = now_s


class Watch:
    """Sweeps over all attempts and cancels those that take too long."""

    def __init__(self, settings: CrawlSettings, loop: asyncio.AbstractEventLoop) -> None:
        self._settings = settings
        self._loop = loop
        self._attempts: dict[Attempt, None] = {}
        shortest_s = min(settings.total_s, settings.stall_s, settings.min_rate_window_s)
        self._tick_s = min(0.25, max(0.01, shortest_s / 10))
        self._timer: asyncio.TimerHandle | None = None
        self._swept_s = 0.0

    def begin(self, left_s: float, give_way: Callable[[], bool]) -> Attempt:
        """Watch the current task.

        Args:
            left_s: Seconds that it has from when its lookup is done.
            give_way: Called once the server turns out to be slow, so that others need not wait for it; called
                again later if it returns False.
        """
        task = asyncio.current_task()
        assert task is not None
        now_s = self._loop.time()
        attempt = Attempt(task, now_s, left_s, give_way)
        self._attempts[attempt] = None
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
        del attempt.task, attempt.give_way
        attempt.response = None

    def close(self) -> None:
        """Stop sweeping."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        now_s = self._loop.time()
        since_s, self._swept_s = now_s - self._swept_s, now_s
        # When this process was suspended or busy for long, the servers are not to blame for it.
        ours_s = since_s if since_s > self._tick_s + 1.0 else 0.0
        for attempt in list(self._attempts):
            if attempt.paused or ours_s:
                excused_s = max(since_s if attempt.paused else 0.0, ours_s)
                attempt.began_s += excused_s
                attempt.deadline_s += excused_s
                attempt.seen_at_s += excused_s
                attempt.window_at_s += excused_s
            elif attempt.verdict is None:
                if self._too_slow(attempt, now_s):
                    attempt.task.cancel()
                elif not attempt.slow and self._holds_up(attempt, now_s):
                    attempt.slow = attempt.give_way()
        self._timer = self._loop.call_later(self._tick_s, self._sweep) if self._attempts else None

    def _holds_up(self, attempt: Attempt, now_s: float) -> bool:
        under_way_s = now_s - attempt.began_s
        return (
            under_way_s >= self._settings.slow_after_s and attempt.received_bytes < under_way_s * SLOW_BYTES_S
        )

    def _too_slow(self, attempt: Attempt, now_s: float) -> bool:
        settings = self._settings
        if now_s >= attempt.deadline_s:
            lookup = attempt.phase is Phase.LOOKUP
            attempt.verdict = Reason.DNS_FAILED if lookup else Reason.DEADLINE
            allowed_s = settings.total_s * (LOOKUP_PATIENCE if lookup else 1)
            attempt.detail = f"not done within {allowed_s:g} s"
            return True
        if attempt.phase is Phase.LOOKUP:
            return False
        if attempt.received_bytes != attempt.seen_bytes:
            attempt.seen_bytes = attempt.received_bytes
            attempt.seen_at_s = now_s
        elif _has_failed(attempt.response):
            attempt.verdict = Reason.SHORT_BODY
            attempt.detail = "the body broke off"
            return True
        allowed_s = settings.stall_s
        if attempt.phase is Phase.HEAD and attempt.opened:
            allowed_s += settings.connect_s
        if now_s - attempt.seen_at_s >= allowed_s:
            attempt.verdict = Reason.STALLED
            attempt.detail = (
                f"{'no answer' if attempt.phase is Phase.HEAD else 'no bytes'} for {allowed_s:g} s"
            )
            return True
        return attempt.phase is Phase.BODY and self._below_rate(attempt, now_s)

    def _below_rate(self, attempt: Attempt, now_s: float) -> bool:
        settings = self._settings
        window_s = now_s - attempt.window_at_s
        if window_s < settings.min_rate_window_s:
            return False
        if attempt.received_bytes - attempt.window_bytes < settings.min_rate_bytes_s * window_s:
            attempt.verdict = Reason.STALLED
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
