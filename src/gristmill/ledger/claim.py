"""Keeps two commands on different machines from doing the same work in an object store: the second one leaves.

Each command has put its sign before it looks for others' (Dijkstra's flags; of two that begin at once the one whose
sign has the first name stays, as in Lamport's bakery). So nothing is asked of a store but that it lists what was put.
No clocks are compared: a sign that changes while we watch is of a command that lives. One that does not is of one
that is gone, or cannot reach the store: if that comes back, it leaves. Where listings lag, two may begin: each
looks again with its first signs. What both did until then is waste. A task of which they have records that tell of
different outputs is done anew (``gristmill.run.begin.void_differing``), and an index that is not its record's is
not packed.

Commands whose leases lie in one file divide the work by these, as in a folder, and claim nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial

from gristmill.ledger.at_work import WATCHED_S, Announced, AtWork, at_work
from gristmill.spec.errors import Busy

__all__ = ["claim"]

_POLL_S = 1.0
_OF_A_SHARE = re.compile(r"/share-([0-9]+)-([0-9]+)\.")
_WATCHING = "{}: {}, works here or ended without a word; whether it gives a sign is seen within {:g} s."
_BUSY = (
    "{}: another command works on it: {}. Give this one again when that has ended. To have several machines work on "
    "it at once, give each command a --share of its own."
)


def claim(own: Announced, tell: Callable[[str], None], check: Callable[[], None]) -> list[AtWork]:
    """Begin, unless a command that does the same work lives, and does not divide it with this one by leases.

    Args:
        own: This command's sign, which was put.
        tell: Told why it takes time, if it does.
        check: Called while it takes time; what it raises is raised.

    Returns:
        Commands that are gone, whose work this one does.

    Raises:
        Busy: One lives.
        OSError: As the store says, or an error of ``gristmill.spec.errors``.
    """
    seen: dict[str, tuple[AtWork, float]] = {}
    told = False
    while True:
        check()
        gone: list[AtWork] = []
        waiting: list[AtWork] = []
        for one in _others(own):
            known, since = seen.setdefault(one.name, (one, time.monotonic()))
            if one.lives is not None:
                gone += [] if one.lives else [one]
            elif one == known:
                silent = time.monotonic() - since >= WATCHED_S
                (gone if silent else waiting).append(one)
            elif one.begun or one.name < own.sign.name:
                raise Busy(_BUSY.format(own.store, one.title))
            else:  # it looks around as this one does: it will leave, or has begun before it could see this one
                seen[one.name] = one, time.monotonic()
                waiting.append(one)
        if not waiting:
            own.rivals = partial(_rivals, own)
            own.begin()
            return gone
        if not told:
            told = True
            tell(_WATCHING.format(own.store, waiting[0].title, WATCHED_S))
        time.sleep(_POLL_S)


def _rivals(own: Announced) -> list[AtWork]:
    """Signs of commands that do some of this one's work, and may live on another machine."""
    return [one for one in _others(own) if one.lives is None]


def _others(own: Announced) -> list[AtWork]:
    """Signs of commands that do some of this one's work."""
    sign = own.sign

    def concerns(name: str) -> bool:
        share = _OF_A_SHARE.search(name)
        apart = share and sign.share and int(share[2]) == sign.share[1] and int(share[1]) != sign.share[0]
        return name != sign.name and not apart

    found = at_work(own.store, own.leases, of=concerns)
    return [one for one in found if _overlap(one, sign)]


def _overlap(one: AtWork, other: AtWork) -> bool:
    """Tell whether what two commands were told to do may have tasks in common."""
    if one.share and other.share and one.share[1] == other.share[1]:
        return one.share[0] == other.share[0]
    if one.span and other.span:
        return max(one.span[0], other.span[0]) < min(one.span[1], other.span[1])
    return True
