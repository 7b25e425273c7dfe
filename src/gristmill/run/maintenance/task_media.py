"""Media as tasks stored them, also of samples that were dropped since: for whoever shows them to a person."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from gristmill.ledger.run_config import RunConfig
from gristmill.run.inputs.media import Watch, media_of, shared_folder
from gristmill.run.stages._spooled import Spooled
from gristmill.run.state.indexes import body_of
from gristmill.shards.spool import SpoolReader, read_spool
from gristmill.spec.body import LARGE_BYTES, bytes_of
from gristmill.spec.errors import DamagedSource, GristmillError
from gristmill.spec.recipe import Recipe
from gristmill.spec.task import TaskRecord
from gristmill.storage.store import Store

__all__ = ["TaskMedia"]


class TaskMedia:
    """Media of a dataset's tasks: in their spools, as long as those are there, or in media sources.

    Args:
        store: Where the dataset lies.
        recipe: Its recipe, which names the media sources.
        config: What it was begun with.
    """

    def __init__(self, store: Store, recipe: Recipe, config: RunConfig) -> None:
        self._store, self._recipe, self._config = store, recipe, config
        self._opened: dict[str, Any] = {}

    def bodies(self, record: TaskRecord, wanted: Collection[tuple[int, str]]) -> dict[tuple[int, str], bytes]:
        """The bytes of media of one task, by row and name; without those that are gone, changed, or large.

        Nothing is fetched for it.

        Args:
            record: Of the task.
            wanted: Rows and names of media, as fates have them.

        Raises:
            OSError: As the system says.
        """
        found: dict[tuple[int, str], bytes] = {}
        for spool in (each for each in record.outputs if each.role == "spool"):
            if self._store.size(spool.path) is not None:
                path = self._store.fetch(spool.path)
                with SpoolReader(path) as reader:
                    for place, medium in _places(path, wanted).items():
                        try:
                            found[place] = bytes_of(body_of(medium, reader, self._source))
                        except GristmillError:  # it is looked at for a page, which does without
                            continue
        return found

    def _source(self, key: str) -> Any:
        if key not in self._opened:
            files = [file for file in self._config.media_in(len(self._config.rounds)) if file.source == key]
            found = media_of(self._recipe, files, {}, shared_folder(self._store), self._store)
            if not found or not found[0].is_ready:
                raise DamagedSource(f"media source {key!r} is not there as a whole.")
            self._opened[key] = found[0].open(Watch())
        return self._opened[key]


def _places(path: Path, wanted: Collection[tuple[int, str]]) -> dict[tuple[int, str], dict[str, Any]]:
    """Where some media of a spool lie, as an index has it; what was stored last of one counts."""
    places: dict[tuple[int, str], dict[str, Any]] = {}
    for entry in read_spool(path, finished=False, check_bodies=False):
        spooled = Spooled.read(entry.header)
        fate, pointer = spooled.fate, spooled.pointer
        size = fate.size_bytes or 0
        if (fate.row, fate.medium) not in wanted or fate.reason is not None or size > LARGE_BYTES:
            continue
        place: dict[str, Any] = {"source": None, "offset": entry.offset, "size": entry.size}
        if pointer is not None:
            place = {"source": pointer.source, "member": pointer.member, "size": size, "sha256": fate.sha256}
        places[fate.row, fate.medium] = {"crc32": entry.crc32, **place}
    return places
