"""What the crawler keeps of a call, of a URL on its way, and of a request under way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from gristmill.crawl.answer import Answer, clean
from gristmill.crawl.budget import Hold
from gristmill.crawl.client import Exchange, Ours
from gristmill.crawl.guard import Refused, Target
from gristmill.crawl.schedule import Host
from gristmill.spec.locator import without_userinfo

__all__ = ["Batch", "Consume", "Item", "Place"]

Consume = Callable[[int, Answer], Awaitable[Iterable[tuple[int, str]] | None]]
"""Given a number and its answer; what it returns, numbers and URLs, is asked for in consequence."""


class Batch:
    """One call of ``Crawler.crawl``: what is still to be answered, and by which tasks."""

    def __init__(self, consume: Consume) -> None:
        self.consume = consume
        self.unanswered = 0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tasks: set[asyncio.Task[None]] = set()
        self.ended = False

    def answered(self) -> None:
        """One more URL's answer is consumed."""
        self.unanswered -= 1
        if self.unanswered == 0 and not self.over.done():
            self.over.set_result(None)

    def fail(self, error: BaseException) -> None:
        """End it with an error."""
        if not self.over.done():
            self.over.set_exception(error)

    def finished(self, task: asyncio.Task[None]) -> None:
        """A task's end. Its exception is a bug or the consumer's, and ends the batch."""
        self.tasks.discard(task)
        if task.cancelled():
            if not self.ended and not self.over.done():
                self.over.cancel()
        elif (error := task.exception()) is not None:
            self.fail(error)


class Place:
    """One exchange's place among those in flight, and its part of the byte budget."""

    __slots__ = ("began_s", "flying", "hold", "host", "slow")

    def __init__(self, host: Host[Item], hold: Hold, began_s: float) -> None:
        self.host, self.hold, self.began_s = host, hold, began_s
        self.flying = True
        self.slow = False  # it waits for a slow server, in a place beside those in flight


class Item:
    """One URL on its way to its answer."""

    __slots__ = (
        "anew",
        "batch",
        "began_s",
        "hops",
        "index",
        "left_s",
        "lost",
        "opt_out",
        "origin",
        "ours",
        "received_bytes",
        "refusal",
        "retry_after_s",
        "status",
        "target",
        "tries",
        "tries_before",
        "url",
        "via",
        "visited",
    )

    def __init__(
        self, batch: Batch, index: int, url: str, origin: Target | None, refusal: Refused | None
    ) -> None:
        self.batch, self.index, self.url, self.origin, self.refusal = batch, index, url, origin, refusal
        self.target = origin
        self.anew = self.hops = self.tries = self.tries_before = self.received_bytes = 0
        self.lost: Exchange | None = None  # how the original was lost, once a mirror is asked
        self.via: str | None = None
        self.ours = Ours.NO  # whether the last failure was our proxy's
        self.left_s = 0.0
        self.began_s: float | None = None
        self.status: int | None = None
        self.retry_after_s: float | None = None
        self.opt_out: dict[str, None] = {}
        self.visited: set[str] = set()

    def rewind(self) -> None:
        """Back to the URL as it was asked for."""
        self.target, self.hops = self.origin, 0
        self.visited.clear()

    def answer(self, exchange: Exchange, now_s: float) -> Answer:
        """Say what came of it."""
        url = without_userinfo(self.url)
        return Answer(
            url=url,
            final_url=url if self.target is None else self.target.text,
            reason=exchange.reason,
            detail=clean(exchange.detail) if exchange.detail else "",
            status=self.status,
            body=exchange.body,
            content_type=None if exchange.content_type is None else clean(exchange.content_type, 100),
            tries=self.tries,
            elapsed_s=now_s - (now_s if self.began_s is None else self.began_s),
            via=self.via,
            opt_out=", ".join(self.opt_out) or None,
            retry_after_s=self.retry_after_s,
            bytes_received=self.received_bytes,
        )
