"""What became of a task's rows and media: the sums of its record, and its fates."""

from __future__ import annotations

import re
import struct
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from gristmill.ledger.documents import UNUSABLE, WITHOUT_MEDIA
from gristmill.run.stages._previous_rounds import Fates, key_of
from gristmill.run.state.context import Work
from gristmill.shards.lossless import utf8
from gristmill.spec.fate import DOCUMENT_LOST, KEPT, Fate
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import CHANGES, Drop, Outcome, Sample

__all__ = ["ROW_FAULTS", "Faulty", "RowState", "account", "fates_in_order"]

_HOSTS_RECORDED = 20
_NO_FAILURE = frozenset(
    {
        None,
        Reason.NOT_NEEDED,
        Reason.OPTED_OUT,
        Reason.ROBOTS,
        Reason.BAD_URL,
        Reason.BAD_SCHEME,
        Reason.BAD_PORT,
    }
)
"""What says nothing of a host: it was never asked, or answered as it may."""
_MOST_DETAIL = 200
_LONGEST_HOST = 253
"""Characters of a host's name (RFC 1035); what is longer in a malformed address is none, and would fill records."""


ROW_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    StopIteration,
    TypeError,
    ValueError,
    re.error,
    struct.error,
    zlib.error,
)
"""What Python raises where a row has another shape than ``parse`` reckons with."""


@dataclass(frozen=True, slots=True)
class Faulty:
    """Holds what the recipe made of a row and cannot be: the recipe's own fault, or the row's."""

    detail: str


@dataclass(slots=True)
class RowState:
    """One row of the part on its way: the sample as far as it came, and why it went no further."""

    position: int
    row: int
    sample: Sample | None = None
    drop: Drop | None = None
    fault: bool = False

    @property
    def names_no_medium(self) -> bool:
        """It is a usable sample as upstream has it, of text alone."""
        usable = self.drop is None or self.drop.reason not in UNUSABLE
        return usable and self.sample is not None and not self.sample.media

    def take(self, outcome: Outcome | Faulty) -> None:
        """Go on with what a step made of the sample."""
        if isinstance(outcome, Sample):
            self.sample = outcome
            return
        self.fault = isinstance(outcome, Faulty)
        reason = Reason.BAD_ROW if isinstance(outcome, Faulty) else outcome.reason
        self.drop = Drop(reason=reason, detail=utf8(outcome.detail[:_MOST_DETAIL]).decode())


def account(
    states: Sequence[RowState], fates: Sequence[Fate], attempt: int, before: Fates, work: Work
) -> None:
    """Sum up a task. Media of samples that may have several are counted too, less what earlier rounds counted.

    Args:
        states: Its rows, at their end.
        fates: Of its media; those taken over from an earlier round have a lower ``attempt``.
        attempt: This round.
        before: What earlier rounds said of them.
        work: Becomes the record.
    """
    own = [fate for fate in fates if fate.attempt == attempt]
    work.samples_in = len(states)
    work.dropped = Counter(str(one.drop.reason) for one in states if one.drop)
    work.kept = len(states) - work.dropped.total()
    asked = _asked(own)
    work.facts.update(
        bytes_in=sum(fate.raw_bytes or 0 for fate in asked),
        bytes_out=sum(fate.size_bytes or 0 for fate in own if fate.reason is None),
        requests=sum(fate.tries for fate in asked),
    )
    kept = [one.sample for one in states if one.sample and not one.drop]
    work.facts.update(f"{CHANGES}.{word}" for sample in kept for word in sample.columns.get(CHANGES, ()))
    work.hosts = _failures(own, attempt, before)
    work.facts.update(_sizes(kept))
    if not attempt:  # whom a later round asks for was counted in the first
        bare = sum(one.names_no_medium for one in states)
        work.facts.update(+Counter({WITHOUT_MEDIA: bare}))
    if any(one.sample and one.sample.may_have_several for one in states):
        lacking = {fate.row for fate in fates if fate.reason is not None}
        media = Counter(fate.row for fate in fates)
        incomplete = sum(one.drop is None and one.row in lacking for one in states)
        several = sum(number > 1 for number in media.values())
        work.facts.update(+Counter(incomplete=incomplete, several=several))
        dropped = {one.row for one in states if one.drop}
        work.media.update(_word(fate, dropped=fate.row in dropped) for fate in fates)
        # what is asked for again was dropped before
        counted = (before.get(key_of(fate)) for fate in fates)
        work.media.subtract(_word(fate, dropped=True) for fate in counted if fate)


def _failures(own: Sequence[Fate], attempt: int, before: Fates) -> Counter[str]:
    """Hosts by failures, the largest; in a later round less those that earlier ones counted and that are none now."""
    hosts: Counter[str] = Counter()
    for fate in own:
        n = (fate.reason not in _NO_FAILURE) - _failed_before(fate, attempt, before)
        if n and (host := _host(fate.url or "")):
            hosts[host] += n
    changes = sorted(((host, n) for host, n in hosts.items() if n), key=lambda of: (-abs(of[1]), of[0]))
    return Counter(dict(changes[:_HOSTS_RECORDED]))


def _failed_before(fate: Fate, attempt: int, before: Fates) -> bool:
    """Whether an earlier round counted it; what is asked again has failed, but for media of which more is known."""
    if not before:
        return attempt > 0
    earlier = before.get(key_of(fate))
    return earlier is not None and earlier.reason not in _NO_FAILURE


def _asked(fates: Sequence[Fate]) -> Collection[Fate]:
    """One fate for each URL, and each video out of which several pieces come: a task asks once for all of them."""
    of_url: dict[object, Fate] = {}
    for fate in fates:
        of = fate.url or fate.sha256 or (fate.row, fate.medium)
        if of not in of_url or fate.tries > of_url[of].tries:
            of_url[of] = fate
    return of_url.values()


def _sizes(samples: Sequence[Sample]) -> Counter[str]:
    """How many pictures upstream lists a size of, and how many came in another; one that is turned is the same."""
    sizes: Counter[str] = Counter()
    for ref in (ref for sample in samples for ref in sample.media.values()):
        listed = (ref.expected_width_px, ref.expected_height_px)
        if all(isinstance(side, int) for side in listed) and ref.original_width_px is not None:
            sizes["listed_sizes"] += 1
            sizes["other_sizes"] += {*listed} != {ref.original_width_px, ref.original_height_px}
    return sizes


def _word(fate: Fate, *, dropped: bool) -> str:
    if fate.reason is not None:
        return str(fate.reason)
    return DOCUMENT_LOST if dropped else KEPT


def _host(url: str) -> str | None:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return None
    return host if host and len(host) <= _LONGEST_HOST else None


def fates_in_order(states: Sequence[RowState], fates: Sequence[Fate], attempt: int) -> Iterator[Fate]:
    """In the part's order: this round's media of each row, or the row itself where none of them tells why."""
    of_row: dict[int, list[Fate]] = {}
    for fate in fates:
        if fate.attempt == attempt:
            of_row.setdefault(fate.row, []).append(fate)
    for one in states:
        media = sorted(of_row.get(one.row, []), key=lambda fate: fate.medium)
        yield from media
        key = one.sample.key if one.sample else ""
        if one.drop and all(fate.reason != one.drop.reason for fate in media):
            yield Fate(row=one.row, key=key, reason=one.drop.reason, detail=one.drop.detail, attempt=attempt)
        elif not media:
            yield Fate(row=one.row, key=key, attempt=attempt)
