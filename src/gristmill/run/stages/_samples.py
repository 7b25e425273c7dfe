"""The second stage: one part, its rows parsed into samples, its media fetched and checked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.ledger.fates import fates_table, write_fates
from gristmill.ledger.run_config import InputFile
from gristmill.run.stages._lines import rows_in
from gristmill.run.stages._previous_rounds import Fates, known_before, take_over
from gristmill.run.stages._quarantine import BELIEVED, Suspects
from gristmill.run.stages._row_states import ROW_FAULTS, Faulty, RowState, account, fates_in_order
from gristmill.run.stages._rows import ROW_COLUMN
from gristmill.run.stages._spooled import Spooled, pieces_in
from gristmill.run.stages._tables import aux_files, fetch_input
from gristmill.run.stages.samples import RetryDecision
from gristmill.run.state import layout
from gristmill.run.state.context import Context, Work
from gristmill.run.state.indexes import content_digest
from gristmill.shards.lossless import utf8
from gristmill.shards.samples import encode_sample
from gristmill.shards.spool import SpoolEntry, SpoolWriter
from gristmill.spec.body import Body, Pointer
from gristmill.spec.errors import RecipeError
from gristmill.spec.fate import Fate, fate_of
from gristmill.spec.locator import Cell, Embedded
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Parse, Recipe
from gristmill.spec.sample import Drop, MediaRef, Origin, Outcome, Sample
from gristmill.spec.soundness import fault_of
from gristmill.spec.step import ADDED, MediaContext, SampleStep, ShardStep, TableStep
from gristmill.spec.task import ShardInfo, Task, decided
from gristmill.storage.store import Store

__all__ = [
    "INDEX_SCHEMA",
    "apply_step",
    "drop_repeated_keys",
    "index_table",
    "parsed",
    "run_samples",
]

R = TypeVar("R")

_SAMPLED = 20
"""If so many rows of a run's first part come to nothing by the recipe's own fault, all of them would."""
_LINES_AT_ONCE = 512

INDEX_SCHEMA = pa.schema(
    [
        pa.field("position", pa.int32()),  # in the part
        pa.field("row", pa.int64()),  # in the upstream file
        pa.field("key", pa.string()),
        pa.field("reason", pa.string()),  # null where kept
        pa.field("sample", pa.binary()),  # null where the row did not parse
        pa.field("size_bytes", pa.int64()),
        pa.field("began_at", pa.float64()),  # when its first medium was asked for, in Unix time
        pa.field("ended_at", pa.float64()),  # and when the last was had or given up; null where none was
        pa.field(
            "media",
            pa.list_(
                pa.struct(
                    [
                        pa.field("name", pa.string()),
                        pa.field(
                            "offset", pa.int64()
                        ),  # in the spool; null where it stands in a media source
                        pa.field("size", pa.int64()),
                        pa.field("crc32", pa.int64()),
                        pa.field("source", pa.string()),  # that media source,
                        pa.field("member", pa.string()),  # where in it,
                        pa.field(
                            "sha256", pa.string()
                        ),  # and what must be there; null where it lies in the spool
                    ]
                )
            ),
        ),
    ]
)
"""One row for each sample attempted: what it is and where its media lie, in the spool or in a media source."""


def run_samples(
    steps: Sequence[SampleStep | ShardStep], recipe: Recipe, task: Task, context: Context, work: Work
) -> None:
    """Parse a part's rows, take them through the steps, write the index, the spool and the fates."""
    source = context.inputs[task.number[1]]
    steps = _equipped(steps, context)
    rows, table = _read_part(task, context)
    states = [RowState(position, row) for position, row in rows.items()]
    number = task.number[1] if source.number is None else source.number

    def place(row: int) -> str:
        return recipe.key.format(file=number, row=row)

    first = recipe.steps[0]
    folder = first.media_folder if isinstance(first, TableStep) else None
    for one, row in zip(states, rows_in(table, source, context, folder), strict=True):
        context.check_stop()
        if isinstance(row, Drop):
            one.take(row)
            continue
        origin = Origin(source=source.source, file=source.name, row=one.row)
        one.take(parsed(recipe.parse, row, origin, place=place(one.row)))
    _check_first(states, source.name, task, context)
    drop_repeated_keys(states)
    box = MediaWriter(task, context)
    before: Fates = {}
    try:
        if task.number[0] and any(one.sample and one.sample.may_have_several for one in states):
            before = known_before(context.store, task, [one.row for one in states])
            take_over(before, context.store, task, box, work)
        for step in steps:
            apply_step(step, states, box)
        box.sync()
    finally:
        box.close()
    _note_faults(states, source.name, work)
    media = list(box.fates.values())
    account(states, media, box.attempt, before, work)
    if named := sum(one.sample.key != place(one.row) for one in states if one.sample and not one.drop):
        work.facts["named"] = named
    if task.number[0]:
        work.retried.update(decided(task, RetryDecision).retried)
    fates = list(fates_in_order(states, media, box.attempt))
    with context.output("fates", layout.fates_of(task), samples=len(fates)) as told:
        write_fates(told.stream, [fates_table(fates, source=source.source, file=source.name)])
    table = index_table(states, box)
    digest = content_digest(table)
    with context.output("index", layout.index(task), samples=work.kept, digest=digest) as index:
        pq.write_table(table, index.stream, compression="zstd")
    spool = context.finished("spool", layout.spool(task), samples=work.kept, digest=digest)
    work.outputs += [index.info, spool, told.info]


