"""Asking for many URLs at once: politely, bounded, each with exactly one answer."""

from __future__ import annotations

import asyncio
import random as random_module
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from gristmill.crawl.answer import Answer
from gristmill.crawl.breaker import Breaker
from gristmill.crawl.budget import ByteBudget
from gristmill.crawl.client import Client, Exchange
from gristmill.crawl.consent import Consent
from gristmill.crawl.dns import Resolver
from gristmill.crawl.guard import Refused, Target, parse
from gristmill.crawl.loop import end_all, room_for_sockets
from gristmill.crawl.outcome import Outcomes
from gristmill.crawl.partial import Partials
from gristmill.crawl.politeness import Politeness
from gristmill.crawl.probe import Probe
from gristmill.crawl.schedule import Host, Schedule
from gristmill.crawl.settings import CrawlSettings
from gristmill.crawl.slots import Slots
from gristmill.crawl.watch import RequestWatch
from gristmill.crawl.work import Batch, Consume, Item, Place
from gristmill.spec.errors import GristmillError
from gristmill.spec.reasons import Reason

__all__ = ["Consume", "CrawlStopped", "Crawler", "InHand"]

STOP_POLL_S = 0.1
LOOP_STANDS_S = 10.0
CONSUMING_PER_IN_FLIGHT = 8
SOCKETS_PER_IN_FLIGHT = 4  # connections kept alive for a while, and all other open files, included


class CrawlStopped(GristmillError):
    """The crawl was asked to stop: some URLs have no answer and are to be asked again."""

    exit_code = 3

    def __init__(self, unanswered: int) -> None:
        super().__init__(unanswered)
        self.unanswered = unanswered

    def __str__(self) -> str:
        return f"Stopped with {self.unanswered} URLs unanswered. The same command asks for them again."


@dataclass(frozen=True, slots=True, kw_only=True)
class InHand:
    """Holds what a crawler does at one moment; at rest all but ``peak_bytes`` is 0."""

    asking: int
    """Requests under way."""
    waiting: int
    """Requests that wait for slow servers, beside those."""
    consuming: int
    """Answers that are being consumed."""
    held_bytes: int
    """Set aside for bodies in memory."""
    peak_bytes: int
    """The most that was set aside so far."""
    watched: int
    """Requests whose deadlines are watched."""
    held_back: int
    """Answers that the breaker holds back."""

    @property
    def at_rest(self) -> bool:
        """Say whether nothing is under way, and nothing was left behind."""
        return not (
            self.asking or self.waiting or self.consuming or self.held_bytes or self.watched or self.held_back
        )


