"""Bodies that are at hand: a few are in work at once, in the order in which they are wanted."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from gristmill.spec.errors import Stopped
from gristmill.spec.locator import Locator
from gristmill.spec.step import MediaContext
from gristmill.steps.acquirers import Acquired, Deliver

__all__ = ["deliver_in_window"]


async def deliver_in_window(
    bodies: AsyncIterator[tuple[int, Acquired]], deliver: Deliver, box: MediaContext, most: int
) -> list[tuple[int, Locator]]:
    """Deliver what an iterator brings, at most so many at once; what that makes wanted is returned.

    Raises:
        Stopped: ``box.stop`` was set.
    """
    more: list[tuple[int, Locator]] = []
    waiting: deque[asyncio.Future[object]] = deque()

    async def one(number: int, acquired: Acquired) -> None:
        more.extend(await deliver(number, acquired))

    try:
        async for number, acquired in bodies:
            if box.stop.is_set():
                raise Stopped("the run was asked to stop")
            waiting.append(asyncio.ensure_future(one(number, acquired)))
            if len(waiting) > most:
                await waiting.popleft()
        while waiting:
            await waiting.popleft()
    finally:
        for future in waiting:
            future.cancel()
    return more
