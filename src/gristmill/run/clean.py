"""Removing what finished shards no longer need."""

from __future__ import annotations

import shutil
from pathlib import Path

from gristmill.ledger.ledger import Ledger
from gristmill.run.layout import Layout
from gristmill.run.schedule import Schedule
from gristmill.run.stages import PACK, SAMPLES
from gristmill.spec.errors import Busy
from gristmill.storage.leases import Leases

__all__ = ["clean"]


def clean(folder: Path, schedule: Schedule, ledger: Ledger, *, dry_run: bool) -> tuple[int, int]:
    """Remove media whose shards are finished, logs of tasks that are void, and fetched annotation files.

    Indexes and parts stay: they are small, and ``retry`` needs them.

    Returns:
        Files and bytes removed, or to be removed.

    Raises:
        Busy: A run works on this folder.
    """
    layout = Layout(folder)
    with Leases(layout.leases) as leases:
        held = [task_id for task_id in ledger.records if not leases.take(task_id)]
        if held:
            raise Busy(f"a run works on {folder}; clean it when that has ended.")
        doomed = _spent(layout, schedule, ledger)
        sizes = [path.stat().st_size for path in doomed]
        if not dry_run:
            ledger.release([layout.relative(path) for path in doomed])
            for path in doomed:
                path.unlink()
            shutil.rmtree(layout.state / "sources", ignore_errors=True)
    return len(doomed), sum(sizes)


def _spent(layout: Layout, schedule: Schedule, ledger: Ledger) -> list[Path]:
    """Spools that no shard still to be packed needs, and those of no record."""
    waiting = {
        shard.path
        for task_id, task in schedule.packs.items()
        if task_id not in ledger.records
        for shard in task.inputs
    }
    packed = {
        shard.path
        for task_id, task in schedule.packs.items()
        if task_id in ledger.records and task.stage == PACK
        for shard in task.inputs
    }
    spent = []
    recorded = set()
    for record in ledger.stage(SAMPLES):
        index, spool = record.output("index"), record.output("spool")
        if index is None or spool is None:
            continue
        recorded.add(spool.path)
        unneeded = index.path in packed - waiting or (schedule.settled and index.path not in waiting)
        if unneeded and (layout.folder / spool.path).exists():
            spent.append(layout.folder / spool.path)
    crawled = layout.state / "crawled"
    stray = (
        [p for p in crawled.glob("*.spool") if layout.relative(p) not in recorded] if schedule.settled else []
    )
    return spent + stray
