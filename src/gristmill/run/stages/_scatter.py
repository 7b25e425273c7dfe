"""The first half of a shuffle: one input, and for each of its samples the place it goes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from typing import Any, BinaryIO
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.ledger.fates import not_kept_table, write_fates
from gristmill.ledger.reading import PartShards, shard_at
from gristmill.ledger.run_config import LEFT_OUT, InputFile
from gristmill.run.stages._rows import fetch_input
from gristmill.run.stages.scatter import ScatterDecision
from gristmill.run.state import layout
from gristmill.run.state.context import Context, Output, Work
from gristmill.run.state.indexes import kept_attempts
from gristmill.shards.extents import EXTENT, LargeExtent, find_extents, key_hash, key_of
from gristmill.shards.placed import Holder, read_placed
from gristmill.shards.references import ShardOrigin, is_references, read_referred
from gristmill.shards.samples import StoredSample
from gristmill.shards.scattered import ROW, write_scattered
from gristmill.spec.barrier import GlobalShuffle, PackedRow, Places
from gristmill.spec.body import Body, pieces_of
from gristmill.spec.errors import DamagedOutput
from gristmill.spec.reasons import Reason
from gristmill.spec.task import ShardInfo, Task, decided, digest_of
from gristmill.storage.files import sha256_file
from gristmill.storage.store import StoredFile

__all__ = ["bodies_of", "run_scatter"]

Array = Any


def bodies_of(rows: ShardInfo, context: Context) -> StoredFile:
    """Say where the bodies can be read that were copied for a file of rows."""
    return StoredFile(context.store, layout.bodies_beside(rows.path))


def run_scatter(
    step: GlobalShuffle, task: Task, decision: ScatterDecision, context: Context, work: Work
) -> None:
    """Give each sample of one input its place; write the rows, and the bodies too where they must move."""
    places = step.places(decision.samples, decision.earlier)
    if places.note and task.number[1:] == (0, 0):  # said once
        work.notes.append(places.note)
    if task.inputs[0].role == "source":
        rows, head = _of_shard(step, places, task, context, work)
    else:
        rows, head = _of_crawl(places, task, context, work)
    bounds = [places.bounds(shard)[0] for shard in range(places.shards)]
    starts = np.searchsorted(rows["place"], [*bounds, places.kept])
    with context.output("index", layout.scattered(task), samples=work.kept, digest=_digest(task)) as out:
        write_scattered(out.stream, rows, starts, head)
    work.outputs.append(out.info)


def _digest(task: Task) -> str:
    """Of what was scattered, not of where its bytes happen to lie: the same on every run."""
    return digest_of([task.identity, task.inputs[0].digest, task.decision])


def _bodies(task: Task, context: Context, work: Work) -> AbstractContextManager[Output]:
    """The file that bodies are copied into, in the order of their places."""
    name = layout.bodies_beside(layout.scattered(task))
    return context.output("spool", name, samples=work.kept, digest=_digest(task))


def _placed(places: Places, start: int, samples: int) -> tuple[Array, Array, Array]:
    """Of samples in order: those with a place, by place; their places; and those without one."""
    at = places.of(start, start + samples)
    order = np.argsort(at)
    cut = int(np.searchsorted(at[order], places.kept))
    return order[:cut], at[order[:cut]], np.sort(order[cut:])


def _of_shard(
    step: GlobalShuffle, places: Places, task: Task, context: Context, work: Work
) -> tuple[Array, dict[str, Any]]:
    """A finished shard of a part: its samples stay where they are, or are copied in the order of their places."""
    shard, position = task.inputs[0], task.number[1]
    decision = decided(task, ScatterDecision)
    extents, files = _found(task, decision.prefix, context)
    if len(extents) != shard.samples:
        raise DamagedOutput(
            f"{context.inputs[position].path} holds {len(extents):,} samples, its dataset's manifest says "
            f"{shard.samples:,}."
        )
    spare = _left_out(position, decision, context)
    copies = np.zeros(len(extents), dtype=np.int64)
    left = np.setdiff1d(np.arange(len(extents)), np.concatenate([np.empty(0, np.int64), *spare.values()]))
    copies[left] = 1 if decision.share is None else decision.share.copies(len(left), step)
    taken = np.repeat(np.arange(len(extents)), copies)
    nth = np.arange(len(taken)) - np.repeat(np.cumsum(copies) - copies, copies)
    order, at, beyond = _placed(places, decision.start, len(taken))
    rows = np.empty(len(order), dtype=ROW)
    rows["place"], rows["copy"], rows["sample"] = at, nth[order], taken[order]
    for name in ("offset", "size", "crc32", "key", "file"):
        rows[name] = extents[name][taken[order]]
    lost = {
        Reason.NOT_CHOSEN: left[copies[left] == 0],
        **spare,
        places.drop: taken[beyond],
    }
    _account(work, copies, len(order), lost)
    _write_fates(task, context, work, lost)
    head = {"input": position, "files": list(map(asdict, files)), "prefix": decision.prefix}
    if step.copies or (_lies_far(task, context) and not step.refers):
        rows, head["files"] = _copied(files, rows, task, context, work), None
    return rows, head


def _lies_far(task: Task, context: Context) -> bool:
    """Tell whether the input is in an object store: there each sample would be a request when it is gathered."""
    return _part_shard(task, context).store.local is None


def _part_shard(task: Task, context: Context) -> StoredFile:
    """The shard of a part that a task scatters."""
    file = context.inputs[task.number[1]]
    shard = shard_at(context.store, file)
    if shard is None:
        raise DamagedOutput(f"{context.store} does not say where {file.name[:200]!r} of {file.source} lies.")
    return shard


def _found(task: Task, prefix: str, context: Context) -> tuple[Array, list[ShardOrigin]]:
    """The samples of an input, in order, each with the number of the file it lies in; and these files."""
    source, file = context.inputs[task.number[1]], _part_shard(task, context)

    def tell(samples: int) -> None:
        context.check_stop()
        context.report(task, samples, task.inputs[0].samples, {}, 0)

    if is_references(source.name):
        return _referred(file, source, prefix, tell)
    extents = find_extents(file.fetch(), source.digest, tell, prefix, str(file))
    rows = np.zeros(len(extents), dtype=ROW)
    for name in EXTENT.fields or ():
        rows[name] = extents[name]
    return rows, [ShardOrigin(part=source.source, shard=source.name)]


def _referred(
    file: StoredFile, source: InputFile, prefix: str, tell: Callable[[int], None]
) -> tuple[Array, list[ShardOrigin]]:
    """The samples that an index-only mixture refers to. They are read: their keys and sums must be known."""
    path = file.fetch()
    if sha256_file(path) != source.digest:
        raise DamagedOutput(f"{file} is not what was written. Make that mixture anew, or restore the file.")
    files: dict[ShardOrigin, int] = {}
    tables = [np.empty(0, dtype=ROW)]
    inner = PartShards(file.store)
    found = 0
    for origins, rows, origin, extents in read_referred(path, inner.place):
        tell(found)
        number = [
            files.setdefault(replace(each, part=f"{source.source}/{each.part}"), len(files))
            for each in origins
        ]
        table = np.zeros(len(rows), dtype=ROW)
        for name in ("offset", "size", "crc32"):
            table[name] = rows[name]
        table["file"] = np.array(number)[origin]
        table["key"] = [key_hash(prefix.encode() + key_of(extent)) for extent in extents]
        tables.append(table)
        found += len(rows)
    return np.concatenate(tables), list(files)


def _left_out(position: int, decision: ScatterDecision, context: Context) -> dict[Reason, Array]:
    """Places of the samples of an input that are left out, by reason; int64, in order."""
    if not decision.without:
        return {}
    listed = next(file for file in context.aux if file.source == LEFT_OUT)
    table = pq.read_table(fetch_input(listed, context), filters=[("input", "==", position)])
    places, reasons = (
        table["place"].to_numpy().astype(np.int64),
        table["reason"].to_numpy(zero_copy_only=False),
    )
    return {Reason(reason): np.sort(places[reasons == reason]) for reason in dict.fromkeys(reasons.tolist())}


def _account(work: Work, copies: Array, kept: int, lost: dict[Reason, Array]) -> None:
    """Samples in are those of the input, and each further copy one more."""
    repeated = int(np.maximum(copies - 1, 0).sum())
    work.samples_in = len(copies) + repeated
    work.kept = kept
    work.facts["repeated"] = repeated
    work.dropped.update({str(reason): len(rows) for reason, rows in lost.items() if len(rows)})


def _write_fates(task: Task, context: Context, work: Work, left_out: dict[Reason, Array]) -> None:
    """A line for each sample of a part that is in no shard: its position in the part's shard, and why."""
    source = context.inputs[task.number[1]]
    tables = [
        not_kept_table(pa.array(rows), reason, "", source=source.source, file=source.name)
        for reason, rows in left_out.items()
        if len(rows)
    ]
    if tables:
        count = sum(table.num_rows for table in tables)
        with context.output("fates", layout.fates_of(task), samples=count) as out:
            write_fates(out.stream, tables)
        work.outputs.append(out.info)


