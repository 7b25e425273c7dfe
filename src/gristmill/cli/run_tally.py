"""Counts how far a run is, and puts it into a line."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from gristmill.ledger.ledger import Ledger
from gristmill.ledger.mixture_parts import samples_and_copies
from gristmill.ledger.remedies import commonest
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.totals import failing
from gristmill.ledger.words import share_text, size_text
from gristmill.run.maintenance.reopen import interrupted
from gristmill.run.planning.pipeline import accounts
from gristmill.run.planning.planner import Planner
from gristmill.run.state.context import Progress
from gristmill.spec.task import Account, TaskRecord

__all__ = ["RunTally"]

_SHOWN: tuple[Account, ...] = ("reading", "making", "placing", "packing")


class RunTally:
    """Counts how far all stages are: records that are committed, and tasks under way."""

    def __init__(self) -> None:
        self._accounts = accounts()
        self.total = dict.fromkeys(_SHOWN, 0)
        self.done = dict.fromkeys(_SHOWN, 0)
        self.kept = 0
        self.reasons: Counter[str] = Counter()
        self.running: dict[str, Progress] = {}
        self._before: dict[str, int] = {}  # what earlier runs did in tasks under way
        self.mixes = False
        self._least, self._unread = 0.0, 0
        self._planner: Planner | None = None
        self.new = self.prescanned = self._round = 0
        self._again: frozenset[str] = frozenset()  # what is asked for again in this round
        self.verb, self.none = "crawled", "nothing asked yet"
        self.since = time.monotonic()
        """When this run began to ask, by the monotonic clock; :meth:`rate` is counted from it."""
        self._asks = False

    def config(
        self, config: RunConfig, ledger: Ledger, least: float = 0.0, planner: Planner | None = None
    ) -> None:
        """Take in what earlier runs did.

        Args:
            config: What the folder was begun with.
            ledger: What is done.
            least: The share of all that is to be kept at least.
            planner: Says what is left for this command; unknown if None.
        """
        totals = ledger.totals()
        self._least, self._unread = least, len(config.inputs) - totals.of("reading").tasks
        self.mixes = bool(config.parts)
        self.prescanned = totals.of("looking").tasks
        if not config.asks:
            self.verb, self.none = "read", "none read yet"
        for account in _SHOWN:
            self.done[account] = totals.of(account).samples_in
        self.total["placing"] = samples_and_copies(config)
        self.total["making"] = totals.of("reading").kept
        self.kept = totals.of("making").kept
        self.reasons.update(totals.of("making").dropped)
        if config.rounds:
            self._round, self._again = len(config.rounds), frozenset(config.rounds[-1])
            again = _asked_again(ledger.of("making"), config.rounds)
            self.done["making"] -= again.total()
            self.reasons.subtract(again)
        for progress in interrupted(ledger):
            self.under_way(progress)
        self._planner = planner

    def under_way(self, progress: Progress) -> None:
        """Take in how far a task is; what it begins with is not this run's work."""
        if not self._asks and self._planner and self._accounts.get(progress.stage) == "making":
            self._asks, self.since = (
                True,
                time.monotonic(),
            )  # what came before, as reading a list, tells no rate
        self.running[progress.task_id] = progress
        self._before.setdefault(progress.task_id, progress.done)

    def committed(self, record: TaskRecord, *, by_others: bool = False) -> None:
        """Take in a task that is done, here or by another run, whose work says nothing of this one's rate."""
        self.running.pop(record.task_id, None)
        before = self._before.pop(record.task_id, 0)
        if record.account not in self.done:
            self.prescanned += record.account == "looking"
            return
        taken_off = self._round and record.number[0] == self._round  # when this round began
        retried = Counter() if taken_off else Counter(record.retried)
        self.done[record.account] += record.samples_in - retried.total()
        if record.account == "reading":
            self.total["making"] += record.kept
            self._unread -= 1
        elif record.account == "making":
            self.kept += record.kept
            self.new += 0 if by_others else record.samples_in - before
            self.reasons.update(record.dropped)
            self.reasons.subtract(retried)
            if record.number[0] < self._round:  # that round was cut off: this one asks for them again
                again = Counter({r: n for r, n in record.dropped.items() if r in self._again})
                self.done["making"] -= again.total()
                self.reasons.subtract(again)

    def now(self, account: Account) -> int:
        """Rows done, those of tasks under way included."""
        return self.done[account] + sum(p.done for p in self.of(account))

    def of(self, account: Account) -> list[Progress]:
        """Tasks under way that count for this."""
        return [p for p in self.running.values() if self._accounts.get(p.stage) == account]

    def rate(self) -> float:
        """Media finished a second since this run began."""
        running = sum(max(0, p.done - self._before[p.task_id]) for p in self.of("making"))
        return (self.new + running) / max(0.001, time.monotonic() - self.since)

    def left_s(self) -> float | None:
        """Seconds left at this rate for what is known to be crawled, as far as it falls to this command."""
        rate = self.rate()
        if rate <= 0 or self._planner is None:
            return None
        begun = sum(p.done for p in self.of("making") if self._planner.is_due(p.task_id))
        return max(0, self._planner.rows_left - begun) / rate

    def failing(self) -> list[tuple[str, int]]:
        """The three most frequent reasons."""
        return [(reason, n) for reason, n in self._lost().most_common(3) if n > 0]

    def _lost(self) -> Counter[str]:
        """Losses so far, by reason."""
        return sum((Counter(p.reasons) for p in self.running.values()), self.reasons.copy())

    def share_kept(self) -> str:
        """The share of what is finished that was kept."""
        done = self.now("making")
        return f"{(done - self._lost().total()) / done:.0%} kept" if done else self.none

    def short(self) -> str:
        """Once, when so much is lost that too little will be kept whatever comes: a sentence that says so."""
        known = self.total["making"]
        if not self._least or self._unread or self.now("making") >= known:
            return ""
        lost = self._lost()
        most = known - lost.total()
        if most >= self._least * known:
            return ""
        self._least = 0.0
        return (
            f"at most {share_text(most, known)} of {known:,} will be kept, fewer than expected (--min-kept). "
            f"{commonest(lost)} Everything finished is kept if you stop here."
        )

    def counting(self) -> str:
        """Say how far statistics are, if they are under way."""
        said = "looking for the same picture in the fates of {:,} of {:,} crawl tasks"
        return next((said.format(p.done, p.total or 0) for p in self.of("counting")), "")

    def fetched(self) -> str:
        """Say how much of the annotation files that are being fetched is there, if any are."""
        fetches = [(p.bytes_in, p.bytes_total) for p in self.running.values() if p.bytes_total]
        have, size = (sum(column) for column in zip(*fetches, strict=True)) if fetches else (0, 0)
        return f"{size_text(have)} of {size_text(size)} fetched" if fetches else ""

    def sentence(self) -> str:
        """All of it in one line."""
        if counting := self.counting():
            return counting
        if self.mixes:
            known = self.total["placing"]
            return (
                f"{self.now('placing'):,} of {known:,} samples scattered, {self.now('packing'):,} in shards"
            )
        crawled, known = self.now("making"), self.total["making"]
        fetched = f"annotation files: {self.fetched()}" if self.fetched() else ""
        if not known and fetched:
            return fetched
        if not known and self.prescanned:
            return f"{self.prescanned:,} annotation files prescanned"
        why = ", ".join(f"{reason} {n:,}" for reason, n in self.failing())
        left = self.left_s()
        ours = " for this share" if self._planner is not None and self._planner.share else ""
        until = f", {_duration(left)} left{ours}" if left is not None and known > crawled else ""
        done = f"{crawled:,} of {known:,} {self.verb}, {self.rate():,.0f}/s, {self.share_kept()}{until}"
        return "; ".join(filter(None, [done, why, fetched]))


def _asked_again(records: Sequence[TaskRecord], rounds: Sequence[Sequence[str]]) -> Counter[str]:
    """Count what the last round has still to ask for, by the reasons of its losses."""
    failed = failing(records)
    for record in records:
        if record.number[0] == len(rounds):
            failed.subtract(record.dropped)
    return Counter({reason: n for reason, n in failed.items() if reason in rounds[-1] and n > 0})


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
