"""Packing: finished samples into equal shards, in the dataset's order, whatever was made where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gristmill.shards.samples import StoredSample
from gristmill.shards.shape import Shape
from gristmill.shards.sidecars import Sidecars
from gristmill.shards.webdataset import TarWriter
from gristmill.spec.barrier import Barrier, Group, IndexSummary, PackContext, Slice
from gristmill.spec.errors import UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.step import Needs

__all__ = ["Pack"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack(Barrier):
    """Equal WebDataset shards.

    Attributes:
        shard_samples: Samples a shard.
        shard_bytes: If given, a shard is closed by size instead: before the sample that would pass it.
            Counted are media and facts; headers and padding make a tar file larger, by some 2 kB a sample.
        drop_tail: Leave out a last shard that is not full; the samples are counted under ``tail``.
    """

    shard_samples: int = 12_440
    shard_bytes: int | None = None
    drop_tail: bool = False

    name = "pack"
    revision = 2
    drops = frozenset({Reason.TAIL})
    needs = Needs(cpus=1, memory_gib=0.3)

    def __post_init__(self) -> None:
        if self.shard_samples < 1 or (self.shard_bytes is not None and self.shard_bytes < 1):
            raise UsageError("pack: shard_samples and shard_bytes must be at least 1")

    def decider(self) -> Cutter:
        """See :class:`Barrier`."""
        return Cutter(self)

    def apply(self, slices: Sequence[Slice], box: PackContext) -> None:
        """See :class:`Barrier`: a tar, and beside it the rows attempted and their statistics."""
        shape = Shape()
        with box.write(".parquet", "sidecar") as beside, box.write(".tar", "shard") as stream:
            neighbours, tar = Sidecars(beside), TarWriter(stream)
            for piece in slices:
                for attempt in box.attempts(piece):
                    sample = StoredSample.read(attempt.stored) if attempt.stored else None
                    neighbours.add(attempt.key, attempt.reason, sample, attempt.asked)
                    if sample is not None and attempt.reason is None:
                        parts = sample.parts(attempt.bodies)
                        shape.take(parts)
                        for part, body in parts:
                            tar.add(f"{attempt.key}.{part}", body)
            tar.close()
            neighbours.close()
        box.note(shape.text())
        with box.write("_stats.json", "sidecar") as stream:
            stream.write(neighbours.stats())


class Cutter:
    """Cuts the sequence of finished samples into shards as soon as each is settled.

    A shard is closed only when a sample follows it, so that rows which failed after the last kept sample stay
    with it.
    """

    def __init__(self, step: Pack) -> None:
        self._step = step
        self._open: list[Slice] = []
        self._samples = 0
        self._bytes = 0

    def feed(self, summary: IndexSummary) -> list[Group]:
        """See :class:`gristmill.spec.step.Decider`."""
        shard, done, start = summary.shard, [], 0
        if shard.samples == 0:
            self._open.append(Slice(shard=shard, start=0, stop=0))
            return []
        sizes = summary.sizes() if self._step.shard_bytes is not None else None
        while start < shard.samples:
            if self._full(sizes[start] if sizes else 0):
                done.append(self._close())
            stop = self._stop(start, shard.samples, sizes)
            self._open.append(Slice(shard=shard, start=start, stop=stop))
            self._samples += stop - start
            self._bytes += sum(sizes[start:stop]) if sizes else 0
            start = stop
        return done

    def _full(self, next_bytes: int) -> bool:
        if self._step.shard_bytes is None:
            return self._samples >= self._step.shard_samples
        return self._samples > 0 and self._bytes + next_bytes > self._step.shard_bytes

    def _stop(self, start: int, samples: int, sizes: Sequence[int] | None) -> int:
        if sizes is None or self._step.shard_bytes is None:
            return min(samples, start + self._step.shard_samples - self._samples)
        stop, size = start + 1, self._bytes + sizes[start]
        while stop < samples and size + sizes[stop] <= self._step.shard_bytes:
            size += sizes[stop]
            stop += 1
        return stop

    def _close(self, drop: Reason | None = None) -> Group:
        group = Group(slices=tuple(self._open), drop=drop)
        self._open, self._samples, self._bytes = [], 0, 0
        return group

    def finish(self) -> list[Group]:
        """See :class:`gristmill.spec.step.Decider`."""
        if self._samples == 0:
            return []
        short = self._step.shard_bytes is None and self._samples < self._step.shard_samples
        return [self._close(Reason.TAIL if self._step.drop_tail and short else None)]
