"""Indexes of crawl tasks: which samples were kept, their sizes, and where in the spool their media lie."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.run.state.layout import stem
from gristmill.shards.spool import SpoolReader
from gristmill.spec.barrier import PackedRow
from gristmill.spec.reasons import Reason
from gristmill.spec.task import ShardInfo

__all__ = ["attempt_of", "index_at", "kept_attempts", "lines_of", "sizes_of", "spool_of"]

_LINES_AT_ONCE = 256


def sizes_of(folder: Path, index: ShardInfo) -> list[int]:
    """Stored bytes of each kept sample of an index, in order."""
    table = index_at(folder / index.path)
    sizes: list[int] = table.filter(pa.compute.is_null(table["reason"]))["size_bytes"].to_pylist()
    return sizes


def kept_attempts(index: Path, positions: Any) -> Iterator[PackedRow]:
    """Samples of a crawl task by their positions among those kept, in any order.

    Args:
        index: Its index; the spool stands beside it.
        positions: Integers, shape (samples,).
    """
    table = index_at(index)
    table = table.filter(pa.compute.is_null(table["reason"])).take(pa.array(positions))
    with SpoolReader(spool_of(index)) as spool:
        for line in lines_of(table):
            yield attempt_of(line, spool)


def lines_of(table: Any) -> Iterator[dict[str, Any]]:
    """The lines of an index; few are Python objects at once, which take several times the memory of the table."""
    for batch in table.to_batches(max_chunksize=_LINES_AT_ONCE):
        yield from batch.to_pylist()


def spool_of(index: Path) -> Path:
    """Where the samples' media lie: beside the index."""
    return index.with_name(f"{stem(index)}.spool")


def index_at(path: Path) -> Any:
    """A crawl task's index, as it is now: where its spool was lost, both were written anew."""
    crawled = path.with_name(f"{stem(path)}.index.parquet")
    found = (path.stat(), crawled.stat())
    return _read_index(path, crawled, tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found))


@lru_cache(maxsize=2)
def _read_index(path: Path, crawled: Path, _versions: tuple[tuple[int, int, int], ...]) -> Any:
    """Slices of an index go to at most two neighbouring shards."""
    table = pq.read_table(path)
    return table if path == crawled else _with_places(table, pq.read_table(crawled, columns=["media"]))


def _with_places(screened: Any, crawled: Any) -> Any:
    """A sifted index with the places of media in the spool as they are now: it may have been written anew since."""
    media = [
        [place for place in places if place["name"] in {kept["name"] for kept in own}] if own else []
        for own, places in zip(screened["media"].to_pylist(), crawled["media"].to_pylist(), strict=True)
    ]
    at = screened.schema.get_field_index("media")
    return screened.set_column(at, screened.schema.field(at), pa.array(media, screened.schema.field(at).type))


def attempt_of(line: dict[str, Any], spool: SpoolReader) -> PackedRow:
    """A line of an index, with its media."""
    reason = Reason(line["reason"]) if line["reason"] else None
    bodies = {m["name"]: spool.body(m["offset"], m["size"], m["crc32"]) for m in line["media"]}
    asked = None if line["began_at"] is None else (line["began_at"], line["ended_at"])
    return PackedRow(key=line["key"] or "", stored=line["sample"], reason=reason, bodies=bodies, asked=asked)