def _read_part(task: Task, context: Context) -> tuple[dict[int, int], pa.Table]:
    """Position in the part to row upstream, and the rows themselves: all, or those a retry asks for."""
    table = pq.read_table(context.input(task.inputs[0]))
    rows = dict(enumerate(table[ROW_COLUMN].to_pylist()))
    table = table.drop_columns([ROW_COLUMN])
    if task.number[0] == 0:
        return rows, table
    wanted = failed_positions(context.store, task.inputs[1:], decided(task, RetryDecision).reasons)
    return {position: rows[position] for position in wanted}, table.take(pa.array(wanted, pa.int64()))


def failed_positions(store: Store, indexes: Sequence[ShardInfo], reasons: Sequence[str]) -> list[int]:
    """Positions in a part whose last fate, over the rounds so far, is one of ``reasons``."""
    last: dict[int, str | None] = {}
    for index in indexes:
        table = pq.read_table(store.fetch(index.path), columns=["position", "reason"])
        last.update(zip(table["position"].to_pylist(), table["reason"].to_pylist(), strict=True))
    return sorted(position for position, reason in last.items() if reason in set(reasons))


def parsed(parse: Parse, row: Mapping[str, Any], origin: Origin, place: str) -> Outcome | Faulty:
    """Say what ``parse`` makes of a row; a sample without a key is named after its place upstream."""
    try:
        outcome = parse(row)
    except ROW_FAULTS as err:  # an odd row must cost itself, not the thousands that stand beside it
        return Faulty(f"parse raised {type(err).__name__}: {err}")
    if isinstance(outcome, Sample) and (outcome.key is None or outcome.key == ""):
        outcome = replace(outcome, key=place)
    if fault := fault_of(outcome):
        return Faulty(f"parse: {fault}")
    if isinstance(outcome, Drop):
        return outcome
    upstream = {name: value for name, value in row.items() if not name.startswith(ADDED)}
    media = {name: _placed(ref, origin) for name, ref in outcome.media.items()}
    return replace(outcome, media=media, upstream=without_bodies(upstream, outcome), origin=origin)


def _placed(ref: MediaRef, origin: Origin) -> MediaRef:
    """A medium that lies beside its row, with the place of that."""
    if isinstance(ref.at, Cell) and ref.at.row < 0:
        return replace(ref, at=Cell(origin.source, ref.at.column, origin.row, origin.file))
    return ref


def _check_first(states: Sequence[RowState], file: str, task: Task, context: Context) -> None:
    """Stop before anything is asked for, where it is the recipe that is wrong, and not the rows.

    Raises:
        RecipeError: None of the first rows of a run comes to anything by the recipe's own fault.
    """
    first = states[:_SAMPLED]
    if task.number != (0, context.first, 0) or len(first) < _SAMPLED or not all(one.fault for one in first):
        return
    said = first[0].drop.detail if first[0].drop else ""
    raise RecipeError(
        f"the recipe cannot read its rows: none of the first {_SAMPLED} comes to anything. Row {first[0].row} of "
        f"{file}: {said}. Mend the recipe, then give the same command again: nothing was asked for."
    )


def _note_faults(states: Sequence[RowState], file: str, work: Work) -> None:
    """Say it where a person looks: it may be the recipe that is wrong, and not the rows."""
    faults = [one for one in states if one.fault]
    if faults and faults[0].drop is not None:
        rows = f"{len(faults)} rows, the first" if len(faults) > 1 else "row"
        work.notes.append(
            f"{file}: the recipe failed on {rows} {faults[0].row}: {faults[0].drop.detail}. Once it is mended, under "
            f"the same version, `gristmill retry DIR --reason bad_row` reads what was lost so again."
        )


