"""Totals over the records of a dataset: the funnel that adds up to the upstream count."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from gristmill.spec.sample import CHANGES, Json
from gristmill.spec.task import IN_STORE, Account, TaskRecord

__all__ = ["StageTotals", "Totals", "failing", "fold", "total"]

_HOSTS_COUNTED = 100_000
"""More failing hosts than that are not told apart: those that failed least are forgotten."""


@dataclass(slots=True, kw_only=True)
class StageTotals:
    """One stage: samples in = kept + dropped, summed over its tasks."""

    stage: str
    tasks: int = 0
    samples_in: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    media: Counter[str] = field(default_factory=Counter)
    facts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, record: TaskRecord) -> None:
        """Add one record; a retry takes its samples over from the drops of an earlier round."""
        self.tasks += 1
        self.samples_in += record.samples_in
        self.kept += record.kept
        self.seconds += record.seconds
        for reason, count in record.dropped.items():
            self.dropped[reason] += count
        for fate, change in record.media.items():
            self.media[fate] += change
        for fact, amount in record.facts.items():
            self.facts[fact] += amount  # type: ignore[assignment]  # a Counter is typed for int
        if record.retried:
            self.samples_in -= sum(record.retried.values())
            self.dropped = +(self.dropped - Counter(record.retried))


@dataclass(slots=True, kw_only=True)
class Totals:
    """All stages of a dataset, by name, and what they say together."""

    stages: dict[str, StageTotals] = field(default_factory=dict)
    accounts: dict[Account, StageTotals] = field(default_factory=dict)
    """The same by what stages count for."""
    hosts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    global_filter: Json = None
    """What the last count over all media found; see ``gristmill.steps.same_tally``."""
    started_at: float | None = None
    finished_at: float | None = None
    busy_s: float = 0.0
    """Seconds in which some task was under way: without the time between two runs."""

    @property
    def several(self) -> bool:
        """Some samples have several media, which are counted apart from samples."""
        return self.of("making").facts["several"] > 0

    @property
    def changes(self) -> dict[str, int]:
        """Counts what steps changed in samples or let pass in spite of a finding, the most frequent first."""
        facts = self.of("making").facts
        found = {w.partition(".")[2]: int(n) for w, n in facts.items() if w.startswith(f"{CHANGES}.")}
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    @property
    def in_store(self) -> dict[str, int]:
        """Requests of all tasks to an object store, by kind, and bytes; empty of a folder."""
        found: Counter[str] = Counter()
        for stage in self.stages.values():
            for word, number in stage.facts.items():
                if word.startswith(f"{IN_STORE}."):
                    found[word.partition(".")[2]] += int(number)
        return dict(sorted(found.items()))

    @property
    def annotations(self) -> tuple[int, int]:
        """Bytes and requests for the annotation files, as far as they were fetched."""
        stages = [self.of("looking").facts, self.of("reading").facts]
        return int(sum(f["bytes_in"] for f in stages)), int(sum(f["requests"] for f in stages))

    def stage(self, name: str) -> StageTotals:
        """Totals of one stage; zeros if none of its tasks is done."""
        return self.stages.get(name) or StageTotals(stage=name)

    def of(self, account: Account) -> StageTotals:
        """Totals of all stages that count for the same; zeros if none of their tasks is done."""
        return self.accounts.get(account) or StageTotals(stage=account)


def total(records: Iterable[TaskRecord]) -> Totals:
    """Sum records, in whichever order they come. Of all that a ledger has the sums are its :meth:`totals`."""
    return fold(sorted(records, key=lambda r: r.number))


def fold(records: Iterable[TaskRecord]) -> Totals:
    """Sum records that come in the dataset's order; none of them is held."""
    totals = Totals()
    hosts: defaultdict[str, int] = defaultdict(int)
    notes: dict[str, None] = {}
    began, ended = array("d"), array("d")
    for record in records:
        totals.stages.setdefault(record.stage, StageTotals(stage=record.stage)).add(record)
        totals.accounts.setdefault(record.account, StageTotals(stage=record.account)).add(record)
        for host, failures in record.hosts.items():
            hosts[host] += failures
        if len(hosts) > _HOSTS_COUNTED:
            hosts = defaultdict(int, Counter(hosts).most_common(_HOSTS_COUNTED // 2))
        if record.account == "counting":
            totals.global_filter = record.found
        notes.update(dict.fromkeys(record.notes))
        began.append(record.finished_at - record.seconds)
        ended.append(record.finished_at)
        totals.started_at = min(totals.started_at or began[-1], began[-1])
        totals.finished_at = max(totals.finished_at or 0.0, record.finished_at)
    totals.hosts = Counter({host: failures for host, failures in hosts.items() if failures > 0})
    totals.notes = list(notes)
    totals.busy_s = _covered(began, ended)
    return totals


def _covered(began: array[float], ended: array[float]) -> float:
    """Seconds that at least one of these spans covers."""
    import numpy as np

    covered, until = 0.0, float("-inf")
    for number in np.lexsort((ended, began)):
        covered += max(0.0, ended[number] - max(began[number], until))
        until = max(until, ended[number])
    return covered


def failing(records: Iterable[TaskRecord]) -> Counter[str]:
    """Counts what still fails after the rounds so far, by reason."""
    left: Counter[str] = Counter()
    for record in records:
        left.update(record.dropped)
        left.subtract(record.retried)
    return +left
