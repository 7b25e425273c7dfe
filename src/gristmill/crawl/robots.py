"""robots.txt, as RFC 9309 has it: fetched once for each origin, kept for a day, obeyed.

A 4xx answer allows everything; 5xx, 429 and an unreachable server allow nothing for a while; up to five redirects
are followed, to other hosts too; 500 KiB are read and the rest is not there.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from protego import Protego

from gristmill.crawl.budget import ByteBudget
from gristmill.crawl.client import Client, Exchange
from gristmill.crawl.guard import Refused, Target, join
from gristmill.crawl.loop import end_all
from gristmill.crawl.settings import AGENT, CrawlSettings
from gristmill.spec.reasons import Reason

__all__ = ["Robots"]

PATH = "/robots.txt"
READ_BYTES = 500 * 1024
KEPT_S = 24 * 3600.0
FAILURE_KEPT_S = 60.0
MOST_REDIRECTS = 5
MOST_ORIGINS = 20_000
_ALLOWS = frozenset({Reason.EMPTY, Reason.REDIRECTS})
_OF_SERVER = frozenset({Reason.HTTP_5XX, Reason.HTTP_429, Reason.HTTP_OTHER, Reason.BAD_HTTP, Reason.BOMB})


@dataclass(slots=True)
class _Rules:
    """What one origin says: ``parser`` None allows everything, unless there is a ``refusal``."""

    until_s: float
    parser: Protego | None = None
    refusal: Exchange | None = None
    delay_s: float = 0.0


class Robots:
    """Asks for robots.txt and remembers it.

    Args:
        settings: ``max_crawl_delay_s``, and the limits of any request.
        client: Makes the requests.
        budget: Where their bodies are held.
        clock: Monotonic seconds.
    """

    def __init__(
        self, settings: CrawlSettings, client: Client, budget: ByteBudget, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._client = client
        self._budget = budget
        self._clock = clock
        self._rules: dict[str, _Rules] = {}
        self._flights: dict[str, asyncio.Task[_Rules]] = {}

    async def refusal(self, target: Target, give_way: Callable[[int], bool]) -> tuple[Exchange | None, float]:
        """Whether a URL may be asked for.

        Returns:
            None, or the exchange that stands in place of the one that may not be made; and the seconds that the
            origin wants between two requests.
        """
        origin = f"{target.scheme}://{target.authority}"
        rules = self._rules.get(origin)
        if rules is None or rules.until_s <= self._clock():
            flight = self._flights.get(origin)
            if flight is None:
                flight = self._flights[origin] = asyncio.create_task(self._fetch(origin, target, give_way))
            rules = await asyncio.shield(flight)
        if rules.refusal is not None:
            return replace(rules.refusal), 0.0
        if rules.parser is not None and not rules.parser.can_fetch(target.text, AGENT):
            return Exchange(reason=Reason.ROBOTS, detail="disallowed by robots.txt"), rules.delay_s
        return None, rules.delay_s

    async def close(self) -> None:
        """End what is under way."""
        await end_all(self._flights.values())

    async def _fetch(self, origin: str, target: Target, give_way: Callable[[int], bool]) -> _Rules:
        try:
            exchange = await self._ask(replace_path(target), give_way)
            while len(self._rules) >= MOST_ORIGINS:
                del self._rules[next(iter(self._rules))]
            self._rules.pop(origin, None)
            rules = self._rules[origin] = self._read(exchange)
            return rules
        finally:
            del self._flights[origin]

    async def _ask(self, target: Target, give_way: Callable[[int], bool]) -> Exchange:
        left_s = self._settings.total_s
        for _ in range(MOST_REDIRECTS + 1):
            hold = self._budget.open()
            try:
                exchange = await self._client.exchange(
                    target,
                    hold=hold,
                    left_s=left_s,
                    keep_alive=lambda: True,
                    give_way=give_way,
                    first_bytes=READ_BYTES,
                )
            finally:
                hold.close()
            if exchange.location is None:
                return exchange
            left_s = exchange.left_s
            try:
                target = join(target, exchange.location, self._settings)
            except Refused as refusal:
                return Exchange(reason=Reason.REDIRECTS, detail=refusal.detail)
        return Exchange(reason=Reason.REDIRECTS, detail=f"more than {MOST_REDIRECTS}")

    def _read(self, exchange: Exchange) -> _Rules:
        kept = _Rules(until_s=self._clock() + KEPT_S)
        reason = exchange.reason
        if reason is None:
            kept.parser = Protego.parse((exchange.body or b"").decode("utf-8-sig", "replace"))
            delay_s = kept.parser.crawl_delay(AGENT)
            if delay_s is not None and math.isfinite(delay_s):
                kept.delay_s = min(max(0.0, delay_s), self._settings.max_crawl_delay_s)
        elif reason not in _ALLOWS and not (
            exchange.status is not None and 400 <= exchange.status < 500 and reason is not Reason.HTTP_429
        ):
            # The server's fault forbids; where nobody was reached, the URL itself could not be either.
            detail = f"robots.txt: {exchange.detail}"
            if reason in _OF_SERVER:
                kept.refusal = Exchange(reason=Reason.ROBOTS, detail=f"{detail}; nothing may be asked")
            else:
                kept.refusal = Exchange(reason=reason, detail=detail)
            kept.until_s = self._clock() + FAILURE_KEPT_S
        return kept


def replace_path(target: Target) -> Target:
    """The robots.txt of a URL's origin."""
    return Target(target.scheme, target.host, target.port, PATH)
