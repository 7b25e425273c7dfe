"""The last stage: slices of finished samples, put into one shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa

from gristmill.run.stages.pack import PackDecision
from gristmill.run.state import layout
from gristmill.run.state.context import Context, Work
from gristmill.run.state.indexes import attempt_of, index_at, lines_of, open_spool
from gristmill.spec.barrier import Barrier, PackedRow, Slice
from gristmill.spec.errors import DamagedOutput
from gristmill.spec.task import Role, Task

__all__ = ["lines_of_slice", "run_pack"]


def run_pack(step: Barrier, task: Task, decision: PackDecision, context: Context, work: Work) -> None:
    """Make one output shard; or account for samples that the decision leaves out."""
    slices = [
        Slice(shard=shard, start=start, stop=stop)
        for shard, (start, stop) in zip(task.inputs, decision.slices, strict=True)
    ]
    work.found = [[piece.shard.digest, piece.stop - piece.start] for piece in slices]
    work.samples_in = sum(piece.stop - piece.start for piece in slices)
    if decision.drop:
        work.dropped[str(decision.drop)] = work.samples_in
        return
    work.kept = work.samples_in
    step.apply(slices, ShardWriter(task, context, work))


class ShardWriter:
    """A :class:`gristmill.spec.step.PackContext` over indexes and spools."""

    def __init__(self, task: Task, context: Context, work: Work) -> None:
        self._task, self._context, self._work = task, context, work
        self._done = 0

    def attempts(self, piece: Slice) -> Iterator[PackedRow]:
        """See :class:`gristmill.spec.step.PackContext`."""
        store = self._context.store
        table = index_at(store, piece.shard)
        start, stop = lines_of_slice(table, piece)
        with open_spool(store, piece.shard) as spool:
            for line in lines_of(table.slice(start, stop - start)):
                self._context.check_stop()
                yield attempt_of(line, spool, self._context.media_source)
                self._done += 1
                self._context.report(self._task, self._done, self._work.samples_in, {}, 0)

    @contextmanager
    def write(self, suffix: str, role: Role) -> Iterator[BinaryIO]:
        """See :class:`gristmill.spec.step.PackContext`."""
        name = layout.shard(self._task.number[2], suffix)
        samples = self._work.kept if role == "shard" else 0
        with self._context.output(role, name, samples=samples) as out:
            yield out.stream
        self._work.outputs.append(out.info)
        self._work.facts["bytes_out"] += out.info.size_bytes

    def note(self, shape: str) -> None:
        """See :class:`gristmill.spec.step.PackContext`."""
        self._work.shape = shape


def lines_of_slice(table: Any, piece: Slice) -> tuple[int, int]:
    """Say which lines of an index belong to a slice: each failed row goes with the kept one before it.

    Raises:
        DamagedOutput: The index has other samples than its record says.
    """
    kept: Sequence[int] = pa.compute.indices_nonzero(pa.compute.is_null(table["reason"])).to_pylist()
    if len(kept) != piece.shard.samples:
        raise DamagedOutput(f"{piece.shard.path}: {len(kept)} samples, its record says {piece.shard.samples}")
    start = 0 if piece.start == 0 else kept[piece.start]
    stop = table.num_rows if piece.stop >= len(kept) else kept[piece.stop]
    return start, stop
