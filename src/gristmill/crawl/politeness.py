"""How one host is treated, by what its exchanges came to: fewer at once, pauses, and when it is given up.

In plain order: a host that says 429 or 503, that lets requests time out, or whose answers come ever later, is
asked less at once, and with each good answer a little more again (additive increase, multiplicative decrease,
as in TCP). One that fails to answer at all is asked with growing pauses. One that goes on failing, or asks for
more patience than we have, is given up: for a while its URLs are answered unasked, with the reason seen last. So is
one that has never answered, once its requests have waited long enough in vain, added up: they stand for one another.
"""

from __future__ import annotations

from typing import Any

from gristmill.crawl.schedule import Host
from gristmill.crawl.settings import CrawlSettings
from gristmill.spec.reasons import Reason

__all__ = ["NO_ANSWER", "Politeness"]

NO_ANSWER = frozenset(
    {
        Reason.CONNECT_FAILED,
        Reason.CONNECT_TIMEOUT,
        Reason.TLS,
        Reason.STALLED,
        Reason.DEADLINE,
        Reason.RESET,
    }
)
"""Reasons that speak of the host rather than of the URL, if they come in a row."""

_TIMED_OUT = frozenset({Reason.CONNECT_TIMEOUT, Reason.STALLED, Reason.DEADLINE})
_SLOW_DOWN = frozenset({429, 503})
LONGEST_PAUSE_S = 2.0
"""Between two requests to a host that fails to answer."""
MOST_BOMBS = 3
"""So many in a row, and a host is given up: each costs the unpacking of all that is allowed."""
PATIENCE_WITH_OLD_FRIENDS = 6
"""A host that has answered before is given so many times as long to come back."""
PATIENCE_WITH_THE_SLOW = 3.0
"""A host that answers is given so many times as long as its answers have lately taken, if that is more than usual."""
LATENCY_GROWTH = 4.0
LEAST_LATENCY_S = 1.0
"""Answers that take this long, and so many times as long as the host's usual, are a sign of load."""


