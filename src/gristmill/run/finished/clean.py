"""Removing what finished shards no longer need."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

from gristmill.ledger.ledger import Ledger
from gristmill.run.layout import Layout, stem
from gristmill.run.pipeline import SAMPLES, SIFT
from gristmill.run.queue import TaskQueue
from gristmill.run.released import remove_released
from gristmill.spec.errors import Busy
from gristmill.storage.leases import Leases

__all__ = ["clean"]


def clean(folder: Path, schedule: TaskQueue, ledger: Ledger, *, dry_run: bool) -> tuple[int, int]:
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
        doomed = _spent(layout, schedule, ledger)
        sizes = [path.stat().st_size for path in doomed]
        if not dry_run:
            remove_released(doomed, layout, ledger)
            shutil.rmtree(layout.state / "sources", ignore_errors=True)
    return len(doomed), sum(sizes)


def _spent(layout: Layout, schedule: TaskQueue, ledger: Ledger) -> list[Path]:
    """Spools whose every sample lies in a finished shard; and, once all is packed, those of no record.

    What a shuffle scattered, and the spools behind it, are spent once all its shards are finished.
    """
    packed: Counter[str] = Counter()
    for task_id, task in schedule.packs.items():
        if task_id in ledger.records and not schedule.scatters:
            for shard, (start, stop) in zip(task.inputs, task.decision["slices"], strict=True):
                packed[stem(shard.path)] += stop - start
    spent, recorded = [], set()
    sifted = {stem(i.path): i.samples for r in ledger.stage(SIFT) if (i := r.output("index")) is not None}
    for record in ledger.stage(SAMPLES):
        index, spool = record.output("index"), record.output("spool")
        if index is None or spool is None:
            continue
        recorded.add(spool.path)
        wanted = sifted.get(stem(index.path), index.samples)
        all_packed = schedule.complete if schedule.scatters else packed[stem(index.path)] == wanted
        if all_packed and (layout.folder / spool.path).exists():
            spent.append(layout.folder / spool.path)
    if schedule.complete:
        crawled = layout.state / "crawled"
        spent += [path for path in crawled.glob("*.spool") if layout.relative(path) not in recorded]
        spent += sorted(layout.scattered_folder.glob("*.*"))
    return spent
