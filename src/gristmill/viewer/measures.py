"""Counts statuses, sizes and times over the fates. They are summed batch by batch, so memory stays constant."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

__all__ = ["FILES_READ", "Histogram", "Measures", "Rate", "batches", "evenly_read", "measure"]

T = TypeVar("T")
FILES_READ = 500
"""Of more fates files only so many, evenly spread, are read."""

_COLUMNS = (
    "row",
    "medium",
    "reason",
    "status",
    "elapsed_s",
    "finished_at",
    "original_width_px",
    "original_height_px",
    "size_bytes",
    "phash_distance",
    "duration_s",
    "fps",
)
_INTERVALS_S = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400),
)
_RATE_BINS = 60
_DAY_S = 86_400

_SHORT_SIDE_PX = (0, 64, 128, 192, 256, 336, 448, 512, 640, 768, 1024, 1536, 2048, 3072, np.inf)
_STORED_BYTES = (*(1000 * k for k in (0, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)), np.inf)
_VIDEO_BYTES = (
    *(1_000_000 * mb for mb in (0, 0.1, 0.2, 0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100)),
    np.inf,
)
_DURATION_S = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 120, 180, 300, 600, np.inf)
_FPS = (0, 1, 3, 6, 9, 11, 14, 17, 22, 23.9, 24.5, 26, 29.9, 30.5, 49, 59, 61, np.inf)
_ELAPSED_S = (0, 0.05, 0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, np.inf)
_PHASH_DISTANCE = (0, 1, *range(3, 35, 2), np.inf)  # 0, then pairs 1-2, 3-4, ..., then beyond

Counts = npt.NDArray[np.int64]


@dataclass(slots=True)
class Histogram:
    """Numbers of values between ``edges``; the last edge is infinite."""

    edges: Sequence[float]
    counts: Counts

    @classmethod
    def empty(cls, edges: Sequence[float]) -> Histogram:
        """Nothing counted yet."""
        return cls(edges, np.zeros(len(edges) - 1, dtype=np.int64))

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count values."""
        places = np.searchsorted(np.asarray(self.edges[1:-1]), values, side="right")
        self.counts += np.bincount(places, minlength=len(self.counts))

    @property
    def total(self) -> int:
        """Values counted."""
        return int(self.counts.sum())

    def median(self) -> float | None:
        """The value below which half of all lie, interpolated within its interval; None without values."""
        if not self.total:
            return None
        below = np.cumsum(self.counts)
        place = int(np.searchsorted(below, self.total / 2))
        low, high = self.edges[place], self.edges[place + 1]
        if not np.isfinite(high):
            return float(low)
        inside = (self.total / 2 - (below[place] - self.counts[place])) / self.counts[place]
        return float(low + inside * (high - low))


