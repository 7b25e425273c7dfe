"""How many bytes of bodies may lie in memory, received and not yet consumed."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["ByteBudget", "Hold"]

FIRST_ESTIMATE_BYTES = 256 * 1024
LEAST_ESTIMATE_BYTES = 16 * 1024
COMPLETE_WEIGHT = 3
"""How much more a complete body counts when another request is to begin: where bodies come faster than they are
consumed, a queue of a quarter of the limit is long enough."""


class ByteBudget:
    """A bound on bytes. Requests are only begun while a body of the usual size still fits.

    What a body grows beyond the usual size must fit too, or wait. Many half-read bodies could wait for one
    another for ever, so one of them at a time may overdraw: the most ever held is the limit and one body.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.complete_bytes = 0  # of the used, those of bodies that only wait for their consumer
        self.peak_bytes = 0
        self._estimate_bytes = float(FIRST_ESTIMATE_BYTES)
        self._overdrawing: Hold | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    def admits(self) -> bool:
        """Say whether one more request may begin."""
        counted = self.used_bytes + COMPLETE_WEIGHT * self.complete_bytes
        return self.used_bytes == 0 or counted + self._estimate_bytes <= self.limit_bytes

    def open(self) -> Hold:
        """Set the usual size of a body aside for one request."""
        hold = Hold(self)
        self._take(hold, int(self._estimate_bytes))
        return hold

    def _take(self, hold: Hold, extra_bytes: int) -> None:
        hold.held_bytes += extra_bytes
        self.used_bytes += extra_bytes
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)

    def _seen(self, size_bytes: int) -> None:
        self._estimate_bytes += (max(size_bytes, LEAST_ESTIMATE_BYTES) - self._estimate_bytes) / 64

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            if not future.done():
                future.set_result(None)


class Hold:
    """One request's part of the budget."""

    __slots__ = ("_budget", "_complete", "held_bytes")

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.held_bytes = 0
        self._complete = False

    def grow(self, to_bytes: int) -> bool:
        """Hold at least ``to_bytes``; False if that has to wait for :meth:`room`."""
        budget = self._budget
        extra = to_bytes - self.held_bytes
        if extra > 0:
            if budget.used_bytes + extra > budget.limit_bytes and budget._overdrawing is not self:
                if budget._overdrawing is not None:
                    return False
                budget._overdrawing = self
            budget._take(self, extra)
        return True

    async def room(self, to_bytes: int) -> None:
        """Wait until ``to_bytes`` can be held, and hold them."""
        while not self.grow(to_bytes):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._budget._waiting.append(future)
            await future

    def settle(self, size_bytes: int) -> None:
        """The body is complete with this size: give back the rest."""
        self._budget._seen(size_bytes)
        self._keep(size_bytes)
        if not self._complete:
            self._complete = True
            self._budget.complete_bytes += size_bytes

    def shrink(self, to_bytes: int) -> None:
        """Give back what is held beyond ``to_bytes`` for bytes that are yet to come."""
        if to_bytes < self.held_bytes:
            self._keep(to_bytes)

    def close(self) -> None:
        """Give everything back."""
        if self._complete:
            self._complete = False
            self._budget.complete_bytes -= self.held_bytes
        self._keep(0)

    def _keep(self, size_bytes: int) -> None:
        budget = self._budget
        budget.used_bytes -= self.held_bytes - size_bytes
        self.held_bytes = size_bytes
        if budget._overdrawing is self:
            budget._overdrawing = None
        if budget._waiting:
            budget._wake()
