"""The second half of a shuffle: one output shard, or where its samples lie, out of what every input gives to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gristmill.ledger.reading import PartShards
from gristmill.run.stages._scatter import bodies_of
from gristmill.run.stages.gather import GatherDecision
from gristmill.run.state import layout
from gristmill.run.state.context import Context, Work
from gristmill.shards.extents import parts_of
from gristmill.shards.placed import Holder, read_placed
from gristmill.shards.references import ShardOrigin, write_references
from gristmill.shards.scattered import joined, read_scattered
from gristmill.shards.shape import Shape
from gristmill.shards.webdataset import TarWriter
from gristmill.spec.errors import DamagedOutput
from gristmill.spec.task import Task
from gristmill.storage.store import StoredFile

__all__ = ["run_gather", "run_refer"]

Array = Any


def run_gather(task: Task, decision: GatherDecision, context: Context, work: Work) -> None:
    """Read the samples that go to one shard, in the order of their places, and write it.

    Bodies are read a window at a time, and within a window in the order in which they lie: memory is that of the
    rows, 48 bytes a sample of one shard, and of a window.
    """
    gathered = _Gathered(task, decision, context, work)
    shape = Shape()

    def tell(samples: int) -> None:
        context.check_stop()
        context.report(task, samples, work.samples_in, {}, 0)

    with context.output("shard", layout.shard(task.number[2], ".tar"), samples=work.kept) as out:
        tar = TarWriter(out.stream)
        for extents in read_placed(gathered.holders(), gathered.rows, gathered.files, tell):
            for extent in extents:
                shape.take(parts_of(extent))
            tar.extend(extents)
        tar.close()
    work.outputs.append(out.info)
    work.facts["bytes_out"] += out.info.size_bytes
    work.shape = shape.text()


def run_refer(task: Task, decision: GatherDecision, context: Context, work: Work) -> None:
    """Write where the samples lie that would go to one shard, in the order of their places; none of them is read."""
    gathered = _Gathered(task, decision, context, work)
    with context.output("shard", layout.references(task.number[2]), samples=work.kept) as out:
        write_references(out.stream, gathered.origins, gathered.rows, gathered.files)
    work.outputs.append(out.info)
    work.facts["bytes_out"] += out.info.size_bytes


class _Gathered:
    """The rows of one output shard, by place, and in which files their bodies lie.

    Attributes:
        origins: For each file the part's shard that it is, with what keys get; of copied bodies the file's place.
    """

    def __init__(self, task: Task, decision: GatherDecision, context: Context, work: Work) -> None:
        first, last = decision.places
        work.samples_in = work.kept = last - first
        self._context = context
        self.origins: list[ShardOrigin] = []
        self._copied: dict[int, StoredFile] = {}
        tables, files = [], []
        for scattered in task.inputs:
            head, rows = read_scattered(context.input(scattered), decision.shard)
            tables.append(rows)
            files.append(rows["file"].astype(np.int32) + len(self.origins))
            if head["files"] is None:
                self._copied[len(self.origins)] = bodies_of(scattered, context)
                self.origins.append(ShardOrigin(part="", shard="", prefix=head["prefix"]))
            for file in head["files"] or ():
                self.origins.append(ShardOrigin(**{**file, "prefix": head["prefix"] + file["prefix"]}))
        rows = joined(tables)
        order = np.argsort(rows["place"])
        self.rows, self.files = rows[order], np.concatenate(files)[order]
        if not np.array_equal(self.rows["place"], np.arange(first, last)):
            raise DamagedOutput(
                f"shard {task.number[2]}: what was scattered for it has gaps. Remove "
                f"{layout.SCATTERED} in {context.store} and give the same command again."
            )

    def holders(self) -> list[Holder]:
        """The files."""
        parts = PartShards(self._context.store, self._context.inputs)
        return [
            Holder(
                file=self._copied.get(number) or parts.place(origin.part, origin.shard),
                prefix=origin.prefix,
                suffix=origin.suffix,
            )
            for number, origin in enumerate(self.origins)
        ]
