"""What follows from one exchange: a redirect to follow, another try, or the URL's answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gristmill.crawl.answer import Answer
from gristmill.crawl.client import Exchange, Ours
from gristmill.crawl.guard import Refused, join
from gristmill.crawl.mirror import Mirror
from gristmill.crawl.politeness import Politeness
from gristmill.crawl.retry import RETRIED_STATUSES, WORTH_ANOTHER_TRY, backoff_s, retry_after_s, time_of
from gristmill.crawl.schedule import Host, Schedule
from gristmill.crawl.settings import CrawlSettings
from gristmill.crawl.watch import RequestWatch
from gristmill.crawl.work import Item, Place
from gristmill.spec.reasons import Reason

__all__ = ["Outcomes"]

CLOCK_LAG_S = 0.005  # a loop's clock is read once a turn; never ask sooner than we were told to
MAX_LANDINGS = 10_000


class Outcomes:
    """Judges exchanges, and queues what is to be asked once more.

    Args:
        settings: Limits.
        schedule: Where URLs are queued.
        politeness: Told what an exchange says about its host.
        watch: Knows what else of a host is under way.
        saw: Told what it says about our network.
        random: Uniform in [0, 1), for the jitter of the back-off.
        clock: Monotonic seconds.
        wall_clock: Seconds since 1970, for ``Retry-After`` dates.
    """

    def __init__(
        self,
        settings: CrawlSettings,
        schedule: Schedule[Item],
        politeness: Politeness,
        watch: RequestWatch,
        saw: Callable[[Item, Exchange, float], None],
        *,
        random: Callable[[], float],
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._schedule = schedule
        self._politeness = politeness
        self._watch = watch
        self._saw = saw
        self._random = random
        self._clock = clock
        self._wall_clock = wall_clock
        self._mirror = Mirror(settings, schedule)
        self._landings: dict[str, int] = {}  # redirects by the host that they led to

    def expects_more(self, host: Host[Item]) -> bool:
        """Say whether the host is likely to be asked again soon."""
        return bool(host.queue) or self._landings.get(host.key, 0) > 1

    def judge(self, place: Place, item: Item, exchange: Exchange) -> Answer | None:
        """The URL's answer, or None if it was queued once more: for a redirect, or for another try."""
        item.received_bytes += exchange.received_bytes
        item.opt_out.update(dict.fromkeys(exchange.opt_out))
        item.status = exchange.status or item.status
        item.ours = exchange.ours
        self._keep_to_rule(place.host, item, exchange)
        if exchange.asked:
            self._learn(place, item, exchange)
        if exchange.reason is None and exchange.location is not None:
            try:
                self._follow(item, exchange.location, exchange.left_s)
            except Refused as refusal:
                unusable = refusal.reason is Reason.BAD_URL
                exchange.reason = Reason.REDIRECTS if unusable else refusal.reason
                exchange.detail = f"to nowhere: {refusal.detail}" if unusable else refusal.detail
            else:
                return None
        if exchange.reason is not None and self._try_again(place.host, item, exchange):
            return None
        if self._mirror.take(item, exchange):
            return None
        return item.answer(self._mirror.settle(item, exchange), self._clock())

    def _keep_to_rule(self, host: Host[Item], item: Item, exchange: Exchange) -> None:
        """Take an answer for final that the host gives again and again, whatever its status says elsewhere."""
        rule = self._settings.rule_of(host.key) if exchange.reason is not None else None
        if rule is None or item.target is None or exchange.retry_after is not None:
            return
        if rule.is_final(exchange.status, item.target.path):
            exchange.final = True
            exchange.reason = Reason.HTTP_4XX if exchange.status == 429 else exchange.reason
            exchange.detail += "; of this host that is final"

    def _learn(self, place: Place, item: Item, exchange: Exchange) -> None:
        """What an exchange says about its host, and about our network."""
        self._saw(item, exchange, place.began_s)
        host, reason, now_s = place.host, exchange.reason, self._clock()
        if reason is None:
            self._politeness.answered(host, began_s=place.began_s, now_s=now_s, head_s=exchange.head_s)
            return
        if exchange.ours is Ours.SURELY:
            return
        if exchange.final:
            self._politeness.alive(host)
            return
        given_up = self._politeness.failed(
            host,
            reason,
            exchange.detail,
            exchange.status,
            began_s=place.began_s,
            now_s=now_s,
            vain_s=exchange.vain_s,
            others_vain_s=self._watch.waiting(host.key),
        )
        if given_up:
            self._watch.cut(host.key)
        else:
            self.doubt(host)

    def doubt(self, host: Host[Item]) -> None:
        """Have a host that has kept us waiting in vain given up while requests to it are under way, if it is time."""
        if host.silent and host.vain_s:
            self._watch.doubt(host.key, partial(self._reconsider, host))

    def _reconsider(self, host: Host[Item], waiting_s: float | None) -> bool:
        """Give a host up once its requests have waited long enough; False if that is still to be decided."""
        if not host.silent or host.closed_until_s > self._clock():
            return True
        given_up = self._politeness.reconsider(host, self._clock(), waiting_s)
        if given_up:
            self._watch.cut(host.key)
        return given_up

    def _follow(self, item: Item, location: str, left_s: float) -> None:
        """Queue a redirect's target at its own host, ahead of what has not begun yet."""
        assert item.target is not None
        item.visited.add(item.target.text)
        target = join(item.target, location, self._settings)
        if item.hops >= self._settings.max_redirects:
            raise Refused(Reason.REDIRECTS, f"more than {self._settings.max_redirects}")
        if target.text in item.visited:
            raise Refused(Reason.REDIRECTS, "a loop")
        item.hops += 1
        item.target = target
        item.left_s = left_s
        if target.key not in self._landings and len(self._landings) >= MAX_LANDINGS:
            del self._landings[next(iter(self._landings))]
        self._landings[target.key] = self._landings.get(target.key, 0) + 1
        if not item.batch.ended:
            self._schedule.add(target.key, item, first=True)

    def _try_again(self, host: Host[Item], item: Item, exchange: Exchange) -> bool:
        """Pause the host if it asks for it; queue the URL again if that is worth while."""
        now_s = self._clock()
        if exchange.final or host.closed_until_s > now_s or item.origin is None:
            return False
        asked_at_s = time_of(exchange.date, self._wall_clock())
        item.retry_after_s = retry_after_s(exchange.retry_after, asked_at_s)
        wait_s = backoff_s(self._settings.backoff_s, item.tries, self._random) + CLOCK_LAG_S
        if exchange.status in {429, 503}:
            wait_s = max(wait_s, (item.retry_after_s or 0.0) + CLOCK_LAG_S)
            assert exchange.reason is not None
            if not self._politeness.asked_to_wait(
                host, exchange.reason, exchange.status, now_s=now_s, wait_s=wait_s, slack_s=CLOCK_LAG_S
            ):
                return False
        worth = exchange.reason in WORTH_ANOTHER_TRY or exchange.status in RETRIED_STATUSES
        if not worth or item.tries >= self._settings.tries:
            return False
        item.rewind()
        if not item.batch.ended:
            self._schedule.add_later(item.origin.key, item, now_s + wait_s)
        return True
