"""Samples of a mixture's parts that are left out because an earlier part has their media: found, listed, counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.ledger.duplicates import spare_samples
from gristmill.ledger.run_config import SPARE, InputFile
from gristmill.run.inputs.media import shared_folder
from gristmill.run.inputs.mixture_parts import Parts
from gristmill.spec.mixture import Mixture
from gristmill.spec.step import Step
from gristmill.spec.task import digest_of
from gristmill.steps.shuffle import Shuffle
from gristmill.storage.files import sha256_file, whole_file

__all__ = ["without_duplicates"]

_SCHEMA = pa.schema([("input", pa.int32()), ("place", pa.int32())])
_FORMAT = 1
_BATCH_ROWS = 1 << 16


def without_duplicates(step: Step, mixture: Mixture, parts: Parts, folder: Path) -> Parts:
    """The parts with what is left out of each; as they are where the step keeps duplicates.

    The list lies in ``DIR/sources/duplicates``, and is made once for the same shards.

    Args:
        step: The mixture's last.
        mixture: Says how much of each part is taken.
        parts: As they were found.
        folder: Of the mixture.

    Raises:
        UsageError: DuckDB is not installed.
        DamagedOutput: A shard of a part is not what was written.
    """
    if not isinstance(step, Shuffle) or not step.without_duplicates:
        return parts
    inputs = parts.resolved.inputs
    known = [[file.source, file.name, file.digest] for file in inputs]
    path = shared_folder(folder) / SPARE / f"{digest_of([_FORMAT, step.duplicate_bits, known])[:16]}.parquet"
    if not path.exists():
        click.echo("looking for pictures that several parts have", err=True)
        _write(path, parts, step.duplicate_bits)
    counted = pc.value_counts(pq.read_table(path, columns=["input"])["input"]).to_pylist()
    spare = {one["values"]: one["counts"] for one in counted}
    inputs = tuple(replace(file, spare=spare.get(number, 0)) for number, file in enumerate(inputs))
    said = {}
    for part in mixture.parts:
        own = sum(file.spare for file in inputs if file.source == part.name)
        was = parts.said[part.name]
        said[part.name] = {**was, "spare": own, "taken": part.taken(was["samples"] - own)}
    listed = InputFile(
        source=SPARE,
        name=path.name,
        size_bytes=path.stat().st_size,
        digest=sha256_file(path),
        path=str(path.resolve()),
    )
    return replace(parts, resolved=replace(parts.resolved, inputs=inputs, aux=(listed,)), said=said)


def _write(path: Path, parts: Parts, bits: int | None) -> None:
    names = list(parts.said)
    numbers = {(file.source, file.name): n for n, file in enumerate(parts.resolved.inputs)}
    path.parent.mkdir(parents=True, exist_ok=True)
    folders = [Path(parts.resolved.sources[name]) for name in names]
    with (
        TemporaryDirectory(prefix=".gristmill-duplicates-", dir=path.parent) as scratch,
        whole_file(path) as stream,
        pq.ParquetWriter(stream, _SCHEMA, compression="zstd") as writer,
    ):
        rows: list[dict[str, int]] = []
        for dataset, shard, place in spare_samples(folders, Path(scratch), bits=bits):
            rows.append({"input": numbers[names[dataset], shard], "place": place})
            if len(rows) == _BATCH_ROWS:
                writer.write_table(pa.Table.from_pylist(rows, _SCHEMA))
                rows.clear()
        writer.write_table(pa.Table.from_pylist(rows, _SCHEMA))
