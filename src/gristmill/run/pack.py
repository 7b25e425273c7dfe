"""The last stage: slices of finished samples, put into one shard."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.run.context import Context, Work, file_info
from gristmill.run.layout import stem
from gristmill.shards.samples import decode_sample
from gristmill.shards.spool import SpoolReader
from gristmill.spec.barrier import Attempt, Barrier, Slice
from gristmill.spec.errors import DamagedOutput
from gristmill.spec.reasons import Reason
from gristmill.spec.task import Role, ShardInfo, Task
from gristmill.storage.files import whole_file

__all__ = ["HashingStream", "kept_attempts", "run_pack", "sizes_of"]

_LINES_AT_ONCE = 256


def run_pack(step: Barrier, task: Task, context: Context, work: Work) -> None:
    """Make one output shard; or account for samples that the decision leaves out."""
    slices = [
        Slice(shard=shard, start=start, stop=stop)
        for shard, (start, stop) in zip(task.inputs, task.decision["slices"], strict=True)
    ]
    work.samples_in = sum(piece.stop - piece.start for piece in slices)
    if task.decision["drop"]:
        work.dropped[task.decision["drop"]] = work.samples_in
        return
    work.kept = work.samples_in
    step.apply(slices, ShardBox(task, context, work))


def sizes_of(folder: Path, index: ShardInfo) -> list[int]:
    """Stored bytes of each kept sample of an index, in order."""
    table = _index(folder / index.path)
    sizes: list[int] = table.filter(pa.compute.is_null(table["reason"]))["size_bytes"].to_pylist()
    return sizes


def kept_attempts(index: Path, positions: Any) -> Iterator[Attempt]:
    """Samples of a crawl task by their positions among those kept, in any order.

    Args:
        index: Its index; the spool stands beside it.
        positions: Integers, shape (samples,).
    """
    table = _index(index)
    table = table.filter(pa.compute.is_null(table["reason"])).take(pa.array(positions))
    with SpoolReader(_spool_of(index)) as spool:
        for batch in table.to_batches(max_chunksize=_LINES_AT_ONCE):
            for line in batch.to_pylist():
                yield _attempt(line, spool)


def _spool_of(index: Path) -> Path:
    return index.with_name(f"{stem(index)}.spool")


def _index(path: Path) -> Any:
    """A crawl task's index, as it is now: where its spool was lost, both were written anew."""
    crawled = path.with_name(f"{stem(path)}.index.parquet")
    found = (path.stat(), crawled.stat())
    return _read_index(path, crawled, tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found))


@lru_cache(maxsize=2)
def _read_index(path: Path, crawled: Path, _versions: tuple[tuple[int, int, int], ...]) -> Any:
    """Slices of an index go to at most two neighbouring shards."""
    table = pq.read_table(path)
    return table if path == crawled else _with_places(table, pq.read_table(crawled, columns=["media"]))


def _with_places(sifted: Any, crawled: Any) -> Any:
    """A sifted index with the places of media in the spool as they are now: it may have been written anew since."""
    media = [
        [place for place in places if place["name"] in {kept["name"] for kept in own}] if own else []
        for own, places in zip(sifted["media"].to_pylist(), crawled["media"].to_pylist(), strict=True)
    ]
    at = sifted.schema.get_field_index("media")
    return sifted.set_column(at, sifted.schema.field(at), pa.array(media, sifted.schema.field(at).type))


class ShardBox:
    """A :class:`gristmill.spec.step.PackBox` over indexes and spools."""

    def __init__(self, task: Task, context: Context, work: Work) -> None:
        self._task, self._context, self._work = task, context, work
        self._done = 0

    def attempts(self, piece: Slice) -> Iterator[Attempt]:
        """See :class:`gristmill.spec.step.PackBox`."""
        path = self._context.folder / piece.shard.path
        table = _index(path)
        start, stop = _bounds(table, piece)
        with SpoolReader(_spool_of(path)) as spool:
            for line in table.slice(start, stop - start).to_pylist():
                self._context.check_stop()
                yield _attempt(line, spool)
                self._done += 1
                self._context.report(self._task, self._done, self._work.samples_in, {}, 0)

    @contextmanager
    def write(self, suffix: str, role: Role) -> Iterator[BinaryIO]:
        """See :class:`gristmill.spec.step.PackBox`."""
        path = self._context.layout.shard(self._task.number[2], suffix)
        with whole_file(path) as stream:
            hashing = HashingStream(stream)
            yield cast(BinaryIO, hashing)
        digest = hashing.digest.hexdigest()
        samples = self._work.kept if role == "shard" else 0
        self._work.outputs.append(file_info(self._context.layout, path, role, samples, digest))
        self._work.facts["bytes_out"] += hashing.size


class HashingStream:
    """Passes writes on and hashes them."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()
        self.size = 0
        self.closed = False

    def write(self, body: bytes) -> int:
        """Write and hash."""
        self.digest.update(body)
        self.size += len(body)
        return self._stream.write(body)

    def tell(self) -> int:
        """Bytes written."""
        return self.size

    def flush(self) -> None:
        """Pass on."""
        self._stream.flush()

    def close(self) -> None:
        """The owner of the stream closes it."""

    def writable(self) -> bool:
        """True."""
        return True

    def readable(self) -> bool:
        """False."""
        return False

    def seekable(self) -> bool:
        """False."""
        return False


def _bounds(table: Any, piece: Slice) -> tuple[int, int]:
    """Lines of the index that belong to a slice: each failed row goes with the kept one before it."""
    kept: Sequence[int] = pa.compute.indices_nonzero(pa.compute.is_null(table["reason"])).to_pylist()
    if len(kept) != piece.shard.samples:
        raise DamagedOutput(f"{piece.shard.path}: {len(kept)} samples, its record says {piece.shard.samples}")
    start = 0 if piece.start == 0 else kept[piece.start]
    stop = table.num_rows if piece.stop >= len(kept) else kept[piece.stop]
    return start, stop


def _attempt(line: dict[str, Any], spool: SpoolReader) -> Attempt:
    sample = decode_sample(line["sample"]) if line["sample"] else None
    reason = Reason(line["reason"]) if line["reason"] else None
    bodies = {m["name"]: spool.body(m["offset"], m["size"], m["crc32"]) for m in line["media"]}
    return Attempt(key=line["key"] or "", sample=sample, reason=reason, bodies=bodies)