@dataclass(slots=True)
class Rate:
    """Media finished per interval, from the first to the last."""

    start_s: float
    interval_s: float
    kept: Counts
    lost: Counts

    @classmethod
    def between(cls, start_s: float, end_s: float) -> Rate:
        """Nothing counted yet, in at most sixty intervals of a round length."""
        span = max(end_s - start_s, 0.0)
        interval = next(
            (s for s in _INTERVALS_S if span / s <= _RATE_BINS),
            math.ceil(span / _DAY_S / _RATE_BINS) * _DAY_S,
        )
        bins = int(span // interval) + 1
        return cls(start_s, interval, np.zeros(bins, np.int64), np.zeros(bins, np.int64))

    def add(self, finished_s: npt.NDArray[np.float64], kept: npt.NDArray[np.bool_]) -> None:
        """Count media by the time they were finished."""
        places = ((finished_s - self.start_s) // self.interval_s).astype(np.int64)
        places = np.clip(places, 0, len(self.kept) - 1)
        self.kept += np.bincount(places[kept], minlength=len(self.kept))
        self.lost += np.bincount(places[~kept], minlength=len(self.lost))


@dataclass(slots=True, kw_only=True)
class Measures:
    """Sums over the fates that were read.

    Attributes:
        media: Media, each counted once however often it was asked for.
        statuses: Last HTTP status of each of them; None where no answer came.
        files, files_read: All fates files of the crawl, and how many of them were read.
    """

    files: int = 0
    files_read: int = 0
    media: int = 0
    statuses: Counter[int | None] = field(default_factory=Counter)
    short_side_px: Histogram = field(default_factory=lambda: Histogram.empty(_SHORT_SIDE_PX))
    stored_bytes: Histogram = field(default_factory=lambda: Histogram.empty(_STORED_BYTES))
    elapsed_s: Histogram = field(default_factory=lambda: Histogram.empty(_ELAPSED_S))
    video_bytes: Histogram = field(default_factory=lambda: Histogram.empty(_VIDEO_BYTES))
    duration_s: Histogram = field(default_factory=lambda: Histogram.empty(_DURATION_S))
    fps: Histogram = field(default_factory=lambda: Histogram.empty(_FPS))
    phash_distance: Histogram = field(default_factory=lambda: Histogram.empty(_PHASH_DISTANCE))
    rate: Rate | None = None

    def add(self, batch: pa.RecordBatch, last: pa.BooleanArray | None = None) -> None:
        """Sum up one batch of fates; ``last`` tells which of them hold, if later rounds asked for some again."""
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        kept = columns["reason"].is_null()
        statuses = columns["status"] if last is None else columns["status"].filter(last)
        self.media += len(statuses)
        for item in pc.value_counts(statuses).to_pylist():
            self.statuses[item["values"]] += item["counts"]
        aux = pc.min_element_wise(
            columns["original_width_px"], columns["original_height_px"], skip_nulls=False
        )
        is_video = columns["duration_s"].is_valid()
        videos, pictures = pc.and_(kept, is_video), pc.and_(kept, pc.invert(is_video))
        for histogram, values, counted in (
            (self.short_side_px, aux, kept),
            (self.stored_bytes, columns["size_bytes"], pictures),
            (self.video_bytes, columns["size_bytes"], videos),
            (self.duration_s, columns["duration_s"], videos),
            (self.fps, columns["fps"], videos),
            (self.phash_distance, columns["phash_distance"], kept),
        ):
            histogram.add(values.filter(counted).drop_null().to_numpy(zero_copy_only=False))
        self.elapsed_s.add(columns["elapsed_s"].drop_null().to_numpy(zero_copy_only=False))
        if self.rate is not None:
            timed = columns["finished_at"].is_valid()
            self.rate.add(
                columns["finished_at"].filter(timed).to_numpy(zero_copy_only=False),
                kept.filter(timed).to_numpy(zero_copy_only=False),
            )


def evenly_read(tasks: Sequence[Sequence[T]]) -> Sequence[Sequence[T]]:
    """Choose tasks by their files: of more than :data:`FILES_READ` in all so many tasks as come to that, evenly."""
    wanted = sum(map(len, tasks))
    if wanted <= FILES_READ:
        return tasks
    some = max(1, FILES_READ * len(tasks) // wanted)
    return [tasks[i * len(tasks) // some] for i in range(some)]


def measure(tasks: Sequence[Sequence[Path]], *, files: int | None = None) -> Measures:
    """Sum up fates files of :data:`gristmill.ledger.fates.FATES_SCHEMA`; files that are gone are passed over.

    Args:
        tasks: The files of each crawl task, that of the last round first.
        files: How many there are, if these are some of them.
    """
    wanted = sum(map(len, tasks)) if files is None else files
    tasks = [[path for path in paths if path.is_file()] for paths in tasks]
    measures = Measures(files=wanted, files_read=sum(map(len, tasks)))
    spans = [span for paths in tasks for path in paths if (span := _span(path)) is not None]
    if spans:
        measures.rate = Rate.between(min(first for first, _ in spans), max(last for _, last in spans))
    for paths in tasks:
        for batch, last in batches(paths):
            measures.add(batch, last)
    return measures


def batches(
    paths: Sequence[Path], columns: Sequence[str] = _COLUMNS
) -> Iterator[tuple[pa.RecordBatch, pa.BooleanArray | None]]:
    """One task's fates, and which of them no later round replaced; what was asked again is held, of this task."""
    later: set[tuple[int, str]] = set()
    for number, path in enumerate(paths, start=1):
        with (
            path.open("rb") as stream,
            pq.ParquetFile(stream) as file,
        ):  # Arrow takes no name that is not UTF-8
            for batch in file.iter_batches(columns=list(columns)):
                if len(paths) == 1:
                    yield batch, None
                    continue
                asked = list(zip(batch["row"].to_pylist(), batch["medium"].to_pylist(), strict=True))
                yield batch, pa.array([one not in later for one in asked], pa.bool_())
                if number < len(paths):
                    later.update(asked)


def _span(path: Path) -> tuple[float, float] | None:
    """First and last time in a file, from its footer alone."""
    with path.open("rb") as stream:
        metadata = pq.read_metadata(stream)
    if not metadata.num_row_groups:
        return None
    # not by ``metadata.schema``: the two would hold one another until the garbage collector comes
    first = metadata.row_group(0)
    names = [first.column(i).path_in_schema for i in range(metadata.num_columns)]
    place = names.index("finished_at")
    found = [metadata.row_group(i).column(place).statistics for i in range(metadata.num_row_groups)]
    known = [s for s in found if s is not None and s.has_min_max]
    return (min(s.min for s in known), max(s.max for s in known)) if known else None