class Politeness:
    """Judges hosts. Pure: time comes in as an argument, everything remembered lies in the host.

    Args:
        settings: Limits.
    """

    def __init__(self, settings: CrawlSettings) -> None:
        self._settings = settings

    def answered(self, host: Host[Any], *, began_s: float, now_s: float, head_s: float | None) -> None:
        """A good answer came, whose head took ``head_s`` seconds: recover, unless answers come ever later."""
        host.pauses_s, host.bombs = 0.0, 0
        self.alive(host)
        if head_s is not None and self._grows_late(host, head_s):
            self._slow_down(host, began_s, now_s)
        else:
            host.limit = min(float(host.most), host.limit + 1.0 / host.limit)

    def alive(self, host: Host[Any]) -> None:
        """It answered something: it is not dead."""
        host.failures, host.vain_s = 0, 0.0
        host.answered, host.silent = True, False
        if host.closed_because is not None and host.closed_because[0] in NO_ANSWER:
            host.closed_until_s, host.closed_because = (
                0.0,
                None,
            )  # what was under way brought an answer after all

    def keeps_waiting(self, host: Host[Any]) -> None:
        """A request to it is slow."""
        host.silent = not host.answered

    def patience_s(self, host: Host[Any], tries: int) -> float:
        """Say how long the head of an answer may take, where ``stall_s`` is over.

        A host that answers is given time by how long it lately took. Of one that has answered nothing yet, further
        tries are given twice as long as first ones, so that those which are slow but alive are told from the dead.
        """
        stall_s = self._settings.stall_s
        if host.answered:
            return max(stall_s, PATIENCE_WITH_THE_SLOW * host.lately_s)
        return stall_s * min(tries, 2)

    def failed(
        self,
        host: Host[Any],
        reason: Reason,
        detail: str,
        status: int | None,
        *,
        began_s: float,
        now_s: float,
        vain_s: float = 0.0,
        others_vain_s: float | None = 0.0,
    ) -> bool:
        """An exchange brought no body. Whether the URL is asked again is not decided here.

        Args:
            host: The host.
            reason: Why it brought none.
            detail: The same in words.
            status: HTTP status, if there was an answer.
            began_s: When it began.
            now_s: The time.
            vain_s: How long it waited for next to nothing.
            others_vain_s: How long others of the host, still under way, have; None if one of them is being answered.

        Returns:
            The host was given up for keeping us waiting, so that what still waits for it need not.
        """
        host.remembered_until_s = now_s + self._settings.host_memory_s
        if status in _SLOW_DOWN or reason in _TIMED_OUT:
            self._slow_down(host, began_s, now_s)
        if reason is Reason.COSTLY:
            self._give_up(host, now_s + self._settings.host_memory_s, reason, f"not asked: {detail}")
            return False
        host.bombs += reason is Reason.BOMB
        if host.bombs >= MOST_BOMBS:
            words = f"not asked: the host sent {host.bombs} bombs in a row"
            self._give_up(host, now_s + self._settings.host_memory_s, Reason.BOMB, words)
            return False
        if reason not in NO_ANSWER:
            if status is not None:
                self.alive(host)
            return False
        if host.failures == 0:
            host.failing_since_s = began_s
        host.failures += 1
        host.vain_s += vain_s if reason in _TIMED_OUT else 0.0
        host.silent = not host.answered
        host.failed_because = reason, detail
        if host.closed_until_s > now_s:
            return False
        if host.failures > 1 and reason not in _TIMED_OUT:  # those have taken long enough
            self._pause(host, now_s)
        return self.reconsider(host, now_s, others_vain_s)

    def reconsider(self, host: Host[Any], now_s: float, others_vain_s: float | None) -> bool:
        """Give a host up that has failed before, if it is time; arguments and return value as of :meth:`failed`."""
        words = self._hopeless(host, now_s, others_vain_s)
        if words is None or host.failed_because is None:
            return False
        reason, detail = host.failed_because
        until_s = now_s + self._settings.host_memory_s
        self._give_up(host, until_s, reason, f"not asked: the host {words} ({detail})")
        # one more failure is enough when it is tried again
        host.failures, host.answered = self._settings.host_failures - 1, False
        return reason in _TIMED_OUT

    def _pause(self, host: Host[Any], now_s: float) -> None:
        """Ask a host that fails at once less often, and one at a time if it has answered nothing yet."""
        settings = self._settings
        if host.silent:
            host.limit = 1.0
        pause_s = min(LONGEST_PAUSE_S, settings.backoff_s * 2.0 ** min(host.failures - 2, 16))
        decided_s = host.failing_since_s + settings.host_patience_s  # not later than when it may be given up
        if host.failures >= settings.host_failures > 0 and not host.answered:
            left_s = decided_s - now_s
            pause_s = left_s if 0 < left_s < 1.5 * pause_s else pause_s
        host.paused_until_s = max(host.paused_until_s, now_s + pause_s)

    def _hopeless(self, host: Host[Any], now_s: float, others_vain_s: float | None) -> str | None:
        """Why a host is to be given up, if it is."""
        settings = self._settings
        if settings.host_failures == 0 or others_vain_s is None:
            return None
        failing_s = now_s - host.failing_since_s
        patience_s = settings.host_patience_s * (PATIENCE_WITH_OLD_FRIENDS if host.answered else 1)
        if host.failures >= settings.host_failures and failing_s >= patience_s:
            return f"failed {host.failures} times in a row, over {failing_s:.0f} s"
        if not host.vain_s or not host.silent or settings.host_stalls == 0:
            return None
        vain_s = host.vain_s + others_vain_s
        if vain_s >= settings.host_stalls * settings.stall_s and failing_s >= settings.host_patience_s:
            return f"has answered nothing, and kept requests waiting for {vain_s:.0f} s in all"
        return None

    def forgive(self, host: Host[Any]) -> None:
        """Its failures were ours."""
        host.failures, host.vain_s = 0, 0.0
        if host.closed_because is not None and host.closed_because[0] in NO_ANSWER:
            host.closed_until_s, host.closed_because = 0.0, None

    def asked_to_wait(
        self, host: Host[Any], reason: Reason, status: int, *, now_s: float, wait_s: float, slack_s: float
    ) -> bool:
        """Leave a host alone for ``wait_s``, as it asked; False if that is longer than we are willing to wait.

        Args:
            host: The host, which answered ``status``.
            reason: What its other URLs are given if it is given up.
            now_s: The time.
            wait_s: What it asked for, ``slack_s`` included.
            slack_s: What we add ourselves.
        """
        settings = self._settings
        host.pauses_s += max(0.0, now_s + wait_s - max(now_s, host.paused_until_s))
        if wait_s <= settings.max_retry_after_s + slack_s and host.pauses_s <= settings.max_host_pause_s:
            host.paused_until_s = max(host.paused_until_s, now_s + wait_s)
            return True
        words = "not asked: the host answered {} and wants {:.0f} s of patience"
        words = words.format(status, max(wait_s, host.pauses_s))
        self._give_up(host, now_s + max(wait_s, settings.max_host_pause_s), reason, words)
        return False

    def _give_up(self, host: Host[Any], until_s: float, reason: Reason, words: str) -> None:
        host.closed_until_s, host.closed_because = until_s, (reason, words)

    def _slow_down(self, host: Host[Any], began_s: float, now_s: float) -> None:
        """Half as many at once; once for all requests that were under way together."""
        if began_s >= host.slowed_at_s:
            host.slowed_at_s = now_s
            host.limit = max(1.0, host.limit / 2)

    def _grows_late(self, host: Host[Any], head_s: float) -> bool:
        """Whether the host's answers, on average, come much later than they are wont to."""
        if host.usual_s is None:
            host.usual_s = host.lately_s = head_s
            return False
        host.lately_s += (head_s - host.lately_s) / 4
        host.usual_s = min(head_s, host.usual_s * 1.01)
        return host.lately_s > max(LEAST_LATENCY_S, LATENCY_GROWTH * host.usual_s)
