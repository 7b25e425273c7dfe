"""The second half of a shuffle: one output shard, or where its samples lie, out of what every input gives to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from gristmill.ledger.reading import PartShards
from gristmill.run.stages._hashing import HashingStream
from gristmill.run.stages._scatter import bodies_of
from gristmill.run.stages.gather import GatherDecision
from gristmill.run.state.context import Context, Work, file_info
from gristmill.shards.extents import parts_of
from gristmill.shards.placed import Holder, read_placed
from gristmill.shards.references import Origin, write_references
from gristmill.shards.scattered import joined, read_scattered
from gristmill.shards.shape import Shape
from gristmill.shards.webdataset import TarWriter
from gristmill.spec.errors import DamagedOutput
from gristmill.spec.task import Task
from gristmill.storage.files import whole_file

__all__ = ["run_gather", "run_refer"]

Array = Any


def run_gather(task: Task, decision: GatherDecision, context: Context, work: Work) -> None:
    """Read the samples that go to one shard, in the order of their places, and write it.

    Bodies are read a window at a time, and within a window in the order in which they lie: memory is that of the
    rows, 48 bytes a sample of one shard, and of a window.
    """
    gathered = _Gathered(task, decision, context, work)
    path, shape = context.layout.shard(task.number[2], ".tar"), Shape()

    def tell(samples: int) -> None:
        context.check_stop()
        context.report(task, samples, work.samples_in, {}, 0)

    with whole_file(path) as stream, HashingStream(stream) as hashing:
        tar = TarWriter(cast(BinaryIO, hashing))
        for extents in read_placed(gathered.holders(), gathered.rows, gathered.files, tell):
            for extent in extents:
                shape.take(parts_of(extent))
            tar.extend(b"".join(extents))
        tar.close()
    work.outputs.append(file_info(context.layout, path, "shard", work.kept, hashing.hexdigest()))
    work.facts["bytes_out"] += hashing.size
    work.shape = shape.text()


def run_refer(task: Task, decision: GatherDecision, context: Context, work: Work) -> None:
    """Write where the samples lie that would go to one shard, in the order of their places; none of them is read."""
    gathered = _Gathered(task, decision, context, work)
    path = context.layout.references(task.number[2])
    with whole_file(path) as stream:
        write_references(stream, gathered.origins, gathered.rows, gathered.files)
    work.outputs.append(file_info(context.layout, path, "shard", work.kept))
    work.facts["bytes_out"] += path.stat().st_size


class _Gathered:
    """The rows of one output shard, by place, and in which files their bodies lie.

    Attributes:
        origins: For each file the part's shard that it is, with what keys get; of copied bodies the file's place.
    """

    def __init__(self, task: Task, decision: GatherDecision, context: Context, work: Work) -> None:
        first, last = decision.places
        work.samples_in = work.kept = last - first
        self._context = context
        self.origins: list[Origin] = []
        self._copied: dict[int, Path] = {}
        tables, files = [], []
        for scattered in task.inputs:
            path = os.path.join(context.folder, scattered.path)
            head, rows = read_scattered(path, decision.shard)
            tables.append(rows)
            files.append(rows["file"].astype(np.int32) + len(self.origins))
            if head["files"] is None:
                self._copied[len(self.origins)] = bodies_of(Path(path))
                self.origins.append(Origin(part="", shard="", prefix=head["prefix"]))
            for file in head["files"] or ():
                self.origins.append(Origin(**{**file, "prefix": head["prefix"] + file["prefix"]}))
        rows = joined(tables)
        order = np.argsort(rows["place"])
        self.rows, self.files = rows[order], np.concatenate(files)[order]
        if not np.array_equal(self.rows["place"], np.arange(first, last)):
            raise DamagedOutput(
                f"shard {task.number[2]}: what was scattered for it has gaps. Remove "
                f"{context.layout.scattered_folder} and give the same command again."
            )

    def holders(self) -> list[Holder]:
        """The files."""
        parts = PartShards(self._context.folder, self._context.inputs)
        return [
            Holder(
                path=self._copied.get(number) or parts.place(origin.part, origin.shard),
                prefix=origin.prefix,
                suffix=origin.suffix,
            )
            for number, origin in enumerate(self.origins)
        ]
