"""Removing what finished shards no longer need."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.run.state import layout
from gristmill.run.state.spent import is_complete, spent
from gristmill.spec.errors import Busy
from gristmill.storage.store import Place, Store, store_at

__all__ = ["abandoned", "clean", "is_complete", "lies_here"]

_FULL = (errno.ENOSPC, errno.EDQUOT)


def clean(place: Place, config: RunConfig, ledger: Ledger, *, dry_run: bool) -> tuple[int, int]:
    """Remove media whose shards are finished, what a shuffle scattered, logs of void tasks, fetched annotations.

    Once all is made, what was fetched of a video page that gave none goes, too. Of a dataset in an object store media
    go that lie on this machine, too.

    Indexes and parts stay: they are small, and ``retry`` needs them.

    Returns:
        Files and bytes removed, or to be removed.

    Raises:
        Busy: A run works on this folder.
        OSError: As the system says; a full disk is no hindrance.
    """
    store = store_at(place)
    with store.leases(layout.LEASES) as leases:
        if not leases.take("run"):
            raise Busy(f"a run works on {store}; clean it when that has ended.")
        there = {one.name: one.size_bytes for one in store.list(layout.CRAWLED)}
        there |= {one.name: one.size_bytes for one in store.list(layout.SCATTERED)}
        doomed = [name for name in spent(config, ledger) if name in there]
        halves: list[Path] = []
        recorded = {shard.path for record in ledger.records.values() for shard in record.outputs}
        complete = is_complete(config, ledger)
        copies = [] if store.local else list(_copies(store, None if complete else recorded))
        if complete:  # of no record, too
            doomed += [
                name
                for name in there
                if name not in recorded and (name.endswith(".spool") or name.startswith(layout.SCATTERED))
            ]
            halves = [path for path in sorted(store.work(layout.HOSTS).glob("*/*/**/*")) if path.is_file()]
        size_bytes = sum(there[name] for name in doomed) + sum(
            path.lstat().st_size for path in (*halves, *copies)
        )
        if not dry_run:
            _remove(doomed, ledger)
            for folder in {path.parent for path in halves}:
                shutil.rmtree(folder, ignore_errors=True)
            for path in copies:
                path.unlink(missing_ok=True)
            shutil.rmtree(store.work(layout.SOURCES), ignore_errors=True)
    return len(doomed) + len(halves) + len(copies), size_bytes


def _copies(store: Store, recorded: set[str] | None) -> Iterator[Path]:
    """Spools on this machine that were put into an object store; without ``recorded`` unfinished ones as well."""
    for path in store.work(layout.CRAWLED).glob("*.spool*"):  # and the tags beside them
        if recorded is None or f"{layout.CRAWLED}/{path.name.removesuffix('.tag')}" in recorded:
            yield path


def lies_here(store: Store) -> tuple[Path, int]:
    """Say where on this machine lies what is under way of a dataset in an object store, and how many bytes that are.

    A list that was fetched stays there as long as the dataset does, and is not counted.
    """
    folder, own, lists = store.work(""), store.work(layout.LEASES), store.work(layout.LISTS)
    return folder, sum(
        p.lstat().st_size
        for p in folder.rglob("*")
        if p.is_file() and p != own and p.parent != folder and not p.is_relative_to(lists)
    )


def abandoned(place: Store, *, remove: bool = False) -> Iterator[tuple[Store, int]]:
    """Say what lies on this machine of datasets at or below a place in an object store that are there no more.

    Args:
        place: Where to look.
        remove: Remove that, too.

    Returns:
        Of each its place, and how many bytes.
    """
    for store in place.under_way_here():
        if RunConfig.lies_in(store):
            continue
        with store.leases(layout.LEASES) as leases:
            if leases.take("run"):  # else a command is about to begin it
                folder = store.work("")
                files = [path for path in folder.rglob("*") if path.is_file()]
                yield store, sum(path.lstat().st_size for path in files)
                if remove:
                    shutil.rmtree(folder)


def _remove(names: list[str], ledger: Ledger) -> None:
    """Note that files are not needed any more, and remove them.

    A note needs a few bytes. If the disk has none left it comes when they are gone; after a kill in between, whoever
    opens the folder next knows by the records that they were spent.
    """
    noted = False
    try:
        ledger.release(names)
        noted = True
    except OSError as err:
        if err.errno not in _FULL:
            raise
    for name in names:
        ledger.store.delete(name)
    if not noted:
        ledger.release(names)