def without_bodies(row: Mapping[str, Any], sample: Sample) -> Mapping[str, Any]:
    """The row with null wherever the very text stands that one of the sample's media is embedded in."""
    bodies = {id(ref.at.text) for ref in sample.media.values() if isinstance(ref.at, Embedded)}
    return {name: _without(value, bodies) for name, value in row.items()} if bodies else row


def _without(value: Any, bodies: set[int]) -> Any:
    if id(value) in bodies:
        return None
    if type(value) is dict:
        return {name: _without(item, bodies) for name, item in value.items()}
    return [_without(item, bodies) for item in value] if type(value) is list else value


def _equipped(steps: Sequence[SampleStep | ShardStep], context: Context) -> Sequence[SampleStep | ShardStep]:
    """The steps with the side files that they work with."""
    aux = aux_files(context)
    return [step.with_aux(aux) if isinstance(step, SampleStep) else step for step in steps]


def drop_repeated_keys(states: Sequence[RowState]) -> None:
    """Drop all samples of a key but the first: two of one name cannot lie in a shard.

    The stage ``unique`` looks beyond the part.
    """
    seen: set[str] = set()
    for one in states:
        if one.sample and one.drop is None:
            if one.sample.key in seen:
                one.drop = Drop(reason=Reason.DUPLICATE_KEY, detail=one.sample.key)
            seen.add(one.sample.key)


def apply_step(step: SampleStep | ShardStep, states: Sequence[RowState], box: MediaContext) -> None:
    """Take those samples that still live through one step."""
    living = [one for one in states if one.drop is None]
    samples = [one.sample for one in living if one.sample is not None]
    results: Iterable[Outcome | Faulty]
    if isinstance(step, ShardStep):
        results = step.apply(samples, box)
    else:
        results = (_stepped(step, sample) for sample in samples)
    for one, outcome in zip(living, results, strict=True):
        fault = None if isinstance(outcome, Faulty) else fault_of(outcome, stored=True)
        one.take(Faulty(f"{step.name}: {fault}") if fault else outcome)


def _stepped(step: SampleStep, sample: Sample) -> Outcome | Faulty:
    try:
        return step.apply(sample)
    except ROW_FAULTS as err:
        return Faulty(f"{step.name} raised {type(err).__name__}: {err}")


class OwnFile:
    """A :class:`gristmill.spec.media_source.ParquetSource` of the one annotation file that a task is about."""

    def __init__(self, own: InputFile, context: Context) -> None:
        self._own, self._context = own, context

    @property
    def files(self) -> Mapping[str, Path]:
        """The file, fetched if it is not there."""
        return {self._own.name: fetch_input(self._own, self._context)}


