"""The breaker: tells a dead web from our own dead network, before a million links are recorded as dead.

In plain order: a failure that could be our own fault is held back until any host answers a request that was begun
later, which proves that our network works; a failed lookup, until another name was found. When many different hosts
fail in a row, hosts that answered lately are connected to. If one of them can be reached, the others really are
dead. If none can, nothing new is begun; they are tried again for a while, and what failed meanwhile is asked again
once they are back. If they stay away, the crawl ends with :class:`OursNotTheirs`, and nothing that was held back is
recorded.

Where everything is asked through a proxy, these questions go through it too. What was surely its failure is never
recorded: once it works again, that is asked anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Protocol

from gristmill.crawl.answer import Answer
from gristmill.crawl.client import Exchange, Ours
from gristmill.crawl.loop import end_all
from gristmill.crawl.probe import Probe
from gristmill.crawl.settings import PROXY_LOGIN, CrawlSettings
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

_OF_NAMES = frozenset({Reason.DNS_FAILED, Reason.DNS_NOT_FOUND, Reason.PRIVATE_ADDRESS})
_PROVES_NOTHING = LOOKS_OURS | {Reason.SHORT_BODY}
_SURELY_NO_ANSWER = _OF_NAMES | {Reason.CONNECT_FAILED, Reason.CONNECT_TIMEOUT, Reason.INTERNAL_ERROR}
"""What a healthy name server and network rarely give, or, of names, what it is no evidence for when it does not find
a name that always exists either: in doubt, only these count."""
_DOUBTFUL_SHARE = 0.1
TRUST_S = 1.0
"""How long a successful probe stands for the next ones."""
_PROBES_WHILE_AWAY = 12
MOST_ANEW = 10
"""So often a URL may meet a proxy that fails in passing before the run stops for it."""


class _Crawler(Protocol):
    """What the breaker does with a crawler."""

    def finish(self, item: Item, answer: Answer) -> None:
        """Hand an answer over to whoever wanted it."""

    def ask_anew(self, item: Item) -> None:
        """Queue a URL as if it had not been asked for yet."""

    def recovered(self) -> None:
        """Our network is back: hosts that failed meanwhile are not to blame, and requests may begin again."""


class Held:
    """Answers held back, with the time since when."""

    def __init__(self) -> None:
        self._of_names: list[tuple[Item, Answer, float]] = []
        self._others: list[tuple[Item, Answer, float]] = []

    def __len__(self) -> int:
        return len(self._of_names) + len(self._others)

    def add(self, item: Item, answer: Answer, now_s: float) -> None:
        """Hold one more back."""
        (self._of_names if answer.reason in _OF_NAMES else self._others).append((item, answer, now_s))

    def take(self, until_s: float, *, names_too: bool) -> list[tuple[Item, Answer]]:
        """Those held back since ``until_s`` or longer."""
        taken = [(item, answer) for item, answer, at_s in self._others if at_s <= until_s]
        self._others = [held for held in self._others if held[2] > until_s]
        if names_too:
            taken += [(item, answer) for item, answer, at_s in self._of_names if at_s <= until_s]
            self._of_names = [held for held in self._of_names if held[2] > until_s]
        return taken

    def drop(self, batch: Batch) -> None:
        """Forget those of one batch."""
        self._of_names = [held for held in self._of_names if held[0].batch is not batch]
        self._others = [held for held in self._others if held[0].batch is not batch]


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
        self._suspects: dict[str, tuple[Reason, float]] = {}  # hosts that failed since the last sign of life
        self._held = Held()
        self._trusted_until_s = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._last_words = ""
        self.batches: set[Batch] = set()
        self.open = False  # nothing may begin: our network seems to be away
        self.tripped: OursNotTheirs | None = None

    @property
    def held_back(self) -> int:
        """Answers that are held back until it is known whose fault they are."""
        return len(self._held)

    def saw(self, item: Item, exchange: Exchange, began_s: float) -> None:
        """Take note of an exchange begun at ``began_s``: of a sign of life, or of a failure that may be ours."""
        target = item.target
        if target is None or not (self._settings.breaker_hosts or exchange.ours):
            return
        if exchange.ours:
            self._suspects[target.key] = Reason.CONNECT_FAILED, self._clock()
            self._last_words = exchange.detail
            if exchange.ours is Ours.SURELY and not self._trusted:
                self._look(for_good=True)
        elif exchange.status is not None and exchange.reason not in _PROVES_NOTHING:
            self._probe.witness(target)
            self._lives(began_s, names_too=exchange.looked_up)
        elif exchange.reason in LOOKS_OURS:
            self._suspects[target.key] = exchange.reason, self._clock()
            self._last_words = f"{target.host}: {exchange.detail}"
            if len(self._suspects) >= self._settings.breaker_hosts and not self._trusted:
                self._look()

    def _lives(self, since_s: float, *, names_too: bool) -> None:
        """A request begun at ``since_s`` was answered, after a lookup that succeeded if ``names_too``."""
        for host, (reason, at_s) in list(self._suspects.items()):
            if at_s <= since_s and (names_too or reason not in _OF_NAMES):
                del self._suspects[host]
        if not self.open:
            self._let_go(self._held.take(since_s, names_too=names_too))

    def holds(self, item: Item, answer: Answer) -> bool:
        """Keep a final answer back if it may be our fault; False if it may be handed over."""
        looks_ours = answer.reason in LOOKS_OURS and self._settings.breaker_hosts
        if item.target is None or not (looks_ours or item.ours):
            return False
        self._held.add(item, answer, self._clock())
        return True

    def idle(self) -> None:
        """Nothing is under way or queued: what is held back has to be decided now."""
        if not self._held or self._looking is not None:
            return
        if self._probe.witnesses:
            undecided = bool(self._suspects) and not self._trusted
        else:
            undecided = len(self._suspects) >= self._settings.breaker_hosts or self._by_proxy
        if undecided:
            self._look(for_good=True)
        else:
            self._release()

    @property
    def _trusted(self) -> bool:
        return self._clock() < self._trusted_until_s

    def drop(self, batch: Batch) -> None:
        """Forget what is held back of a batch that ends: it stays unanswered."""
        self.batches.discard(batch)
        self._held.drop(batch)

    async def close(self) -> None:
        """End a probe under way."""
        if self._looking is not None:
            await end_all([self._looking])

    @property
    def _by_proxy(self) -> bool:
        """Whether a proxy was asked for something that it did not bring."""
        asked = any(reason not in _OF_NAMES for reason, _ in self._suspects.values())
        return asked and self._settings.proxy is not None

    def _release(self) -> None:
        self._let_go(self._held.take(inf, names_too=True))

    def _let_go(self, held: list[tuple[Item, Answer]]) -> None:
        anew = [item for item, _ in held if item.ours is Ours.SURELY]
        for item, answer in held:
            if item.ours is not Ours.SURELY:
                self._crawler.finish(item, answer)
        for item in anew:
            item.anew += 1
            self._crawler.ask_anew(item)
        if any(item.anew > MOST_ANEW for item in anew) and self.tripped is None:
            self._trip()
        elif anew:
            self._crawler.recovered()

    def _look(self, *, for_good: bool = False) -> None:
        if self._looking is None and self.tripped is None:
            self._looking = asyncio.create_task(self._decide(for_good))
            self._looking.add_done_callback(self._looked)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if not task.cancelled() and (error := task.exception()) is not None:
            for batch in self.batches:  # a bug
                batch.fail(error)

    async def _decide(self, for_good: bool) -> None:
        """Find out whose fault it is. As long as nobody has answered, "not ours" holds ``for_good`` only where no
        more evidence is to come: what was cut off when our network went down says less than what follows.
        """
        if not await self._away():
            self._trusted_until_s = self._clock() + TRUST_S
            if self._probe.witnesses or for_good:
                self._suspects.clear()
                self._release()
            return
        self.open = True
        patience_s = 0.0 if self._probe.hopeless else self._settings.breaker_patience_s
        until_s = self._clock() + patience_s
        while (now_s := self._clock()) < until_s:
            await asyncio.sleep(min(patience_s / _PROBES_WHILE_AWAY, until_s - now_s))
            if not await self._away():
                self._back()
                return
        self._trip()

    async def _away(self) -> bool:
        """Whether, by all that can be known, our network is out of order."""
        failed = [reason for reason, _ in self._suspects.values()]
        if self._probe.witnesses:
            if await self._probe.reaches_a_witness():
                return False
            many = len(failed) >= (self._settings.breaker_hosts or inf)
            return many or not await self._probe.finds_a_name()
        # Nobody has answered yet: perhaps nobody ever will. Only what a dead list would not give is believed.
        proxied = self._settings.proxy is not None
        sure = sum(proxied or reason in _SURELY_NO_ANSWER for reason in failed)
        return sure >= len(failed) * (1 - _DOUBTFUL_SHARE) and not await self._probe.finds_a_name()

    def _back(self) -> None:
        self.open = False
        self._suspects.clear()
        for item, _ in self._held.take(inf, names_too=True):
            self._crawler.ask_anew(item)
        self._crawler.recovered()

    def _trip(self) -> None:
        witnesses = ", ".join(self._probe.names()[:3])
        also = f", and neither do {witnesses}, which did a while ago" if witnesses else ""
        what, then = (
            "Our own network or name server seems to be down",
            (
                "Check the connection, then give the same command again: it goes on from here. If these hosts really "
                "are all dead, add --set crawl.breaker_hosts=0."
            ),
        )
        if self._settings.proxy is not None:
            what, then = (
                "The proxy, or the network behind it, seems to be down",
                (
                    "Check --proxy, then give the same command again: it goes on from here. A user and password "
                    f"stand in its URL, http://USER:PASSWORD@HOST:PORT, or as USER:PASSWORD in {PROXY_LOGIN}."
                ),
            )
        hosts = f"{len(self._suspects)} different hosts in a row" if len(self._suspects) > 1 else "a host"
        self.tripped = OursNotTheirs(
            f"{what}: {hosts} did not answer{also}. "
            f"The last one: {self._last_words}. None of this was recorded.\n{then}"
        )
        for batch in list(self.batches):
            batch.fail(self.tripped)
