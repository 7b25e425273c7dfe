"""The second half of a shuffle: one output shard, out of what every input gives to it."""

from __future__ import annotations

import os
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import numpy as np

from gristmill.run.stages._hashing import HashingStream
from gristmill.run.stages._scatter import bodies_of
from gristmill.run.stages.gather import GatherDecision
from gristmill.run.state.context import Context, Work, file_info
from gristmill.shards.extents import parts_of, renamed
from gristmill.shards.scattered import read_scattered
from gristmill.shards.shape import Shape
from gristmill.shards.spool import SpoolReader
from gristmill.shards.webdataset import TarWriter
from gristmill.spec.errors import DamagedOutput, UsageError
from gristmill.spec.task import Task
from gristmill.storage.files import whole_file

__all__ = ["run_gather"]

_WINDOW_BYTES = 16 << 20
_WINDOW_SAMPLES = 4096
_OPEN_FILES = 128
Array = Any


def run_gather(task: Task, decision: GatherDecision, context: Context, work: Work) -> None:
    """Read the samples that go to one shard, in the order of their places, and write it.

    Bodies are read a window at a time, and within a window in the order in which they lie: memory is that of the
    rows, 40 bytes a sample of one shard, and of a window.
    """
    first, last = decision.places
    work.samples_in = work.kept = last - first
    gathered = _Gathered(task, decision, context)
    if not np.array_equal(gathered.rows["place"], np.arange(first, last)):
        raise DamagedOutput(
            f"shard {task.number[2]}: what was scattered for it has gaps. Remove {context.layout.scattered_folder} "
            "and give the same command again."
        )
    path, shape = context.layout.shard(task.number[2], ".tar"), Shape()
    with whole_file(path) as stream, HashingStream(stream) as hashing:
        tar = TarWriter(cast(BinaryIO, hashing))
        with _Bodies(gathered.paths) as bodies:
            for window in _windows(gathered.rows["size"]):
                context.check_stop()
                extents = gathered.extents(window, bodies)
                for extent in extents:
                    shape.take(parts_of(extent))
                tar.extend(b"".join(extents))
                context.report(task, window.stop, work.samples_in, {}, 0)
        tar.close()
    work.outputs.append(file_info(context.layout, path, "shard", work.kept, hashing.hexdigest()))
    work.facts["bytes_out"] += hashing.size
    work.shape = shape.text()


class _Gathered:
    """The rows of one output shard, by place, and where their bodies lie."""

    def __init__(self, task: Task, decision: GatherDecision, context: Context) -> None:
        self.paths: list[Path | str] = []
        self._prefixes: list[str] = []
        tables, counts = [], []
        for scattered in task.inputs:
            path = os.path.join(context.folder, scattered.path)
            head, rows = read_scattered(path, decision.shard)
            source = head["source"]
            self.paths.append(bodies_of(Path(path)) if source is None else context.inputs[source].path or "")
            self._prefixes.append(head["prefix"])
            tables.append(rows)
            counts.append(len(rows))
        rows = np.concatenate(tables)
        order = np.argsort(rows["place"])
        self.rows = rows[order]
        self._files = np.repeat(np.arange(len(counts), dtype=np.int32), counts)[order]
        self._as_they_are = not any(self._prefixes) and not rows["copy"].any()

    def extents(self, window: slice, bodies: _Bodies) -> list[bytes]:
        """The samples of a window, in order."""
        rows, files = self.rows[window], self._files[window]
        by_file = np.lexsort((rows["offset"], files))
        sizes, offsets, crcs = (rows[name][by_file].tolist() for name in ("size", "offset", "crc32"))
        read: list[bytes] = []
        bounds = np.flatnonzero(np.diff(files[by_file], prepend=-1, append=-1)).tolist()
        for first, last in pairwise(bounds):
            file = int(files[by_file[first]])
            read += bodies.read(file, sizes[first:last], offsets[first:last], crcs[first:last])
        found: list[bytes] = [b""] * len(rows)
        for i, body in zip(by_file.tolist(), read, strict=True):
            found[i] = body
        return found if self._as_they_are else self._renamed(found, rows["copy"].tolist(), files.tolist())

    def _renamed(self, extents: list[bytes], copies: Sequence[int], files: Sequence[int]) -> list[bytes]:
        return [
            extent if not (copy or self._prefixes[file]) else _renamed(extent, self._prefixes[file], copy)
            for extent, copy, file in zip(extents, copies, files, strict=True)
        ]


def _renamed(extent: bytes, prefix: str, copy: int) -> bytes:
    """A sample under its part's prefix, the second copy as ``KEY-2``."""
    suffix = f"-{copy + 1}" if copy else ""
    try:
        return renamed(extent, lambda key: f"{prefix}{key}{suffix}")
    except ValueError as err:
        raise UsageError(f"{err}. Give that part a shorter prefix, or a weight of at most 1.") from err


def _windows(sizes: Array) -> Iterator[slice]:
    """Runs of samples that are read together: at least one, else at most so many and so many bytes."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + _WINDOW_BYTES, side="right"))
        stop = max(start + 1, min(stop, start + _WINDOW_SAMPLES, len(ends)))
        yield slice(start, stop)
        start = stop


class _Bodies:
    """Open files by number, not too many at once."""

    def __init__(self, paths: Sequence[Path | str]) -> None:
        self._paths = paths
        self._open: OrderedDict[int, SpoolReader] = OrderedDict()

    def read(self, file: int, sizes: list[int], offsets: list[int], crcs: list[int]) -> list[bytes]:
        """The bytes of some samples of one file.

        Raises:
            DamagedOutput: They are not those that were there when they were scattered.
        """
        reader = self._open.get(file)
        if reader is None:
            if len(self._open) >= _OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            reader = self._open[file] = SpoolReader(self._paths[file])
        fd, pread = reader.fileno(), os.pread
        read = [pread(fd, size, offset) for size, offset in zip(sizes, offsets, strict=True)]
        if list(map(len, read)) == sizes and list(map(zlib.crc32, read)) == crcs:
            return read
        # the kernel gave less than it was asked for, and more is to be read; or the file says what is wrong
        return [reader.body(*one) for one in zip(offsets, sizes, crcs, strict=True)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reader in self._open.values():
            reader.close()
        self._open.clear()
