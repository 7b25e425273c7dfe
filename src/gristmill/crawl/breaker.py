"""The breaker: tells a dead web from our own dead network, before a million links are recorded as dead.

In plain order: a failure that could be our own fault is held back until any host answers anything, which proves
that our network works. When many different hosts fail in a row, hosts that answered lately are connected to. If
one of them can be reached, the others really are dead. If none can, nothing new is begun; they are tried again
for a while, and what failed meanwhile is asked again once they are back. If they stay away, the crawl ends with
:class:`OursNotTheirs`, and nothing that was held back is recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from gristmill.crawl.answer import Answer
from gristmill.crawl.probe import Probe
from gristmill.crawl.settings import CrawlSettings
from gristmill.crawl.work import Batch, Item
from gristmill.spec.errors import OursNotTheirs
from gristmill.spec.reasons import Reason

__all__ = ["LOOKS_OURS", "Breaker"]

LOOKS_OURS = frozenset(
    {
        Reason.DNS_FAILED,
        Reason.DNS_NOT_FOUND,
        Reason.PRIVATE_ADDRESS,  # name servers of a network that wants a login answer so
        Reason.CONNECT_FAILED,
        Reason.CONNECT_TIMEOUT,
        Reason.TLS,
        Reason.STALLED,
        Reason.DEADLINE,
        Reason.RESET,
        Reason.INTERNAL_ERROR,
    }
)
"""What every host fails with while our network, our name server or this machine is out of order."""

_PROVES_NOTHING = LOOKS_OURS | {Reason.SHORT_BODY}
_SURELY_NO_ANSWER = frozenset(
    {Reason.DNS_FAILED, Reason.CONNECT_FAILED, Reason.CONNECT_TIMEOUT, Reason.INTERNAL_ERROR}
)
"""What a healthy name server and network rarely give: in doubt, only these count."""
_DOUBTFUL_SHARE = 0.1
TRUST_S = 5.0
"""How long a successful probe stands for the next ones."""
FEW_HOSTS = 5
FEW_ANSWERS = 20
"""At the end of a list fewer failures are enough to look whether the hosts that answered lately still do."""
_PROBES_WHILE_AWAY = 12


class _Crawler(Protocol):
    """What the breaker does with a crawler."""

    def finish(self, item: Item, answer: Answer) -> None:
        """Hand an answer over to whoever wanted it."""

    def ask_anew(self, item: Item) -> None:
        """Queue a URL as if it had not been asked for yet."""

    def recovered(self) -> None:
        """Our network is back: hosts that failed meanwhile are not to blame, and requests may begin again."""


class Breaker:
    """Holds back what may be our fault, and decides whose it is.

    Args:
        settings: ``breaker_hosts`` and ``breaker_patience_s``.
        crawler: For what follows from a decision.
        probe: Asks the network.
        clock: Monotonic seconds.
    """

    def __init__(
        self, settings: CrawlSettings, crawler: _Crawler, probe: Probe, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._crawler = crawler
        self._probe = probe
        self._clock = clock
        self._suspects: dict[str, Reason] = {}  # hosts that failed since the last sign of life
        self._held: list[tuple[Item, Answer]] = []
        self._trusted_until_s = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._last_words = ""
        self.batches: set[Batch] = set()
        self.open = False  # nothing may begin: our network seems to be away
        self.tripped: OursNotTheirs | None = None

    def saw(self, item: Item, reason: Reason | None, status: int | None, detail: str) -> None:
        """Take note of one exchange: of a sign of life, or of a failure that may be ours."""
        target = item.target
        if not self._settings.breaker_hosts or target is None:
            return
        if status is not None and reason not in _PROVES_NOTHING:
            self._probe.witness(target)
            self._suspects.clear()
            if not self.open:
                self._release()
        elif reason in LOOKS_OURS and self._clock() >= self._trusted_until_s:
            self._suspects[target.key] = reason
            self._last_words = f"{target.host}: {detail}"
            if len(self._suspects) >= self._settings.breaker_hosts:
                self._look()

    def holds(self, item: Item, answer: Answer) -> bool:
        """Keep a final answer back if it may be our fault; False if it may be handed over."""
        if (
            answer.reason not in LOOKS_OURS
            or not self._settings.breaker_hosts
            or item.target is None
            or (self._clock() < self._trusted_until_s and not self.open)
        ):
            return False
        self._held.append((item, answer))
        return True

    def idle(self) -> None:
        """Nothing is under way or queued: what is held back has to be decided now."""
        if not self._held or self._looking is not None:
            return
        many = len(self._suspects) >= FEW_HOSTS or len(self._held) >= FEW_ANSWERS
        if many and self._probe.witnesses:
            self._look()
        else:
            self._release()

    def drop(self, batch: Batch) -> None:
        """Forget what is held back of a batch that ends: it stays unanswered."""
        self.batches.discard(batch)
        self._held = [held for held in self._held if held[0].batch is not batch]

    async def close(self) -> None:
        """End a probe under way."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))

    def _release(self) -> None:
        held, self._held = self._held, []
        for item, answer in held:
            self._crawler.finish(item, answer)

    def _look(self) -> None:
        if self._looking is None and self.tripped is None:
            self._looking = asyncio.create_task(self._decide())
            self._looking.add_done_callback(self._looked)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if not task.cancelled() and (error := task.exception()) is not None:
            for batch in self.batches:  # a bug
                batch.fail(error)

    async def _decide(self) -> None:
        if not await self._away():
            self._trusted_until_s = self._clock() + TRUST_S
            self._suspects.clear()
            self._release()
            return
        self.open = True
        patience_s = self._settings.breaker_patience_s
        until_s = self._clock() + patience_s
        while (now_s := self._clock()) < until_s:
            await asyncio.sleep(min(patience_s / _PROBES_WHILE_AWAY, until_s - now_s))
            if not await self._away():
                self._back()
                return
        self._trip()

    async def _away(self) -> bool:
        """Whether, by all that can be known, our network is out of order."""
        failed = list(self._suspects.values())
        if self._probe.witnesses:
            if await self._probe.reaches_a_witness():
                return False
            return len(failed) >= self._settings.breaker_hosts or not await self._probe.finds_a_name()
        # Nobody has answered yet: perhaps nobody ever will. Only what a dead list would not give is believed.
        sure = sum(reason in _SURELY_NO_ANSWER for reason in failed)
        return sure >= len(failed) * (1 - _DOUBTFUL_SHARE) and not await self._probe.finds_a_name()

    def _back(self) -> None:
        self.open = False
        self._suspects.clear()
        held, self._held = self._held, []
        for item, _ in held:
            self._crawler.ask_anew(item)
        self._crawler.recovered()

    def _trip(self) -> None:
        witnesses = ", ".join(self._probe.names()[:3])
        also = f", and neither do {witnesses}, which did a while ago" if witnesses else ""
        self.tripped = OursNotTheirs(
            f"Our own network or name server seems to be down: {len(self._suspects)} different hosts in a row did "
            f"not answer{also}. The last one: {self._last_words}. None of this was recorded.\n"
            "Check the connection, then give the same command again: it goes on from here. If these hosts really "
            "are all dead, add --set crawl.breaker_hosts=0."
        )
        for batch in list(self.batches):
            batch.fail(self.tripped)
