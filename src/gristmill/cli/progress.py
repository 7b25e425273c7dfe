"""Shows how a run goes on: bars on a terminal, a line now and then in a log."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from gristmill.ledger.ledger import Ledger
from gristmill.ledger.mixture_parts import samples_and_copies
from gristmill.ledger.remedies import commonest
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.totals import failing
from gristmill.ledger.words import count_text, share_text, size_text
from gristmill.run.maintenance.reopen import interrupted
from gristmill.run.planning.pipeline import accounts
from gristmill.run.planning.planner import Planner
from gristmill.run.state.context import Progress
from gristmill.spec.command import for_part, printable
from gristmill.spec.recipe import Recipe
from gristmill.spec.task import Account, TaskRecord
from gristmill.storage.store import Place

if TYPE_CHECKING:  # what only a terminal needs is loaded for one
    from rich.console import Console, RenderableType
    from rich.progress import Progress as Bar

__all__ = ["Bars", "Lines", "RunTally", "watcher_for"]

_LOG_EVERY_S = 10.0
_NARROW = 60
_SHOW_CURSOR = "\x1b[?25h"
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
        """When this run began, by the monotonic clock; :meth:`rate` is counted from it."""

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


def _inputs(config: RunConfig) -> str:
    if config.parts:
        return f"{len(config.parts):,} parts in {len(config.inputs):,} shards"
    return count_text(len(config.inputs), config.input_noun)


class Lines:
    """For logs: what begins, what ends, and every ten seconds how far it is."""

    def __init__(self, folder: Place, part: str = "") -> None:
        self._folder, self._part = folder, part
        self._tally = RunTally()
        self._said_at = time.monotonic()

    def config(self, recipe: Recipe, config: RunConfig, ledger: Ledger, planner: Planner) -> None:
        """Begin with what earlier runs did."""
        self._tally.config(config, ledger, recipe.expect.kept_share, planner)
        done = len(ledger.records)
        again = f", going on after {count_text(done, 'finished task')}" if done else ""
        self.say(f"{recipe.public_name} {recipe.version}: {_inputs(config)}{again}")

    def progress(self, progress: Progress) -> None:
        """Take in how far a task is."""
        self._tally.under_way(progress)
        if short := self._tally.short():
            self.say(short)
        if time.monotonic() - self._said_at >= _LOG_EVERY_S:
            self.say(self._tally.sentence())

    def committed(self, record: TaskRecord) -> None:
        """Take in a task that is done."""
        self._tally.committed(record)
        for note in record.notes:
            self.say(note)

    def noted(self, record: TaskRecord) -> None:
        """Take in what another run did."""
        self._tally.committed(record, by_others=True)

    def say(self, text: str) -> None:
        """Print a sentence."""
        self._said_at = time.monotonic()
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {printable(for_part(text, self._part))}\n")
        sys.stderr.flush()

    def last_words(self, text: str) -> None:
        """Print within a signal's handler, without locks."""
        _write_at_once(f"gristmill: {text}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tally.now("making") or self._tally.now("placing"):
            self.say(self._tally.sentence())


class Bars:
    """For terminals: a bar for each stage, and a line with what fails."""

    def __init__(self, folder: Place, part: str = "") -> None:
        from gristmill.cli.terminal import Terminal

        self._part = part
        self._tally = RunTally()
        self._console = Terminal(stderr=True)
        self._bars = _bars_over(self._console, self._failing)
        self._ids: dict[Account, Any] = {}

    def config(self, recipe: Recipe, config: RunConfig, ledger: Ledger, planner: Planner) -> None:
        """Begin with what earlier runs did."""
        self._tally.config(config, ledger, recipe.expect.kept_share, planner)
        done = len(ledger.records)
        again = f", going on after {count_text(done, 'finished task')}" if done else ""
        self.say(f"{recipe.public_name} {recipe.version}: {_inputs(config)}{again}")
        for stage in planner.stages:
            if stage.verb:
                below = stage.account == "making"  # what it tells fits nowhere else on a narrow screen
                bar = self._bars.add_task(stage.verb, total=None, text="", below=below)
                self._ids[stage.account] = bar
        self._show()

    def progress(self, progress: Progress) -> None:
        """Take in how far a task is."""
        self._tally.under_way(progress)
        if short := self._tally.short():
            self.say(short)
        self._show()

    def committed(self, record: TaskRecord) -> None:
        """Take in a task that is done."""
        self._tally.committed(record)
        for note in record.notes:
            self.say(note)
        self._show()

    def noted(self, record: TaskRecord) -> None:
        """Take in what another run did."""
        self._tally.committed(record, by_others=True)

    def _show(self) -> None:
        tally = self._tally
        totals = {
            "reading": sum(p.total or 0 for p in tally.of("reading")) + tally.done["reading"],
            "making": tally.total["making"],
            "placing": tally.total["placing"] if tally.mixes else tally.kept,
            "packing": tally.done["placing"] if tally.mixes else tally.kept,
        }
        looked = ", ".join(
            filter(
                None,
                [
                    "rows",
                    f"{tally.prescanned:,} files prescanned" if tally.prescanned else "",
                    tally.fetched(),
                ],
            )
        )
        texts = {
            "reading": looked,
            "making": f"{tally.rate():,.0f}/s, {tally.share_kept()}",
            "placing": "samples",
            "packing": "samples" if tally.mixes else tally.counting() or "kept",
        }
        for account, bar in self._ids.items():
            done = tally.now(account)
            self._bars.update(bar, completed=done, total=totals[account] or None, text=texts[account])

    def _failing(self) -> str:
        return "  ".join(f"{reason} {n:,}" for reason, n in self._tally.failing())

    def say(self, text: str) -> None:
        """Print a sentence."""
        self._console.print(printable(for_part(text, self._part)), markup=False, highlight=False)

    def last_words(self, text: str) -> None:
        """Print within a signal's handler, without locks; the bars have hidden the cursor."""
        _write_at_once(f"\n{_SHOW_CURSOR}gristmill: {text}\n")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


def _write_at_once(text: str) -> None:
    with suppress(OSError):  # nobody reads it any more
        os.write(sys.stderr.fileno(), text.encode())


def _bars_over(console: Console, line: Callable[[], str]) -> Bar:
    """Bars with a line of text below; beside them it would leave a narrow terminal no room for numbers.

    On a very narrow one the texts of the bars stand below as well.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column
    from rich.text import Text

    class BarsAndLine(Progress):
        def get_renderables(self) -> Iterator[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            said = [task.fields["text"] for task in self.tasks if narrow and task.fields.get("below")]
            if text := "  ".join(filter(None, [*said, line()])):
                yield Text(text, style="dim", no_wrap=True, overflow="ellipsis")

    narrow = console.width < _NARROW
    return BarsAndLine(
        TextColumn("{task.description:<7}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),  # the bar gives way, no digit does
        *([] if narrow else [TextColumn("{task.fields[text]}")]),
        TimeRemainingColumn(compact=narrow),
        console=console,
        refresh_per_second=4,
    )


def watcher_for(folder: Place, part: str = "") -> Bars | Lines:
    """Bars where somebody watches, lines where a log is written; ``part`` where it is one of a mixture."""
    return Bars(folder, part) if sys.stderr.isatty() else Lines(folder, part)
