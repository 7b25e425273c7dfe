"""Indexes of tasks that make samples: which were kept, their sizes, and where their media lie."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.run.state import layout
from gristmill.shards.spool import SpooledBody, SpoolReader
from gristmill.spec.barrier import PackedRow
from gristmill.spec.body import LARGE_BYTES, PIECE_BYTES, Body, bytes_of
from gristmill.spec.errors import DamagedOutput, DamagedSource, SourceError
from gristmill.spec.media_source import MediaSource
from gristmill.spec.reasons import Reason
from gristmill.spec.task import ShardInfo
from gristmill.storage.store import Store

__all__ = [
    "Sources",
    "attempt_of",
    "body_at",
    "body_of",
    "content_digest",
    "index_at",
    "kept_attempts",
    "lines_of",
    "open_spool",
    "sizes_of",
]

_LINES_AT_ONCE = 256

_ANOTHER = (
    "{} is not what its record says: another command that worked here at the same time has put its own there. Remove "
    "that object, then give the run's command again: its task is done anew."
)

Sources: TypeAlias = Callable[[str], Any]
"""Gives a media source by its key."""


def sizes_of(store: Store, index: ShardInfo) -> list[int]:
    """Stored bytes of each kept sample of an index, in order."""
    table = index_at(store, index)
    sizes: list[int] = table.filter(pa.compute.is_null(table["reason"]))["size_bytes"].to_pylist()
    return sizes


def kept_attempts(store: Store, index: ShardInfo, positions: Any, sources: Sources) -> Iterator[PackedRow]:
    """Samples of a crawl task by their positions among those kept, in any order.

    Args:
        store: Where its files lie.
        index: Its index; the spool lies beside it.
        positions: Integers, shape (samples,).
        sources: For media that stand in media sources.
    """
    table = index_at(store, index)
    table = table.filter(pa.compute.is_null(table["reason"])).take(pa.array(positions))
    with open_spool(store, index) as spool:
        for line in lines_of(table):
            yield attempt_of(line, spool, sources)


def lines_of(table: Any) -> Iterator[dict[str, Any]]:
    """The lines of an index; few are Python objects at once, which take several times the memory of the table."""
    for batch in table.to_batches(max_chunksize=_LINES_AT_ONCE):
        yield from batch.to_pylist()


def open_spool(store: Store, index: ShardInfo) -> SpoolReader:
    """The samples' media, which lie beside the index."""
    return SpoolReader(store.fetch(layout.spool_beside(index), index.digest))


def index_at(store: Store, index: ShardInfo) -> Any:
    """A crawl task's index, as it is now: where its spool was lost, both were written anew.

    Raises:
        DamagedOutput: It is another than its record says, in an object store, where nothing can be locked.
    """
    path = crawled = store.fetch(index.path, index.digest)
    if (first := layout.first_index(index)) != index.path:
        crawled = store.fetch(first)
    found = (path.stat(), crawled.stat())
    versions = tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found)
    table, digest = _read_index(path, crawled, versions)
    if store.local is None and digest() != index.digest:
        raise DamagedOutput(_ANOTHER.format(f"{store}/{index.path}"))
    return table


@lru_cache(maxsize=2)
def _read_index(
    path: Path, crawled: Path, _versions: tuple[tuple[int, int, int], ...]
) -> tuple[Any, Callable[[], str]]:
    """Slices of an index go to at most two neighbouring shards. Its digest is made once, where it is asked for."""
    table = pq.read_table(path)
    digest = cache(partial(content_digest, table))
    if path == crawled:
        return table, digest
    return _with_places(table, pq.read_table(crawled, columns=["media"])), digest


def _with_places(screened: Any, crawled: Any) -> Any:
    """A screened index with the places of media in the spool as they are now: it may have been written anew since."""
    media = [
        [place for place in places if place["name"] in {kept["name"] for kept in own}] if own else []
        for own, places in zip(screened["media"].to_pylist(), crawled["media"].to_pylist(), strict=True)
    ]
    at = screened.schema.get_field_index("media")
    return screened.set_column(at, screened.schema.field(at), pa.array(media, screened.schema.field(at).type))


def content_digest(index: Any) -> str:
    """Over what the samples are, not over where their media happen to lie: the same on every run."""
    digest = hashlib.sha256()
    for line in lines_of(index):
        digest.update(f"{line['position']} {line['row']} {line['reason']}\n".encode())
        digest.update(line["sample"] or b"")
        for medium in line["media"]:
            digest.update(f"{medium['name']} {medium['size']} {medium['crc32']}\n".encode())
    return digest.hexdigest()


def attempt_of(line: dict[str, Any], spool: SpoolReader, sources: Sources) -> PackedRow:
    """A line of an index, with its media; large ones are read as long as the spool is open.

    Raises:
        DamagedOutput: The spool does not hold them any more.
        DamagedSource: A media source does not.
    """
    reason = Reason(line["reason"]) if line["reason"] else None
    bodies = {medium["name"]: body_of(medium, spool, sources) for medium in line["media"]}
    asked = None if line["began_at"] is None else (line["began_at"], line["ended_at"])
    return PackedRow(key=line["key"] or "", stored=line["sample"], reason=reason, bodies=bodies, asked=asked)


def body_of(medium: dict[str, Any], spool: SpoolReader, sources: Sources) -> Body:
    """A medium's body, by what an index says of where it lies: in the spool, or in a media source.

    Raises:
        DamagedOutput: The spool does not hold it any more; of a large one as it is read.
        DamagedSource: A media source does not.
    """
    size = medium["size"]
    if medium["source"] is None:
        return body_at(spool, medium["offset"], size, medium["crc32"])
    key = medium["source"]
    body = _Standing(key, sources(key), medium["member"], size, medium["sha256"])
    return body if size > LARGE_BYTES else bytes_of(body)


def body_at(spool: SpoolReader, offset: int, size: int, crc32: int) -> Body:
    """A body in a spool; a large one is read as long as the spool is open.

    Raises:
        DamagedOutput: It is not there any more; of a large one as it is read.
    """
    large = size > LARGE_BYTES
    return SpooledBody(spool, offset, size, crc32) if large else spool.body(offset, size, crc32)


@dataclass(frozen=True, slots=True)
class _Standing:
    """A body that stands in a media source; see :class:`gristmill.spec.body.LargeBody`."""

    key: str
    source: MediaSource
    member: str
    size_bytes: int
    sha256: str

    def pieces(self) -> Iterator[bytes]:
        """See :class:`gristmill.spec.body.LargeBody`; that they are others is said after the last of them.

        Raises:
            DamagedSource: The media source was changed since the medium was looked at.
        """
        found = hashlib.sha256()
        try:
            with self.source.reopen(self.member) as stream:
                while piece := stream.read(PIECE_BYTES):
                    found.update(piece)
                    yield piece
        except (SourceError, ValueError) as err:
            raise self._changed(str(err)) from err
        if found.hexdigest() != self.sha256:
            raise self._changed(f"{self.member} has another SHA-256.")

    def _changed(self, what: str) -> DamagedSource:
        return DamagedSource(
            f"media source {self.key!r} is not what it was when its media were looked at: {what}\n"
            "Put back the files that the run began with, then give the same command again: no shard was touched."
        )