def _copied(files: Sequence[ShardOrigin], rows: Array, task: Task, context: Context, work: Work) -> Array:
    """The same rows with their bodies in a file of their own, in order."""
    parts = PartShards(context.store, context.inputs)
    holders = [
        Holder(file=parts.place(each.part, each.shard), prefix=each.prefix, suffix=each.suffix)
        for each in files
    ]
    plain, rows = rows.copy(), rows.copy()
    plain["copy"], rows["file"] = 0, 0  # copies get their keys when they are gathered
    at = row = 0
    with _bodies(task, context, work) as out:
        for extents in read_placed(holders, plain, plain["file"], lambda samples: context.check_stop()):
            for extent in extents:
                size, crc = _written(extent, out.stream)
                rows["offset"][row], rows["size"][row], rows["crc32"][row] = at, size, crc
                at, row = at + size, row + 1
    work.outputs.append(out.info)
    return rows


def _of_crawl(places: Places, task: Task, context: Context, work: Work) -> tuple[Array, dict[str, Any]]:
    """The samples of a crawl task: their tar members are made here, in the order of their places."""
    index = task.inputs[0]
    order, at, beyond = _placed(places, decided(task, ScatterDecision).start, index.samples)
    work.samples_in, work.kept = index.samples, len(order)
    if len(beyond):
        work.dropped[str(places.drop)] = len(beyond)
    rows = np.zeros(len(order), dtype=ROW)  # without keys, which are unique in a recipe by its own word
    rows["place"], rows["sample"] = at, order
    offset = 0
    with _bodies(task, context, work) as out:
        for i, attempt in enumerate(kept_attempts(context.store, index, order, context.media_source)):
            context.check_stop()
            size, crc = _written(_extent(attempt), out.stream)
            rows["offset"][i], rows["size"][i], rows["crc32"][i] = offset, size, crc
            offset += size
            context.report(task, i, index.samples, {}, 0)
    work.outputs.append(out.info)
    return rows, {"input": task.number[1], "files": None, "prefix": ""}


def _written(extent: Body, stream: BinaryIO) -> tuple[int, int]:
    """Write a sample; returns its bytes and their CRC-32."""
    size = crc = 0
    for piece in pieces_of(extent):
        stream.write(piece)
        size, crc = size + len(piece), crc32(piece, crc)
    return size, crc


def _extent(attempt: PackedRow) -> LargeExtent:
    """A sample as its bytes in a shard."""
    if attempt.stored is None:
        raise DamagedOutput(
            f"sample {attempt.key} was kept and is not there. This is a bug; please report it."
        )
    parts = StoredSample.read(attempt.stored).parts(attempt.bodies)
    return LargeExtent(tuple((f"{attempt.key}.{part}", body) for part, body in parts))
