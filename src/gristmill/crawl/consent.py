"""Whether an origin lets us ask: its policy files, fetched once for each origin, kept for a day, obeyed.

A 4xx answer says nothing. A server's fault (5xx, 429) says no in place of robots.txt, for as long as it lasts, and
nothing in place of the others; it is asked again after a while. Where no answer comes, the URL fails as if it had
been asked for itself, and nothing is remembered. Up to five redirects are followed, to other hosts too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import thread_time
from typing import TypeVar

from gristmill.crawl.budget import ByteBudget
from gristmill.crawl.client import Client, Exchange
from gristmill.crawl.costs import Cost
from gristmill.crawl.guard import Refused, Target, join
from gristmill.crawl.loop import end_all
from gristmill.crawl.policy import READ_BYTES, PolicyFile, Rules
from gristmill.crawl.robots import AI_TXT, ROBOTS
from gristmill.crawl.settings import CrawlSettings
from gristmill.crawl.tdmrep import TDMREP
from gristmill.spec.body import bytes_of
from gristmill.spec.reasons import TRANSIENT, Reason

__all__ = ["Consent", "Permission"]

A = TypeVar("A")
R = TypeVar("R")

KEPT_S = 24 * 3600.0
FAILURE_KEPT_S = 60.0
MOST_REDIRECTS = 5
SMALL_BYTES = 16 * 1024
"""What is in a file of that size is looked through in a moment."""
MOST_FILES = 20_000
MOST_BYTES = 16 << 20
"""Of all files remembered, as they came: rules that were read take several times as much."""
_SAYS_NOTHING = frozenset({Reason.EMPTY, Reason.REDIRECTS})
_OF_SERVER = frozenset({Reason.HTTP_5XX, Reason.HTTP_429, Reason.HTTP_OTHER, Reason.BAD_HTTP, Reason.BOMB})


@dataclass(frozen=True, slots=True)
class Permission:
    """Says whether a URL may be asked for."""

    refusal: Exchange | None
    """What stands in place of the exchange that may not be made."""
    delay_s: float
    """Seconds that the origin wants between two requests."""
    seen: tuple[str, ...]
    """Opt-outs found, obeyed or not."""


@dataclass(slots=True)
class _Kept:
    """What one file of one origin says: without ``rules`` nothing, unless there is a ``refusal``."""

    until_s: float
    rules: Rules | None = None
    refusal: Exchange | None = None
    size_bytes: int = 0


class Consent:
    """Asks for the policy files that the settings name, and remembers them.

    Args:
        settings: Which files, ``max_crawl_delay_s``, and the limits of any request.
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
        wanted = ((ROBOTS, settings.robots), (TDMREP, settings.tdmrep), (AI_TXT, settings.ai_txt))
        self._files = tuple(file for file, is_wanted in wanted if is_wanted)
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._kept_bytes = 0
        self._flights: dict[tuple[str, str], asyncio.Task[_Kept]] = {}

    async def permission(self, target: Target, give_way: Callable[[int], bool]) -> Permission:
        """Say whether a URL may be asked for, by one file after another of its origin, until one says no.

        Args:
            target: The URL.
            give_way: As of :meth:`Client.exchange`.
        """
        delay_s = 0.0
        seen: list[str] = []
        cost = self._client.costs.of(target.key)
        for file in self._files:
            kept, ours = await self._of(file, target, give_way)
            if kept.refusal is not None:
                # Of one failure, host and network are judged once.
                refusal = replace(kept.refusal) if ours else replace(kept.refusal, asked=False)
                return Permission(refusal, delay_s, tuple(seen))
            if kept.rules is None:
                continue
            delay_s = max(delay_s, min(kept.rules.delay_s, self._settings.max_crawl_delay_s))
            ruling = await self._measured(cost, kept.size_bytes, kept.rules.ruling, target)
            if cost.too_much:
                costly = Exchange(reason=Reason.COSTLY, detail=f"{file.name}: {cost.words}", asked=True)
                return Permission(costly, delay_s, tuple(seen))
            if ruling.seen:
                seen.append(ruling.seen)
            obeyed = self._settings.respect_opt_out or ruling.reason is not Reason.OPTED_OUT
            if ruling.reason is not None and obeyed:
                return Permission(Exchange(reason=ruling.reason, detail=ruling.detail), delay_s, tuple(seen))
        return Permission(None, delay_s, tuple(seen))

    async def _measured(self, cost: Cost, size_bytes: int, work: Callable[[A], R], argument: A) -> R:
        """Do what a file of that size asks for, at its host's cost; beside the event loop if that may take long."""
        if size_bytes <= SMALL_BYTES:
            done, spent_s = _timed(work, argument)
        else:
            done, spent_s = await asyncio.get_running_loop().run_in_executor(None, _timed, work, argument)
        cost.spend(spent_s)
        return done

    async def close(self) -> None:
        """End what is under way."""
        await end_all(self._flights.values())

    async def _of(
        self, file: PolicyFile, target: Target, give_way: Callable[[int], bool]
    ) -> tuple[_Kept, bool]:
        """What a file of the URL's origin says, asked for by whoever comes first; and whether that was this call."""
        key = file.name, f"{target.scheme}://{target.authority}"
        kept = self._kept.get(key)
        if kept is not None and kept.until_s > self._clock():
            return kept, False
        flight = self._flights.get(key)
        ours = flight is None
        if flight is None:
            place = Target(target.scheme, target.host, target.port, file.path)
            flight = self._flights[key] = asyncio.create_task(self._fetch(key, file, place, give_way))
        return await asyncio.shield(flight), ours

    async def _fetch(
        self, key: tuple[str, str], file: PolicyFile, target: Target, give_way: Callable[[int], bool]
    ) -> _Kept:
        try:
            exchange = await self._ask(target, give_way)
            kept = await self._read(file, exchange, self._client.costs.of(target.key))
            self._forget(key)
            while self._kept and (
                len(self._kept) >= MOST_FILES or self._kept_bytes + kept.size_bytes > MOST_BYTES
            ):
                self._forget(next(iter(self._kept)))
            self._kept[key] = kept
            self._kept_bytes += kept.size_bytes
            return kept
        finally:
            del self._flights[key]

    def _forget(self, key: tuple[str, str]) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._kept_bytes -= kept.size_bytes

    async def _ask(self, target: Target, give_way: Callable[[int], bool]) -> Exchange:
        left_s = self._settings.total_s
        for hop in range(MOST_REDIRECTS + 1):
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
            exchange.asked = hop == 0  # what follows says nothing of the origin
            if exchange.location is None:
                return exchange
            left_s = exchange.left_s
            try:
                target = join(target, exchange.location, self._settings)
            except Refused as refusal:
                return Exchange(reason=Reason.REDIRECTS, detail=refusal.detail)
        return Exchange(reason=Reason.REDIRECTS, detail=f"more than {MOST_REDIRECTS}")

    async def _read(self, file: PolicyFile, exchange: Exchange, cost: Cost) -> _Kept:
        now_s, reason, status = self._clock(), exchange.reason, exchange.status
        if reason is None:
            body = bytes_of(exchange.body or b"")
            rules = await self._measured(cost, len(body), file.read, body)
            return _Kept(now_s + KEPT_S, rules=rules, size_bytes=len(body))
        refused = status is not None and 400 <= status < 500 and reason is not Reason.HTTP_429
        if (refused and not exchange.ours) or reason in _SAYS_NOTHING:
            return _Kept(now_s + KEPT_S)
        detail = f"{file.name}: {exchange.detail}"
        if reason in _OF_SERVER and not exchange.ours:
            why = reason if reason in TRANSIENT else Reason.ROBOTS
            forbidden = Exchange(reason=why, detail=f"{detail}; nothing may be asked", final=True)
            return _Kept(now_s + FAILURE_KEPT_S, refusal=forbidden if file.failure_forbids else None)
        # Nobody was reached, so that the URL itself could not be either.
        failed = Exchange(
            reason=reason,
            detail=detail,
            asked=exchange.asked,
            looked_up=exchange.looked_up,
            vain_s=exchange.vain_s,
            ours=exchange.ours,
        )
        return _Kept(now_s, refusal=failed)


def _timed(work: Callable[[A], R], argument: A) -> tuple[R, float]:
    began_s = thread_time()
    done = work(argument)
    return done, thread_time() - began_s
