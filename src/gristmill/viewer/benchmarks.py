"""Pictures that were found in evaluation sets, each beside the set's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.ledger.features import evenly
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.spec.errors import SourceError
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import CHANGES
from gristmill.spec.task import TaskRecord
from gristmill.steps.decontaminate import Decontaminate
from gristmill.steps.hash_list import HashList, KnownPicture, read_lists, thumbnails_in
from gristmill.viewer.lost import visible
from gristmill.viewer.samples import Decoders, ShownPicture

__all__ = ["Bodies", "Pair", "Pairs", "benchmark_pairs"]

_PAIRS = 24
_TASKS_READ = 24
_SIDE_PX = 120
_MARKED = f"{CHANGES}.{Reason.BENCHMARK_PICTURE}_kept"
_COLUMNS = ["file", "row", "medium", "reason", "phash"]

Bodies: TypeAlias = Callable[[TaskRecord, Collection[tuple[int, str]]], Mapping[tuple[int, str], bytes]]
"""Gives the bytes of media of a task, by row and name; without those that are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two pictures that are one.

    Attributes:
        ours: That of the dataset; None where its bytes are gone.
        theirs: That of the evaluation set; None where the list holds no small pictures.
        place: Where ours stands upstream.
        item: Whose picture theirs is.
        likeness: How near they are, in words.
    """

    ours: ShownPicture | None
    theirs: ShownPicture | None
    place: str
    item: str
    likeness: str


@dataclass(slots=True, kw_only=True)
class Pairs:
    """Pairs to look at.

    Attributes:
        shown: At most 24, evenly spread over those that were looked at.
        marked: Samples with such a picture were kept.
        trouble: Why there are none, in a sentence; empty if nothing is wrong.
    """

    shown: list[Pair] = field(default_factory=list)
    marked: bool = False
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class _Found:
    """Holds one picture that a set has, too."""

    record: TaskRecord
    file: str
    row: int
    medium: str
    known: KnownPicture


def benchmark_pairs(config: RunConfig, ledger: Ledger, bodies: Bodies | None) -> Pairs:
    """At most 24 pictures of the dataset with those of evaluation sets that they are like, the same on every call.

    They are those of samples that were dropped or marked, of at most 24 tasks. Pictures of either side are made small
    in a decoder's process.

    Args:
        config: What the dataset was begun with.
        ledger: Its records.
        bodies: Where the dataset's pictures are had from; None shows the sets' alone.

    Raises:
        OSError: As the system says.
    """
    step = next((each for each in config.identity["steps"] if each["step"] == Decontaminate.name), None)
    if step is None:
        return Pairs()
    records = sorted(filter(_has_some, ledger.of("making")), key=lambda record: record.number)
    marked = step.get("action") == "mark"
    lists = [Path(file.path) for file in config.aux if file.source == Decontaminate.name and file.path]
    if not records or not lists:
        return Pairs()
    try:
        known = read_lists(lists)
        found = [
            one
            for record in evenly(records, _TASKS_READ)
            for one in _of_task(ledger, record, known, int(step["max_distance"]), marked)
        ]
        found = evenly(found, _PAIRS)
        thumbnails = thumbnails_in(lists, {(one.known.set, one.known.name) for one in found})
    except (SourceError, FileNotFoundError) as err:
        return Pairs(
            trouble=f"No pictures of evaluation sets are shown, for their hash lists are gone: {err}"
        )
    with Decoders() as decoders:
        own = _own(found, bodies) if bodies else {}
        shown = [_pair(one, own.get(_key(one)), thumbnails, decoders) for one in found]
    return Pairs(shown=shown, marked=marked)


def _has_some(record: TaskRecord) -> bool:
    return bool(record.dropped.get(Reason.BENCHMARK_PICTURE) or record.facts.get(_MARKED))


def _of_task(
    ledger: Ledger, record: TaskRecord, known: HashList, bits: int, marked: bool
) -> Iterator[_Found]:
    """The first few of a task's pictures that are in a set, by the hashes in its fates."""
    found = 0
    for fates in (shard for shard in record.outputs if shard.role == "fates"):
        if ledger.store.size(fates.path) is None:
            continue
        table = pq.read_table(ledger.store.fetch(fates.path), columns=_COLUMNS)
        lost = table.filter(pc.is_valid(table["reason"]))
        of_sets = lost.filter(pc.equal(lost["reason"], str(Reason.BENCHMARK_PICTURE)))
        among = pc.is_in(table["row"], (lost if marked else of_sets)["row"].combine_chunks())
        good = pc.and_(pc.is_valid(table["phash"]), pc.is_null(table["reason"]))
        pictures: pa.Table = table.filter(pc.and_(good, pc.invert(among) if marked else among))
        for batch in pictures.to_batches(max_chunksize=256):
            for fate in batch.to_pylist():
                if found < _PAIRS and (like := known.picture(fate["phash"], bits)):
                    found += 1
                    yield _Found(record, fate["file"], fate["row"], fate["medium"], like)


def _key(one: _Found) -> tuple[str, int, str]:
    return one.record.task_id, one.row, one.medium


def _own(found: list[_Found], bodies: Bodies) -> dict[tuple[str, int, str], bytes]:
    """The bytes of the dataset's pictures, task by task."""
    wanted: dict[str, tuple[TaskRecord, set[tuple[int, str]]]] = {}
    for one in found:
        wanted.setdefault(one.record.task_id, (one.record, set()))[1].add((one.row, one.medium))
    return {
        (task, *place): body
        for task, (record, places) in wanted.items()
        for place, body in bodies(record, places).items()
    }


def _pair(
    one: _Found, body: bytes | None, thumbnails: Mapping[tuple[str, str], bytes], decoders: Decoders
) -> Pair:
    known = one.known
    theirs = thumbnails.get((known.set, known.name))
    bits = f"{known.bits} bit{'' if known.bits == 1 else 's'} off"
    return Pair(
        ours=decoders.small(body, _SIDE_PX) if body else None,
        theirs=decoders.small(theirs, _SIDE_PX) if theirs else None,
        place=visible(f"{one.file}, row {one.row:,}, {one.medium}"),
        item=visible(f"{known.set}/{known.name}"),
        likeness=f"{known.variant}, {bits}" if known.variant else bits,
    )
