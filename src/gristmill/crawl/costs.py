"""What hosts cost us in processor time. One that costs far more than its bytes explain is given up.

All hosts share one event loop. A server that sends chunks of one byte, headers without end, or rules by the ten
thousand takes from all others what it costs. So what is done on a host's account is measured. It counts against the
host as far as it is more than any answer of that size takes.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Cost", "Costs"]

ANSWER_S = 0.005
PIECE_S = 50e-6
BYTE_S = 20e-9
"""What an answer, each piece in which it comes, and each byte of it may cost: several times what is usual."""
MOST_S = 0.25
"""So much more than that, of all its answers, may a host cost."""
FORGIVEN_SHARE = 0.002
"""Of all time that passes: what a host may cost beyond that for ever, too."""
MOST_HOSTS = 10_000


class Cost:
    """Holds what one host has cost beyond what it may."""

    __slots__ = ("_at_s", "excess_s", "too_much")

    def __init__(self, now_s: float) -> None:
        self.excess_s = 0.0
        self._at_s = now_s
        self.too_much = False  # it is to be given up

    def begin(self, now_s: float) -> None:
        """One more answer is on its way."""
        self.excess_s = max(0.0, self.excess_s - (now_s - self._at_s) * FORGIVEN_SHARE - ANSWER_S)
        self._at_s = now_s
        self.too_much = self.too_much and self.excess_s > MOST_S / 2

    def spend(self, seconds: float, size_bytes: int = 0) -> None:
        """It has cost so much, for so many bytes in one piece, or for none that came anew."""
        self.excess_s += seconds - (PIECE_S + size_bytes * BYTE_S if size_bytes else 0.0)
        self.too_much = self.too_much or self.excess_s > MOST_S

    @property
    def words(self) -> str:
        """The same as a sentence."""
        return f"its answers took {self.excess_s:.2g} s more of our processor's time than their size explains"


class Costs:
    """The costs of all hosts; those longest not asked are forgotten first.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._hosts: dict[str, Cost] = {}

    def of(self, host: str) -> Cost:
        """Of a host that is to be asked."""
        cost = self._hosts.pop(host, None)
        if cost is None:
            cost = Cost(self._clock())
            if len(self._hosts) >= MOST_HOSTS:
                del self._hosts[next(iter(self._hosts))]
        self._hosts[host] = cost
        cost.begin(self._clock())
        return cost
