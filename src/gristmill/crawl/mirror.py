"""Dead links asked for elsewhere: at a mirror named by a template, slowly, and marked as what it is."""

from __future__ import annotations

from urllib.parse import quote

from gristmill.crawl.client import Exchange
from gristmill.crawl.guard import Refused, parse
from gristmill.crawl.schedule import Schedule
from gristmill.crawl.settings import CrawlSettings
from gristmill.crawl.work import Item
from gristmill.spec.reasons import GONE, TRANSIENT

__all__ = ["Mirror", "filled"]


class Mirror:
    """Turns URLs that are gone to a mirror.

    Args:
        settings: ``mirror``, ``mirror_per_host``, ``mirror_per_second``.
        schedule: Where they are queued.
    """

    def __init__(self, settings: CrawlSettings, schedule: Schedule[Item]) -> None:
        self._settings = settings
        self._schedule = schedule

    def take(self, item: Item, exchange: Exchange) -> bool:
        """Queue a URL that is gone at the mirror; False if it is not gone, or is there already."""
        template = self._settings.mirror
        if template is None or exchange.reason not in GONE or item.lost is not None or item.origin is None:
            return False
        try:
            target = parse(filled(template, item.origin.text), self._settings)
        except Refused as refusal:
            exchange.detail += f"; the mirror may not be asked: {refusal.detail}"
            return False
        item.lost = exchange
        item.origin = target
        item.rewind()
        item.tries_before, item.tries = item.tries, 0
        if not item.batch.ended:
            host = self._schedule.host(target.key)
            host.most = self._settings.mirror_per_host
            host.limit = min(host.limit, float(host.most))
            host.gap_s = 1 / self._settings.mirror_per_second
            self._schedule.add(target.key, item)
        return True

    def settle(self, item: Item, exchange: Exchange) -> Exchange:
        """Say what came of a URL in the end: the mirror's body, or why the original was lost.

        A mirror that fails in passing may have it later: then that is the reason, so that it is asked again.
        """
        item.tries += item.tries_before
        if item.lost is None:
            return exchange
        if exchange.reason is None and item.target is not None:
            item.via = item.target.host
            return exchange
        if exchange.reason in TRANSIENT:
            item.status = exchange.status
            said = f"{exchange.reason} {exchange.detail}".strip()
            exchange.detail = f"{item.lost.reason}; at the mirror: {said}"
            return exchange
        item.status = item.lost.status
        return Exchange(
            reason=item.lost.reason,
            detail=f"{item.lost.detail}; at the mirror: {exchange.reason}",
            status=item.lost.status,
        )


def filled(template: str, url: str) -> str:
    """The mirror's address of a URL: percent-encoded whole where it stands in a query, else as it is."""
    before, _, after = template.partition("{url}")
    return before + (quote(url, safe="") if "?" in before else url) + after
