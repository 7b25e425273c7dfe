"""Samples of a mixture's parts that are left out: found before it is mixed, listed with their reason, counted.

A part's conditions are looked at first: of what they leave out no later part's picture is a duplicate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import click
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.ledger.duplicates import spare_samples
from gristmill.ledger.reading import samples_in
from gristmill.ledger.run_config import LEFT_OUT, InputFile
from gristmill.run.inputs.media import shared_folder
from gristmill.run.inputs.mixture_parts import Parts
from gristmill.shards.webdataset import ShardSample
from gristmill.spec.condition import Condition
from gristmill.spec.errors import UsageError
from gristmill.spec.mixture import Mixture, Part
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Json
from gristmill.spec.step import Step
from gristmill.spec.task import ShardInfo, digest_of
from gristmill.steps.shuffle import Shuffle
from gristmill.storage.files import scratch_folder, sha256_file, whole_file
from gristmill.storage.store import Place

__all__ = ["without_left_out"]

_SCHEMA = pa.schema([("input", pa.int32()), ("place", pa.int32()), ("reason", pa.string())])
_FORMAT = 2
_BATCH_ROWS = 1 << 16
_LARGE_BYTES = 4096
_COLUMNS_SHOWN = 20


def without_left_out(step: Step, mixture: Mixture, parts: Parts, folder: Place) -> Parts:
    """The parts with what is left out of each; as they are where no part has conditions and duplicates are kept.

    The list lies in ``DIR/sources/left-out``, and is made once for the same shards.

    Args:
        step: The mixture's last.
        mixture: Says how much of each part is taken.
        parts: As they were found.
        folder: Of the mixture.

    Raises:
        UsageError: DuckDB is not installed, or no sample of a part has a column that its conditions name.
        DamagedOutput: A shard of a part is not what was written.
    """
    compared = isinstance(step, Shuffle) and step.without_duplicates
    bits = step.duplicate_bits if isinstance(step, Shuffle) and compared else None
    conditions = {part.name: part.where for part in mixture.parts if part.where}
    if not compared and not conditions:
        return parts
    inputs = parts.resolved.inputs
    known = [[file.source, file.name, file.digest] for file in inputs]
    digest = digest_of([_FORMAT, compared, bits, conditions, known])
    path = shared_folder(folder) / LEFT_OUT / f"{digest[:16]}.parquet"
    if not path.exists():
        _write(path, mixture, parts, compared=compared, bits=bits)
    counted = pc.value_counts(pq.read_table(path, columns=["input"])["input"]).to_pylist()
    spare = {one["values"]: one["counts"] for one in counted}
    inputs = tuple(replace(file, spare=spare.get(number, 0)) for number, file in enumerate(inputs))
    said = {}
    for part in mixture.parts:
        own = sum(file.spare for file in inputs if file.source == part.name)
        was = parts.said[part.name]
        said[part.name] = {**was, "spare": own, "taken": part.taken(was["samples"] - own)}
    listed = InputFile(
        source=LEFT_OUT,
        name=path.name,
        size_bytes=path.stat().st_size,
        digest=sha256_file(path),
        path=str(path.resolve()),
    )
    return replace(parts, resolved=replace(parts.resolved, inputs=inputs, aux=(listed,)), said=said)


def _write(path: Path, mixture: Mixture, parts: Parts, *, compared: bool, bits: int | None) -> None:
    with (
        scratch_folder(path) as scratch,
        whole_file(path) as stream,
        pq.ParquetWriter(stream, _SCHEMA, compression="zstd") as writer,
    ):
        unmet: dict[tuple[str, str], set[int]] = {}
        for part in mixture.parts:
            if part.where:
                click.echo(f"{part.name}: looking which samples meet {' and '.join(part.where)}", err=True)
                unmet |= _unmet(part, parts)
        numbers = {(file.source, file.name): n for n, file in enumerate(parts.resolved.inputs)}
        places = ((numbers[where], place) for where, some in unmet.items() for place in sorted(some))
        _append(writer, places, Reason.LEFT_OUT)
        if compared:
            click.echo("looking for pictures that several parts have", err=True)
            _append(writer, _duplicates(parts, numbers, unmet, scratch, bits), Reason.DUPLICATE_PICTURE)


def _append(writer: pq.ParquetWriter, places: Iterable[tuple[int, int]], reason: Reason) -> None:
    rows: list[dict[str, Json]] = []
    for number, place in places:
        rows.append({"input": number, "place": place, "reason": str(reason)})
        if len(rows) == _BATCH_ROWS:
            writer.write_table(pa.Table.from_pylist(rows, _SCHEMA))
            rows.clear()
    writer.write_table(pa.Table.from_pylist(rows, _SCHEMA))


def _duplicates(
    parts: Parts,
    numbers: Mapping[tuple[str, str], int],
    unmet: Mapping[tuple[str, str], set[int]],
    scratch: Path,
    bits: int | None,
) -> Iterator[tuple[int, int]]:
    names = list(parts.said)
    folders = [parts.places[name] for name in names]

    def is_left_out(dataset: int, shard: str, place: int) -> bool:
        return place in unmet.get((names[dataset], shard), ())

    for dataset, shard, place in spare_samples(folders, scratch, bits=bits, without=is_left_out):
        yield numbers[names[dataset], shard], place


def _unmet(part: Part, parts: Parts) -> dict[tuple[str, str], set[int]]:
    """Places of the samples of a part that do not meet its conditions, by part and shard.

    Raises:
        UsageError: No sample has a column that they name.
    """
    conditions = [Condition.read(text) for text in part.where]
    having: Counter[str] = Counter()
    columns: dict[str, None] = {}
    found: dict[tuple[str, str], set[int]] = {}
    samples = 0
    for file in parts.resolved.inputs:
        if file.source != part.name:
            continue
        some: set[int] = set()
        for place, row in enumerate(_columns_of(parts.places[part.name], file)):
            having.update(one.column for one in conditions if one.has(row))
            columns |= dict.fromkeys(row) if samples == 0 else {}
            samples += 1
            if not all(one.holds(row) for one in conditions):
                some.add(place)
        found[part.name, file.name] = some
    missing = [one.column for one in conditions if not having[one.column]]
    if missing and samples:
        raise UsageError(
            f"part {part.name}: none of its {samples:,} samples has {', '.join(map(repr, missing))}. The first has "
            f"{', '.join([*columns][:_COLUMNS_SHOWN])}; what lies deeper is named by its path, as upstream.score."
        )
    return found


def _columns_of(folder: Place, file: InputFile) -> Iterator[dict[str, Json]]:
    """What the ``json`` part of each sample of a shard says, what stands in its ``columns`` at the top as well."""
    shard = ShardInfo(
        path=file.name,
        role="shard",
        samples=file.samples or 0,
        size_bytes=file.size_bytes,
        digest=file.digest,
    )
    for sample in samples_in(folder, shard, large_bytes=_LARGE_BYTES):
        yield _columns(sample)


def _columns(sample: ShardSample) -> dict[str, Json]:
    try:
        said = orjson.loads(sample.parts.get("json", b"{}"))
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(said, dict):
        return {}
    hidden = said.get("columns")
    return {**said, **hidden} if isinstance(hidden, dict) else said
