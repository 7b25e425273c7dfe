"""Totals over the records of a dataset: the funnel that adds up to the upstream count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from gristmill.spec.reasons import Reason
from gristmill.spec.task import TaskRecord

__all__ = ["FETCH_REASONS", "StageTotals", "Totals", "total"]

FETCH_REASONS = frozenset(Reason) - {
    Reason.NO_SCORE,
    Reason.BELOW_FLOOR,
    Reason.BEYOND_SHARE,
    Reason.NOT_CHOSEN,
    Reason.TAIL,
}
"""Reasons that may stand behind a row that was asked for."""


@dataclass(slots=True, kw_only=True)
class StageTotals:
    """One stage: samples in = kept + dropped, summed over its tasks."""

    stage: str
    tasks: int = 0
    samples_in: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    facts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, record: TaskRecord) -> None:
        """Add one record; a retry takes its samples over from the drops of an earlier round."""
        self.tasks += 1
        taken_over = sum(record.retried.values())
        self.samples_in += record.samples_in - taken_over
        self.kept += record.kept
        self.dropped.update(record.dropped)
        self.dropped.subtract(record.retried)
        self.dropped = +self.dropped
        self.facts.update(record.facts)
        self.seconds += record.seconds


@dataclass(slots=True, kw_only=True)
class Totals:
    """All stages of a dataset, by name, and what they say together."""

    stages: dict[str, StageTotals] = field(default_factory=dict)
    hosts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    started_at: float | None = None
    finished_at: float | None = None

    def stage(self, name: str) -> StageTotals:
        """Totals of one stage; zeros if none of its tasks is done."""
        return self.stages.get(name) or StageTotals(stage=name)


def total(records: Iterable[TaskRecord]) -> Totals:
    """Sum the records of a dataset."""
    totals = Totals()
    for record in sorted(records, key=lambda r: r.number):
        totals.stages.setdefault(record.stage, StageTotals(stage=record.stage)).add(record)
        totals.hosts.update(record.hosts)
        totals.notes.extend(note for note in record.notes if note not in totals.notes)
        begun = record.finished_at - record.seconds
        totals.started_at = min(totals.started_at or begun, begun)
        totals.finished_at = max(totals.finished_at or 0.0, record.finished_at)
    return totals
