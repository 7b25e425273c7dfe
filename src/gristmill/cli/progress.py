"""Shows how a run goes on: bars on a terminal, a line now and then in a log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from gristmill.cli.run_tally import RunTally
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.words import count_text
from gristmill.run.planning.planner import Planner
from gristmill.run.state.context import Progress
from gristmill.spec.command import for_part, printable
from gristmill.spec.recipe import Recipe
from gristmill.spec.task import Account, TaskRecord
from gristmill.storage.store import Place

if TYPE_CHECKING:  # what only a terminal needs is loaded for one
    from rich.console import Console, RenderableType
    from rich.progress import Progress as Bar

__all__ = ["Bars", "Lines", "watcher_for"]

_LOG_EVERY_S = 10.0
_NARROW = 60
_SHOW_CURSOR = "\x1b[?25h"


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
