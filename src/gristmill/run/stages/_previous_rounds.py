"""What earlier rounds know of documents that a retry asks for again: their media are asked for again one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.run.stages._spooled import Spooled, fate_from
from gristmill.run.stages.samples import RetryDecision
from gristmill.run.state import layout
from gristmill.run.state.context import Work
from gristmill.run.state.indexes import body_at, open_spool
from gristmill.shards.spool import read_spool
from gristmill.spec.body import Body
from gristmill.spec.errors import DamagedOutput
from gristmill.spec.fate import Fate
from gristmill.spec.part_names import medium_of
from gristmill.spec.reasons import Reason
from gristmill.spec.task import Task, decided
from gristmill.storage.store import Store

__all__ = ["Fates", "key_of", "known_before", "take_over"]

Fates = Mapping[tuple[int, str], Fate]
_FIELDS = tuple(field.name for field in fields(Fate))


class Box(Protocol):
    """Says where the task's media are kept."""

    fates: dict[tuple[int, str], Fate]

    def take_over(self, spooled: Spooled, body: Body | None) -> None:
        """Keep a medium of an earlier round."""


def known_before(store: Store, task: Task, rows: Sequence[int]) -> Fates:
    """The last fates, over the rounds before, of all media of some rows, by row and medium.

    A medium that failed has the name that the recipe gave it; one that was had, that of a part, which ends with its
    format.
    """
    found: dict[tuple[int, str], Fate] = {}
    for index in task.inputs[1:]:
        table = pq.read_table(store.fetch(layout.fates_beside(index)), columns=list(_FIELDS))
        wanted = pa.array(np.isin(table["row"].to_numpy(), rows))
        for values in table.filter(wanted).to_pylist():
            fate = fate_from(values)
            if fate.medium:
                found[key_of(fate)] = fate
    return found


def key_of(fate: Fate) -> tuple[int, str]:
    """The row and the medium that a fate is of, whatever the medium is stored as."""
    return fate.row, medium_of(fate.medium)


def take_over(before: Fates, store: Store, task: Task, box: Box, work: Work) -> None:
    """Put what is known and is not to be asked for again into the task's own box.

    That is: media that were had, with their bytes, and media that failed for reasons which this round does not ask
    about. Bytes that ``clean`` has removed are asked for again, with a note. So are those that only a pointer was
    kept to: the media source may have more files by now.
    """
    again = {*decided(task, RetryDecision).reasons, str(Reason.NOT_NEEDED)}
    here = {key_of(fate) for fate in box.fates.values()}
    had = {key for key, fate in before.items() if fate.reason is None and key not in here}
    for spooled, body in _bodies(store, task, had):
        if body is not None:
            box.take_over(spooled, body)
        had.discard(key_of(spooled.fate))
    if had:
        work.notes.append(
            f"{len(had)} pictures that an earlier round had are cleaned away: they are asked for again."
        )
    for key, fate in before.items():
        if fate.reason is not None and str(fate.reason) not in again and key not in here:
            box.take_over(Spooled(fate=fate), None)


def _bodies(store: Store, task: Task, wanted: set[tuple[int, str]]) -> Iterator[tuple[Spooled, Body | None]]:
    """Kept media out of the spools of earlier rounds, as far as those are whole; None if only pointed to."""
    for index in reversed(task.inputs[1:]):
        with suppress(DamagedOutput, FileNotFoundError), open_spool(store, index) as spool:
            for entry in read_spool(Path(spool.path), check_bodies=False):
                spooled = Spooled.read(entry.header)
                if key_of(spooled.fate) in wanted and spooled.fate.reason is None:
                    pointed = spooled.pointer is not None
                    yield spooled, None if pointed else body_at(spool, entry.offset, entry.size, entry.crc32)
