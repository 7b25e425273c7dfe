"""What a sample says of the whole: the share that will be kept, bytes, time, and who will not answer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gristmill.ledger.words import count_text, duration_text, share_text, short_count, size_text

__all__ = ["HostSeen", "Pace", "Probed", "design_effect", "interval"]

_Z = 1.959964
"""Of the normal distribution: 95 % lie within so many standard deviations."""
_LINE_BYTES_S = 125e6
_SHOWN = 5
_SHORT = "under a minute"


def interval(kept: int, asked: int, effect: float = 1.0) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927), as of a sample that is smaller by its design effect.

    Args:
        kept: Of those asked.
        asked: How many; without any the share may be anything.
        effect: See :func:`design_effect`.
    """
    if not asked:
        return 0.0, 1.0
    n, share = asked / max(1.0, effect), kept / asked
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return (0.0 if kept == 0 else low), (1.0 if kept == asked else high)


def design_effect(groups: Mapping[str, tuple[int, int]]) -> float:
    """By how much a share varies more than if all had been drawn alone, because those of a host fare alike.

    The variance of the ratio over clusters (Cochran, Sampling Techniques, 1977, section 9A.2; hosts as drawn with
    replacement) by that of a simple sample; at least 1, and 1 where one host tells nothing of others.

    Args:
        groups: Of each host how many were kept, of how many.
    """
    kept, asked = (sum(pair[place] for pair in groups.values()) for place in (0, 1))
    if len(groups) < 2 or kept in (0, asked):
        return 1.0
    share = kept / asked
    spread = sum((own - share * of) ** 2 for own, of in groups.values()) * len(groups) / (len(groups) - 1)
    return max(1.0, spread / (asked * share * (1 - share)))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSeen:
    """Holds what came of the media that lie with one host.

    Attributes:
        host: Its name.
        asked: Media that were asked for.
        failed: Of them, that cannot be had.
        reason: The commonest reason; empty where all came.
    """

    host: str
    asked: int
    failed: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Names one thing that bounds a crawl, and the seconds a chosen row takes of it with the workers given."""

    bound: str
    seconds_per_row: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """Holds what a sample of a dataset's rows came to.

    Attributes:
        taken: How the rows were taken, in a sentence.
        biased: Why the whole may fare otherwise, a sentence each.
        files, files_of: Annotation files that rows were taken from, and all.
        moved_bytes: Fetched of annotation files.
        rows_read, rows_chosen: Rows that the table step was given, and those that it chose of them.
        rows: Chosen rows that went on: the sample.
        kept: Of them, that became whole samples.
        low, high: The 95 % interval of the share kept.
        effect: The design effect of hosts that is in it.
        several: Samples are documents, with several media.
        media, hosts_asked: Media asked for, and of how many hosts.
        elapsed_s: The asking.
        interrupted: Rows that were not finished when it was stopped.
        signalled: The signal that stopped it; 0 where none came.
        reasons: Why rows were lost, commonest first.
        hosts: Those that most is lost with.
        received_bytes, stored_bytes: Of the sample's media.
        workers: For the time.
        paces: What bounds it, slowest first.
        whole_rows: Rows that will be chosen of the whole, where that is known.
        whole_is: How the number of all rows is known.
        expected_share: What the recipe expects at least, or the person.
    """

    taken: str
    biased: tuple[str, ...]
    files: int
    files_of: int
    moved_bytes: int
    rows_read: int
    rows_chosen: int
    rows: int
    kept: int
    low: float
    high: float
    effect: float
    several: bool
    media: int
    hosts_asked: int
    elapsed_s: float
    interrupted: int
    signalled: int
    reasons: dict[str, int]
    hosts: tuple[HostSeen, ...]
    received_bytes: int
    stored_bytes: int
    workers: int
    paces: tuple[Pace, ...]
    whole_rows: int | None
    whole_is: str
    expected_share: float

    @property
    def share(self) -> float:
        """Say what share of the sample is kept."""
        return self.kept / self.rows if self.rows else 0.0

    def _of_all(self, of_sample: float) -> int | None:
        """As much for all rows as this is for the sample's."""
        if self.whole_rows is None or not self.rows:
            return None
        return round(of_sample / self.rows * self.whole_rows)

    @property
    def expected(self) -> dict[str, Any]:
        """Figures of the whole; None where its number of rows is not known."""
        whole, first = self.whole_rows, next(iter(self.paces), None)
        return {
            "kept": self._of_all(self.kept),
            "kept_low": None if whole is None else round(self.low * whole),
            "kept_high": None if whole is None else round(self.high * whole),
            "requests": self._of_all(self.media),
            "receive_bytes": self._of_all(self.received_bytes),
            "store_bytes": self._of_all(self.stored_bytes),
            "hours": None
            if whole is None or first is None
            else round(first.seconds_per_row * whole / 3600, 3),
            "bound": first.bound if first else None,
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "share": self.share, "expected": self.expected}

    def lines(self) -> list[str]:
        """For a person."""
        noun = "documents" if self.several else "rows"
        lines = [f"probe              {self.taken}"]
        lines += [f"  but              {text}" for text in self.biased]
        if self.rows_read > self.rows_chosen:
            lines.append(f"chosen             {_of(self.rows_chosen, self.rows_read)} rows")
        lines.append(
            f"asked              {count_text(self.media, 'picture')} of "
            f"{count_text(self.hosts_asked, 'host')} in {duration_text(self.elapsed_s)}"
        )
        lines.append(
            f"kept               {_of(self.kept, self.rows)} {noun}; of all, by this sample, "
            f"{100 * self.low:.1f} to {100 * self.high:.1f} % (95 % interval{self._said_of_hosts()})"
        )
        lines += [f"  lost             {reason} {_of(n, self.rows)}" for reason, n in self.reasons.items()]
        lines += [f"  worst host       {_host_text(one)}" for one in self.hosts]
        if self.high < self.expected_share:
            lines.append(
                f"LESS THAN EXPECTED a run would end with exit code 3: {100 * self.expected_share:.3g} % are "
                "expected (--min-kept)"
            )
        return [*lines, *self._whole_lines()]

    def _said_of_hosts(self) -> str:
        if self.hosts_asked == 1:
            return "; all lies with one host, which may answer otherwise another day"
        return f"; {self.effect:.2g} times the variance, for hosts fare as a whole" if self.effect > 1 else ""

    def _whole_lines(self) -> list[str]:
        expected = self.expected
        if self.whole_rows is None:
            if not self.rows:
                return []
            per = 1000 / self.rows
            return [
                f"of 1,000 rows      {self.kept * per:,.0f} kept, {size_text(self.received_bytes * per)} to receive, "
                f"{size_text(self.stored_bytes * per)} to store; how many there are is not known before they are read"
            ]
        receive, store, hours = expected["receive_bytes"], expected["store_bytes"], expected["hours"]
        lines = [
            f"expected of all    {short_count(expected['kept'])} samples "
            f"({short_count(expected['kept_low'])} to {short_count(expected['kept_high'])}) of "
            f"{short_count(self.whole_rows)} rows ({self.whole_is})",
            f"  to receive       {size_text(receive)} ({_time_text(receive / _LINE_BYTES_S)} at 1 Gbit/s), "
            f"in {short_count(expected['requests'])} requests or more",
            f"  to store         {size_text(store)}",
        ]
        if hours is not None:
            whole_s = [
                (pace.bound, _time_text(pace.seconds_per_row * self.whole_rows)) for pace in self.paces
            ]
            others = "; ".join(f"{bound}: {text}" for bound, text in whole_s[1:3] if text != _SHORT)
            lines.append(
                f"  time             {whole_s[0][1]} with {count_text(self.workers, 'worker')}, bounded by "
                f"{whole_s[0][0]}{f' ({others})' if others else ''}"
            )
        return lines


def worst(asked: Mapping[str, int], failed: Mapping[str, Counter[str]]) -> tuple[HostSeen, ...]:
    """The hosts that most media are lost with, worst first.

    Args:
        asked: Media by host.
        failed: By host, how many failed for which reason.
    """
    seen = [
        HostSeen(host=host, asked=asked[host], failed=why.total(), reason=why.most_common(1)[0][0])
        for host, why in failed.items()
        if why
    ]
    return tuple(sorted(seen, key=lambda one: (-one.failed, one.host))[:_SHOWN])


def _of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({share_text(part, whole)})"


def _time_text(seconds: float) -> str:
    """A duration that is estimated: of seconds nothing is known."""
    return _SHORT if seconds < 60 else f"about {duration_text(seconds)}"


def _host_text(one: HostSeen) -> str:
    return f"{one.host} {one.failed:,} of {one.asked:,} lost ({one.reason})"


def paces_sorted(paces: Sequence[Pace]) -> tuple[Pace, ...]:
    """Put what bounds a crawl most first."""
    return tuple(sorted(paces, key=lambda pace: -pace.seconds_per_row))
