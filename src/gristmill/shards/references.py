"""References to samples that lie in other datasets' shards: Parquet, a row for each sample of an index-only mixture.

========  ==============  ==========================================================================================
column    type            what it says
========  ==============  ==========================================================================================
part      string          name of the part; of a mixture in a mixture ``OUTER/INNER``
shard     string          path of the shard in the folder of that part
sample    uint32          number of the sample within what the mixture read of the part
offset    int64           where its bytes begin in the shard, headers included
size      int64           how many there are, padding included
crc32     uint32          of these bytes
prefix    string          what its key has in front in the mixture
suffix    string          what its key has behind it: ``-2`` for the second copy
========  ==============  ==========================================================================================
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.shards.placed import Holder, read_placed
from gristmill.shards.webdataset import ShardSample, read_stream
from gristmill.spec.body import bytes_of
from gristmill.spec.errors import DamagedOutput
from gristmill.storage.store import StoredFile

__all__ = [
    "ShardOrigin",
    "is_references",
    "read_references",
    "read_referred",
    "sample_of",
    "write_references",
]

_END = bytes(1024)
_ROWS_AT_ONCE = 1 << 16
_WORDS = ("part", "shard", "prefix", "suffix")
_NUMBERS = {"sample": pa.uint32(), "offset": pa.int64(), "size": pa.int64(), "crc32": pa.uint32()}
_ROW = np.dtype([("sample", "<u4"), ("offset", "<i8"), ("size", "<i8"), ("crc32", "<u4"), ("copy", "<u4")])
Array = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardOrigin:
    """Says where samples come from: the shard of a part, and what their keys are given in the mixture."""

    part: str
    shard: str
    prefix: str = ""
    suffix: str = ""


def is_references(path: str) -> bool:
    """True of the path of such a file, and False of that of a shard."""
    return path.endswith(".parquet")


def write_references(stream: BinaryIO, origins: Sequence[ShardOrigin], rows: Array, origin: Array) -> None:
    """Write such a file.

    Args:
        stream: Where to.
        origins: Where the samples come from.
        rows: Structured array with ``sample``, ``offset``, ``size``, ``crc32`` and ``copy``, in the order of places.
        origin: For each row the number of its origin.
    """
    origins, origin = _with_copies(origins, rows["copy"], origin)
    words = [_coded([getattr(each, name) for each in origins]) for name in _WORDS]
    schema = pa.schema(
        [
            *((name, pa.dictionary(pa.int32(), pa.string())) for name in _WORDS[:2]),
            *_NUMBERS.items(),
            *((name, pa.dictionary(pa.int32(), pa.string())) for name in _WORDS[2:]),
        ]
    )
    with pq.ParquetWriter(stream, schema, compression="zstd", use_dictionary=[*_WORDS]) as writer:
        for start in range(0, max(1, len(rows)), _ROWS_AT_ONCE):
            some, which = rows[start : start + _ROWS_AT_ONCE], origin[start : start + _ROWS_AT_ONCE]
            columns = {
                **{
                    name: pa.DictionaryArray.from_arrays(pa.array(codes[which]), values)
                    for name, (codes, values) in zip(_WORDS, words, strict=True)
                },
                **{name: pa.array(some[name], kind) for name, kind in _NUMBERS.items()},
            }
            writer.write_table(pa.table([columns[name] for name in schema.names], schema=schema))


def _with_copies(
    origins: Sequence[ShardOrigin], copies: Array, origin: Array
) -> tuple[Sequence[ShardOrigin], Array]:
    """The same with the number of the copy in the suffix, and each origin once, in the order of the rows."""
    most = int(copies.max(initial=0)) + 1
    pairs, first, number = np.unique(
        origin.astype(np.int64) * most + copies, return_index=True, return_inverse=True
    )
    order = np.argsort(first)
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    found = []
    for pair in pairs[order].tolist():
        each, copy = origins[pair // most], pair % most
        found.append(replace(each, suffix=f"{each.suffix}-{copy + 1}") if copy else each)
    return found, place[number]


def _coded(words: list[str]) -> tuple[Array, pa.Array]:
    """For each origin the number of its word, int32, and the words."""
    known = {word: number for number, word in enumerate(dict.fromkeys(words))}
    return np.array([known[word] for word in words], np.int32), pa.array(list(known), pa.string())


def read_references(path: Path) -> Iterator[tuple[list[ShardOrigin], Array, Array]]:
    """Read such a file some thousands of rows at a time: origins, rows, and for each row the number of its origin.

    Raises:
        DamagedOutput: It is no such file.
        FileNotFoundError, OSError: As the system says.
    """
    try:
        with pq.ParquetFile(path, read_dictionary=list(_WORDS)) as file:
            _check_columns(path, file.schema_arrow)
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                yield _plain(path, batch)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError) as err:
        raise DamagedOutput(f"{path} is no list of references: {err}") from err


def _check_columns(path: Path, schema: pa.Schema) -> None:
    wrong = [name for name, kind in _NUMBERS.items() if schema.field(name).type != kind]
    wrong += [name for name in _WORDS if not pa.types.is_dictionary(schema.field(name).type)]
    if wrong:
        raise DamagedOutput(f"{path} is no list of references: column {wrong[0]} has another type.")


def _plain(path: Path, batch: pa.RecordBatch) -> tuple[list[ShardOrigin], Array, Array]:
    if any(column.null_count for column in batch.columns):
        raise DamagedOutput(f"{path} is no list of references: a value is missing.")
    rows = np.zeros(batch.num_rows, _ROW)
    for name in _NUMBERS:
        rows[name] = batch.column(name).to_numpy(zero_copy_only=False)
    code = np.zeros(batch.num_rows, np.int64)
    for name in _WORDS:
        column = batch.column(name)
        code = code * max(1, len(column.dictionary)) + column.indices.to_numpy(zero_copy_only=False)
    _, first, number = np.unique(code, return_index=True, return_inverse=True)
    words = {name: batch.column(name).take(pa.array(first)).to_pylist() for name in _WORDS}
    return [ShardOrigin(**{name: words[name][i] for name in _WORDS}) for i in range(len(first))], rows, number


def read_referred(
    path: Path, place_of: Callable[[str, str], StoredFile]
) -> Iterator[tuple[list[ShardOrigin], Array, Array, list[bytes]]]:
    """Read such a file together with the samples: as :func:`read_references`, a window at a time, and their bytes.

    Args:
        path: The file.
        place_of: Finds the shard of a part.

    Raises:
        DamagedOutput: It is no such file, or a shard does not hold what it says.
        OSError: As the system says.
    """
    places: dict[tuple[str, str], StoredFile] = {}
    for origins, rows, origin in read_references(path):
        for each in origins:
            if (each.part, each.shard) not in places:
                places[each.part, each.shard] = place_of(each.part, each.shard)
        holders = [
            Holder(file=places[each.part, each.shard], prefix=each.prefix, suffix=each.suffix)
            for each in origins
        ]
        at = 0
        for extents in read_placed(holders, rows, origin):
            window = slice(at, at + len(extents))
            yield origins, rows[window], origin[window], list(map(bytes_of, extents))
            at += len(extents)


def sample_of(extent: bytes, where: Path | str = "a sample") -> ShardSample:
    """A sample out of its bytes in a shard.

    Raises:
        DamagedOutput: They are none.
    """
    sample: ShardSample | None = None
    whole = extent + _END
    for _, key, part, body in read_stream(io.BytesIO(whole), len(whole), where):
        sample = sample or ShardSample(key, 0)
        if key != sample.key or part in sample.parts:
            raise DamagedOutput(f"{where}: what is referred to is not one sample.")
        sample.parts[part] = body
    if sample is None:
        raise DamagedOutput(f"{where}: what is referred to holds no sample.")
    return sample
