"""Removing what finished shards no longer need."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from pathlib import Path

from gristmill.ledger.funnel import funnel
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.totals import failing, total
from gristmill.run.state.layout import Layout, stem
from gristmill.run.state.reclaimed import remove_released
from gristmill.spec.errors import Busy
from gristmill.spec.task import TaskRecord
from gristmill.storage.leases import Leases

__all__ = ["clean", "is_complete"]


def clean(folder: Path, config: RunConfig, ledger: Ledger, *, dry_run: bool) -> tuple[int, int]:
    """Remove media whose shards are finished, what a shuffle scattered, logs of void tasks, fetched annotations.

    Indexes and parts stay: they are small, and ``retry`` needs them.

    Returns:
        Files and bytes removed, or to be removed.

    Raises:
        Busy: A run works on this folder.
        OSError: As the system says; a full disk is no hindrance.
    """
    layout = Layout(folder)
    with Leases(layout.leases) as leases:
        if not leases.take("run"):
            raise Busy(f"a run works on {folder}; clean it when that has ended.")
        doomed = _spent(layout, config, ledger)
        sizes = [path.stat().st_size for path in doomed]
        if not dry_run:
            remove_released(doomed, layout, ledger)
            shutil.rmtree(layout.state / "sources", ignore_errors=True)
    return len(doomed), sum(sizes)


def _spent(layout: Layout, config: RunConfig, ledger: Ledger) -> list[Path]:
    """Spools whose every sample lies in a finished shard; and, once all is packed, those of no record.

    What a shuffle scattered, and the spools behind it, are spent once all its shards are finished. All of it is read
    from the records: the recipe, which may be somebody's own file, is not needed.
    """
    complete = is_complete(config, ledger)
    scatters = bool(ledger.of("placing"))
    packed: Counter[str] = Counter()
    for record in ledger.of("packing"):
        for digest, samples in record.found or ():
            packed[digest] += samples
    spent, recorded = [], set()
    later = ledger.of("judging")
    screened = {stem(i.path): i for r in later if (i := r.output("index")) is not None}
    for record in ledger.of("making"):
        index, spool = record.output("index"), record.output("spool")
        if index is None or spool is None:
            continue
        recorded.add(spool.path)
        wanted = screened.get(stem(index.path), index)
        all_packed = complete if scatters else packed[wanted.digest] == wanted.samples
        if all_packed and (layout.folder / spool.path).exists():
            spent.append(layout.folder / spool.path)
    if complete:
        crawled = layout.state / "crawled"
        spent += [path for path in crawled.glob("*.spool") if layout.relative(path) not in recorded]
        spent += sorted(layout.scattered_folder.glob("*.*"))
    return spent


def is_complete(config: RunConfig, ledger: Ledger) -> bool:
    """Say whether nothing is left to be made, by the records alone."""
    return funnel(total(ledger.records.values()), config).complete and _all_asked_again(config, ledger)


def _all_asked_again(config: RunConfig, ledger: Ledger) -> bool:
    """Whether every round of asking again is through: what a part lost for its reasons has a record in it."""
    parts: dict[tuple[int, int], dict[int, TaskRecord]] = defaultdict(dict)
    for record in ledger.of("making"):
        round_, position, part = record.number
        parts[position, part][round_] = record
    return not any(
        round_ not in records and left.keys() & set(reasons)
        for records in parts.values()
        for round_, reasons in enumerate(config.rounds, 1)
        if (left := failing([record for number, record in records.items() if number < round_]))
    )
