"""Removing media sources that no dataset beside them still needs: what was fetched, and indexes.

A dataset needs its media sources until all its samples are packed, and while it waits for a person. What a person put
there stays, and what is removed is fetched and indexed again if a later command asks for it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.run.inputs.local_media import is_fetched
from gristmill.run.inputs.media import INDEXES, fetched_folder
from gristmill.run.inputs.waiting import WAITING, needed_by_waiting, notes_of_waiting
from gristmill.run.maintenance.clean import is_complete
from gristmill.run.stages.index import Index
from gristmill.storage.store import Place, store_at

__all__ = ["CleanedSources", "clean_sources"]


@dataclass(slots=True)
class CleanedSources:
    """The account of what was removed from ``DIR/sources``, or would be, and of what was not.

    Attributes:
        files, size_bytes: Removed.
        needed: Source to the datasets that still need it.
        waiting: Notes of datasets that wait for a person, whose sources stay, too.
        by_hand: Sources that a person put there.
    """

    files: int = 0
    size_bytes: int = 0
    needed: dict[str, list[str]] = field(default_factory=dict)
    waiting: list[Path] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Needs:
    folders: set[Path] = field(default_factory=set)
    indexes: set[str] = field(default_factory=set)
    all_indexes: bool = False  # some are being made, and no record names them yet


def clean_sources(shared: Path, datasets: Sequence[Place], *, dry_run: bool) -> CleanedSources:
    """Remove what no dataset needs.

    Args:
        shared: ``DIR/sources``, or where they lie on this machine of a dataset in an object store.
        datasets: All that share it.
        dry_run: Only look.

    Raises:
        DamagedOutput: A note of what a dataset waits for is no regular file.
        OSError: As the system says.
    """
    cleaned = CleanedSources()
    if not shared.is_dir() or shared.is_symlink():
        return cleaned
    needs = _needs(datasets, shared, cleaned)
    begun = {store_at(dataset).title for dataset in datasets}
    for note in notes_of_waiting(shared):
        if note.name in begun:  # it waits no more
            if not dry_run:
                note.unlink()
            continue
        wanted = needed_by_waiting(note)
        needs.folders.update(wanted)
        needs.indexes.update(path.name for path in wanted)
        cleaned.waiting.append(note)
    for path in list(_unneeded(shared, needs, cleaned)):
        cleaned.files += 1
        cleaned.size_bytes += path.stat().st_size
        if not dry_run:
            path.unlink()
    if not dry_run:
        for folder in shared.glob("*/*/"):
            if is_fetched(folder) and folder not in needs.folders:
                shutil.rmtree(folder)
    return cleaned


def _needs(datasets: Sequence[Place], shared: Path, cleaned: CleanedSources) -> _Needs:
    needs = _Needs()
    for dataset in datasets:
        config, ledger = RunConfig.read(dataset), Ledger(dataset)
        try:
            records = ledger.stage(Index.name)
            if not config.media or is_complete(config, ledger):
                continue
        finally:
            ledger.close()
        keys = dict.fromkeys(file.source for file in config.media)
        for round_ in range(len(config.rounds) + 1):
            for key in keys:
                files = [file for file in config.media_in(round_) if file.source == key]
                if files:
                    needs.folders.add(fetched_folder(shared, files))
        for key in keys:
            cleaned.needed.setdefault(key, []).append(config.name)
        found = [record.found for record in records if isinstance(record.found, dict)]
        needs.indexes |= {name for one in found for name in one.get("indexes", ())}
        needs.all_indexes |= keys.keys() != {one.get("source") for one in found}
    return needs


def _unneeded(shared: Path, needs: _Needs, cleaned: CleanedSources) -> Iterator[Path]:
    for key in sorted(
        path for path in shared.iterdir() if path.is_dir() and path.name not in (INDEXES, WAITING)
    ):
        for path in sorted(key.iterdir()):
            if not is_fetched(path):
                if key.name not in cleaned.by_hand:
                    cleaned.by_hand.append(key.name)
            elif path not in needs.folders:
                yield from (one for one in sorted(path.rglob("*")) if one.is_file() and not one.is_symlink())
    if needs.all_indexes or not (shared / INDEXES).is_dir():
        return
    known = {name.partition(".")[0] for name in needs.indexes}
    for path in sorted((shared / INDEXES).iterdir()):
        if path.name.partition(".")[0] not in known and path.is_file() and not path.is_symlink():
            yield path
