"""Media on the web, by the crawler."""

from __future__ import annotations

from typing import Protocol

from gristmill.crawl.answer import Answer
from gristmill.crawl.crawler import Crawler, CrawlStopped
from gristmill.crawl.settings import CrawlSettings
from gristmill.spec.errors import Stopped
from gristmill.spec.locator import Url
from gristmill.spec.step import MediaContext
from gristmill.steps.acquirers import Acquired, Deliver, Wanted

__all__ = ["acquirer"]


class UrlSettings(Protocol):
    """Holds what it wants to know of the step."""

    def crawl_settings(self) -> CrawlSettings:
        """For the crawler."""


class UrlAcquirer:
    """Asks for URLs; connections and names looked up are kept from task to task.

    Attributes:
        crawler: Its ``fill``, ``asking`` and ``silent`` tell how busy it is.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    async def acquire(self, wanted: Wanted, deliver: Deliver, box: MediaContext) -> None:
        """See :class:`gristmill.steps.acquirers.Acquirer`."""

        async def consume(number: int, answer: Answer) -> list[tuple[int, str]]:
            return _addresses(await deliver(number, _acquired(answer)))

        self.crawler.share(box.shared)
        try:
            await self.crawler.crawl(_addresses(wanted), consume, stop=box.stop, grace_s=box.grace_s)
        except CrawlStopped as err:
            raise Stopped(str(err)) from err

    async def close(self) -> None:
        """Close connections."""
        await self.crawler.__aexit__(None, None, None)


async def acquirer(step: UrlSettings) -> UrlAcquirer:
    """See :mod:`gristmill.steps.acquirers`."""
    return UrlAcquirer(await Crawler(step.crawl_settings()).__aenter__())


def _addresses(wanted: Wanted) -> list[tuple[int, str]]:
    return [(number, at.url) for number, at in wanted if isinstance(at, Url)]


def _acquired(answer: Answer) -> Acquired:
    return Acquired(
        body=answer.body,
        reason=answer.reason,
        detail=answer.detail,
        told={
            "url": answer.url,
            "status": answer.status,
            "tries": answer.tries,
            "elapsed_s": round(answer.elapsed_s, 3),
            "final_url": answer.final_url if answer.final_url != answer.url else None,
            "opt_out": answer.opt_out,
            "via": answer.via,
        },
    )