class MediaWriter:
    """A :class:`gristmill.spec.step.MediaContext` over the spool of one task."""

    def __init__(self, task: Task, context: Context) -> None:
        path = context.store.work(layout.spool(task))
        path.parent.mkdir(parents=True, exist_ok=True)
        self.stop: Event = context.stop
        self.grace_s = context.grace_s
        self.attempt = task.number[0]
        self._task, self._context, self._path = task, context, path
        self._spool = SpoolWriter(path)
        self.fates: dict[tuple[int, str], Fate] = {}
        self._spooled: dict[tuple[int, str], tuple[Spooled, SpoolEntry]] = {}
        self._scratch = ExitStack()
        self._scratch_path: Path | None = None
        for entry in self._spool.entries:
            self._take(Spooled.read(entry.header), entry)

    @property
    def shared(self) -> Path:
        """See :class:`gristmill.spec.step.MediaContext`."""
        return self._context.store.work(layout.HOSTS)

    @property
    def kept(self) -> Path:
        """See :class:`gristmill.spec.step.MediaContext`."""
        return self._context.shared / layout.KEPT

    def _take(self, spooled: Spooled, entry: SpoolEntry) -> None:
        place = (spooled.fate.row, spooled.fate.medium)
        self.fates[place], self._spooled[place] = spooled.fate, (spooled, entry)

    def places_of(self, row: int, medium: str) -> Iterator[dict[str, Any]]:
        """Say where a kept medium lies, as the index has it: one place, or of a video's frames one each."""
        spooled, entry = self._spooled[row, medium]
        return spooled.places(entry.offset, entry.size, entry.crc32)

    def done(self) -> Mapping[tuple[int, str], Fate]:
        """See :class:`gristmill.spec.step.MediaContext`."""
        return dict(self.fates)

    def store(
        self, fate: Fate, body: Body | None, pointer: Pointer | None = None, pieces: Sequence[int] = ()
    ) -> None:
        """See :class:`gristmill.spec.step.MediaContext`."""
        fate.attempt = self.attempt
        fate.url = fate.url and _utf8(fate.url)  # an address may hold half a surrogate pair
        fate.detail = _utf8(fate.detail)
        fate.finished_at = round(time.time(), 3)
        pairs = tuple(pieces_in(body, pieces)) if body is not None and pieces else ()
        self._append(Spooled(fate=fate, pointer=pointer, pieces=pairs), body)

    def portions(self, samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
        """See :class:`gristmill.spec.step.MediaContext`: all at once, unless they killed a worker before."""
        if self._task.id not in self._context.careful:
            yield samples
            return
        suspects = Suspects(self._path.with_suffix(".suspects"))
        for sample in samples:
            if sample.row == suspects.culprit:
                self._give_up(sample)
        yield from suspects.portions(samples)

    def _give_up(self, sample: Sample) -> None:
        killed = self._context.careful[self._task.id]
        reason = Reason.KILLED if killed else Reason.INTERNAL_ERROR
        said = f"{BELIEVED} worker processes in a row died over it alone"
        for name in sample.media:
            if (sample.row, name) not in self.fates:
                self.store(fate_of(sample, name, reason=reason, detail=said), None)

    def take_over(self, spooled: Spooled, body: Body | None) -> None:
        """Keep a medium of an earlier round, as that round accounted for it."""
        self._append(spooled, body)

    def _append(self, spooled: Spooled, body: Body | None) -> None:
        self._take(spooled, self._spool.append(spooled.header(), body))

    def scratch(self) -> Path:
        """See :class:`gristmill.spec.step.MediaContext`."""
        if self._scratch_path is None:
            self._scratch_path = self._scratch.enter_context(self._context.scratch(self._task))
        return self._scratch_path

    def progress(self, done: int, reasons: Mapping[str, int], bytes_in: int) -> None:
        """See :class:`gristmill.spec.step.MediaContext`."""
        self._context.report(self._task, done, self._task.inputs[0].samples, reasons, bytes_in)

    def source(self, key: str) -> Any:
        """See :class:`gristmill.spec.step.MediaContext`."""
        own = self._context.inputs[self._task.number[1]]
        return OwnFile(own, self._context) if key == own.source else self._context.media_source(key)

    def resource(self, key: Any, make: Callable[[], R]) -> R:
        """See :class:`gristmill.spec.step.MediaContext`."""
        return self._context.resource(key, make)

    def sync(self) -> None:
        """Make the spool durable."""
        self._spool.sync()

    def close(self) -> None:
        """Close the spool; scratch goes."""
        self._spool.close()
        self._scratch.close()


def _utf8(text: str) -> str:
    return text if text.isascii() else utf8(text).decode()


def index_table(states: Sequence[RowState], box: MediaWriter) -> pa.Table:
    """Make the index, some lines at a time: as Python objects they take several times its memory."""
    batches = []
    for start in range(0, len(states), _LINES_AT_ONCE):
        lines = [_index_line(one, box) for one in states[start : start + _LINES_AT_ONCE]]
        batches.append(pa.RecordBatch.from_pylist(lines, schema=INDEX_SCHEMA))
    return pa.Table.from_batches(batches, INDEX_SCHEMA).combine_chunks()


def _index_line(one: RowState, box: MediaWriter) -> dict[str, Any]:
    body = encode_sample(one.sample) if one.sample else None
    names = [(one.row, name) for name in one.sample.media] if one.sample else []
    fates = [box.fates[name] for name in names if name in box.fates]
    asked = [(f.finished_at - (f.elapsed_s or 0), f.finished_at) for f in fates if f.finished_at is not None]
    kept = one.sample.media if one.sample and not one.drop else ()
    media = [place for name in kept for place in box.places_of(one.row, name)]
    return {
        "position": one.position,
        "row": one.row,
        "key": one.sample.key if one.sample else None,
        "reason": str(one.drop.reason) if one.drop else None,
        "sample": body,
        "size_bytes": sum(medium["size"] for medium in media) + len(body or b""),
        "began_at": round(min(began for began, _ in asked), 3) if asked else None,
        "ended_at": max(ended for _, ended in asked) if asked else None,
        "media": media,
    }