class Crawler:
    """Asks strangers for URLs, in the event loop in which it was entered.

    One crawler keeps its connections, its cache of names, its limits and its politeness towards hosts over any
    number of calls, also overlapping ones::

        async with Crawler(CrawlSettings(contact="https://example.org/crawl")) as crawler:
            await crawler.crawl(enumerate(urls), consume)

    Args:
        settings: Limits, politeness and trust.
        resolver: In place of one over the system's name service.
        random: Uniform in [0, 1), for the jitter of the back-off.
        wall_clock: Seconds since 1970, for ``Retry-After`` dates.
    """

    def __init__(
        self,
        settings: CrawlSettings,
        *,
        resolver: Resolver | None = None,
        random: Callable[[], float] = random_module.random,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self._resolver = resolver or Resolver(settings)
        self._random = random
        self._wall_clock = wall_clock
        limits = {rule.host: rule.connections for rule in settings.hosts}
        self._schedule: Schedule[Item] = Schedule(settings.per_host, limits)
        self._slots = {rule.host: Slots(rule) for rule in settings.hosts}
        self._budget = ByteBudget(settings.bytes_in_memory)
        self._politeness = Politeness(settings)
        self._flying = 0
        self._waiting = 0  # for slow servers
        self._most_waiting = settings.in_flight_slow
        self._consuming = 0
        self._short_of_urls = False  # whatever may begin now has begun, and there would be room for more
        self._ran_at_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._partials: Partials | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        least = SOCKETS_PER_IN_FLIGHT * self.settings.in_flight
        room = room_for_sockets(least + self.settings.in_flight_slow)
        self._most_waiting = max(0, min(self.settings.in_flight_slow, room - least))
        self._watch = RequestWatch(self.settings, self._loop)
        self._client = Client(self.settings, self._resolver, self._watch)
        self._consent = Consent(self.settings, self._client, self._budget, self._loop.time)
        probe = Probe(self.settings, self._resolver)
        self._breaker = Breaker(self.settings, self, probe, self._loop.time)
        self._outcomes = Outcomes(
            self.settings,
            self._schedule,
            self._politeness,
            self._watch,
            self._breaker.saw,
            random=self._random,
            clock=self._loop.time,
            wall_clock=self._wall_clock,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for slots in self._slots.values():
            slots.close()
        await self._breaker.close()
        await self._consent.close()
        self._watch.close()
        await self._client.close()
        if self._partials is not None:
            self._partials.close()
        await self._resolver.close()

    def share(self, folder: Path) -> None:
        """Share what the rules of hosts allow with other processes, by files in a folder; before the first crawl."""
        for slots in self._slots.values():
            slots.share(folder)
        if self.settings.large_bytes and self._partials is None:
            self._partials = Partials(folder / "bodies", self.settings.large_bytes)

    @property
    def fill(self) -> float:
        """Say how much of what it can do at once it does, from 0 to 1, answers that wait for their consumer included.

        It is 1 wherever more URLs would not help: memory, the consumer or our own network is the limit. May be
        read from any thread.
        """
        if not self._short_of_urls:
            return 1.0
        return min(1.0, (self._flying + self._consuming) / self.settings.in_flight)

    @property
    def asking(self) -> bool:
        """Say whether it waits for answers, or until a host may be asked again. Each such wait has an end.

        False where its event loop stands still. May be read from any thread.
        """
        waits = bool(self._flying + self._waiting) or self._timer is not None
        return waits and time.monotonic() - self._ran_at_s < LOOP_STANDS_S

    @property
    def silent(self) -> int:
        """URLs that wait for hosts which have answered nothing yet. May be read from any thread."""
        return self._schedule.silent_count

    @property
    def in_hand(self) -> InHand:
        """Say what is under way."""
        return InHand(
            asking=self._flying,
            waiting=self._waiting,
            consuming=self._consuming,
            held_bytes=self._budget.used_bytes,
            peak_bytes=self._budget.peak_bytes,
            watched=self._watch.count,
            held_back=self._breaker.held_back,
        )

    async def fetch(self, url: str) -> Answer:
        """Ask for one URL, with retries. Raises for nothing that the web does."""
        answers: list[Answer] = []

        async def keep(_: int, answer: Answer) -> None:
            answers.append(answer)

        await self.crawl(((0, url),), keep)
        return answers[0]

    async def crawl(
        self,
        requests: Iterable[tuple[int, str]],
        consume: Consume,
        *,
        stop: threading.Event | None = None,
        grace_s: float = 0.0,
    ) -> None:
        """Ask for every URL and hand each answer over, exactly once, in the order in which they come.

        Hosts take turns, so that one host's many URLs delay none of the others'. Bodies count as in memory
        until ``consume`` returns; as many answers are consumed at once as that allows.

        Args:
            requests: Numbers of the caller's choice and URLs; all are queued at once.
            consume: Called with the number and the answer. What it returns is asked for too. What it raises ends
                the crawl and is raised here.
            stop: When set, nothing new is begun, and what is under way may end within ``grace_s``.
            grace_s: Seconds.

        Raises:
            Stopped: ``stop`` was set before every URL had its answer consumed.
            OursNotTheirs: Our own network is down; what failed for it has no answer.
        """
        if self._breaker.tripped is not None:
            raise self._breaker.tripped
        batch = Batch(consume)
        self._breaker.batches.add(batch)
        for index, url in requests:
            self._enter(batch, index, url)
        if batch.unanswered == 0:
            self._breaker.drop(batch)
            return
        try:
            if stop is None or not stop.is_set():
                self._pump()
            await self._until_over(batch, stop, grace_s)
        finally:
            await self._end(batch)

    def _enter(self, batch: Batch, index: int, url: str) -> None:
        batch.unanswered += 1
        if batch.ended:
            return
        try:
            target = parse(url, self.settings)
        except Refused as refusal:
            self._schedule.add("", Item(batch, index, url, None, refusal))
        else:
            self._schedule.add(target.key, Item(batch, index, url, target, None))

    async def _until_over(self, batch: Batch, stop: threading.Event | None, grace_s: float) -> None:
        while not batch.over.done():
            await asyncio.wait((batch.over,), timeout=None if stop is None else STOP_POLL_S)
            self._ran_at_s = time.monotonic()
            if stop is not None and stop.is_set() and not batch.over.done():
                self._schedule.drop(lambda item: item.batch is batch)
                batch.ended = True
                if batch.tasks:
                    await asyncio.wait(batch.tasks, timeout=grace_s)
                if batch.unanswered and not batch.over.done():
                    raise CrawlStopped(batch.unanswered)
        batch.over.result()

    async def _end(self, batch: Batch) -> None:
        """Leave nothing of a batch behind; a no-op if it came to its natural end."""
        batch.ended = True
        self._breaker.drop(batch)
        if batch.unanswered:
            self._schedule.drop(lambda item: item.batch is batch)
        await end_all(batch.tasks)
        if batch.over.done() and not batch.over.cancelled():
            batch.over.exception()  # taken note of, also where something else is raised
        self._schedule.tidy(self._loop.time())
        self._pump()

    def _pump(self) -> None:
        """Begin all that may begin now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._has_room():
            taken = self._schedule.take(self._loop.time())
            if taken is not None:
                self._begin(*taken)
                continue
            self._short_of_urls = True
            wakeup_s = self._schedule.next_wakeup_s()
            if wakeup_s is not None:
                self._timer = self._loop.call_at(wakeup_s, self._pump)
            elif self._flying + self._waiting + self._consuming == 0 and self._schedule.idle:
                self._breaker.idle()
            return
        self._short_of_urls = False
        # No room: what makes room pumps. A timer for what is due already would go off again and again.

    def _has_room(self) -> bool:
        settings = self.settings
        return (
            not self._breaker.open
            and self._flying < settings.in_flight
            and self._consuming < settings.in_flight * CONSUMING_PER_IN_FLIGHT
            and self._budget.admits()
        )

    def _begin(self, host: Host[Item], item: Item) -> None:
        self._flying += 1
        place = Place(host, self._budget.open(), self._loop.time())
        task = self._loop.create_task(self._run(place, item))
        item.batch.tasks.add(task)
        # In a callback, because a task that is cancelled before its first step runs no ``finally``.
        task.add_done_callback(lambda task: self._ended(place, item.batch, task))

    def _ended(self, place: Place, batch: Batch, task: asyncio.Task[None]) -> None:
        self._land(place)
        place.hold.close()
        self._finished(batch, task)

    def _land(self, place: Place) -> None:
        """Give back a place among those in flight."""
        if place.flying:
            place.flying = False
            if place.slow:
                self._waiting -= 1
            else:
                self._flying -= 1
            self._schedule.done(place.host)
            self._schedule.forget_idle(place.host, self._loop.time())

    def _give_way(self, place: Place, received_bytes: int) -> bool:
        """Let others begin in place of a request whose server is slow; False if too many wait already."""
        self._politeness.keeps_waiting(place.host)
        if not place.flying or self._waiting >= self._most_waiting:
            return False
        place.slow = True
        self._flying -= 1
        self._waiting += 1
        place.hold.shrink(received_bytes)
        self._pump()
        return True

    async def _run(self, place: Place, item: Item) -> None:
        """One exchange of one URL, and what follows from it."""
        exchange = await self._exchange(place, item)
        if exchange is None:
            if not item.batch.ended:
                self._schedule.add(place.host.key, item, first=True)
            self._land(place)
            self._pump()
            return
        answer = self._outcomes.judge(place, item, exchange)
        self._land(place)
        if answer is None:
            return
        if answer.body is None:
            place.hold.close()
        if self._breaker.holds(item, answer):
            return
        self._pump()
        await self._consume(item, answer)

    async def _consume(self, item: Item, answer: Answer) -> None:
        self._consuming += 1
        try:
            more = await item.batch.consume(item.index, answer)
        finally:
            self._consuming -= 1
            if self._partials is not None:
                self._partials.release(item.url, answer.reason)
        for index, url in more or ():
            self._enter(item.batch, index, url)
        item.batch.answered()

    def finish(self, item: Item, answer: Answer) -> None:
        """The breaker lets an answer through that it held back; not once the crawl was asked to stop."""
        if item.batch.ended:
            return
        task = self._loop.create_task(self._consume(item, answer))
        item.batch.tasks.add(task)
        task.add_done_callback(partial(self._finished, item.batch))

    def _finished(self, batch: Batch, task: asyncio.Task[None]) -> None:
        batch.finished(task)
        self._pump()

    def ask_anew(self, item: Item) -> None:
        """The breaker found that a failure was ours."""
        assert item.origin is not None
        item.rewind()
        item.tries = 0
        if not item.batch.ended:
            self._schedule.add(item.origin.key, item)

    def recovered(self) -> None:
        """Our network is back."""
        self._resolver.forget_failures()
        for host in self._schedule.hosts():
            self._politeness.forgive(host)
        self._pump()

    async def _exchange(self, place: Place, item: Item) -> Exchange | None:
        """None if the origin wants more time between requests than was known when this one had its turn."""
        host = place.host
        if item.target is None:
            assert item.refusal is not None
            return Exchange(reason=item.refusal.reason, detail=item.refusal.detail)
        slots = self._slots.get(host.key)
        if slots is None or host.closed_until_s > self._loop.time():
            return await self._ask(place, item, item.target, partial(self._outcomes.expects_more, host))
        slot, received_bytes = await slots.take(), 0
        try:
            exchange = await self._ask(place, item, item.target, slots.keep_alive(slot, host.queue))
            received_bytes = 0 if exchange is None else exchange.received_bytes
        finally:
            slots.give(slot, received_bytes)
        return exchange

    async def _ask(
        self, place: Place, item: Item, target: Target, keep_alive: Callable[[], bool]
    ) -> Exchange | None:
        """See :meth:`_exchange`; ``keep_alive`` as of :meth:`Client.exchange`."""
        host, now_s = place.host, self._loop.time()
        if item.began_s is None:
            item.began_s = now_s
        if host.closed_until_s > now_s and host.closed_because is not None:
            return Exchange(reason=host.closed_because[0], detail=host.closed_because[1])
        gap_s = host.gap_s
        permission = await self._consent.permission(target, partial(self._give_way, place))
        host.gap_s = max(host.gap_s, permission.delay_s)
        item.opt_out.update(dict.fromkeys(permission.seen))
        if permission.refusal is not None:
            if not permission.refusal.final and permission.refusal.reason not in {
                Reason.ROBOTS,
                Reason.OPTED_OUT,
            }:
                item.tries += 1  # else what may heal would be tried for ever
            return permission.refusal
        if permission.delay_s > gap_s:
            now_s = self._loop.time()
            if host.paused_until_s > now_s:
                return None
            host.paused_until_s = now_s + host.gap_s
        if item.hops == 0:
            item.tries += 1
            item.left_s = self.settings.total_s
        self._outcomes.doubt(host)
        return await self._client.exchange(
            target,
            hold=place.hold,
            left_s=item.left_s,
            keep_alive=keep_alive,
            give_way=partial(self._give_way, place),
            patience=partial(self._politeness.patience_s, host, item.tries),
            host=host.key,
            came=None if self._partials is None else self._partials.of(item.url),
        )
