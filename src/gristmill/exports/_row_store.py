"""Writes rows into files of bounded size below one index; a killed export is gone on with shard by shard."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from gristmill.exports._columns import Columns, Row
from gristmill.exports._exporter import Exported, FinishedShards, FittingExporter
from gristmill.exports._unfit import Unfit
from gristmill.exports._whole import made_of, written_whole
from gristmill.exports._writing import called, shard_samples
from gristmill.spec.errors import UsageError
from gristmill.spec.sample import Json
from gristmill.spec.task import ShardInfo
from gristmill.storage.files import write_whole
from gristmill.storage.store import Place

__all__ = ["RowStore", "batches"]

_REVISION = 1


@dataclass(frozen=True, kw_only=True)
class RowStore(FittingExporter):
    """A format that stores rows. What a subclass says of its files is plain data: the export may be gone on with.

    Attributes:
        most_bytes: That a row may have; by default what an Arrow column of plain bytes holds.
        by_shard: Files of a shard are not read again when those of later ones are written.
    """

    reads = "any samples of pictures, videos and text"
    needs_all = "One index for all of it can be written when it is."

    to_stores: ClassVar[bool] = True
    most_bytes: ClassVar[int] = (1 << 31) - (1 << 20)
    by_shard: ClassVar[bool] = True

    @abstractmethod
    def write(
        self, folder: Path, before: Sequence[Json], rows: Iterator[Row], columns: Columns
    ) -> Iterator[Json]:
        """Write the rows of one shard.

        Args:
            folder: Where to. What lies there under the names of these files is of an earlier attempt.
            before: What the index says of the files of the shards before.
            rows: In order; taken one at a time.
            columns: That they have.

        Yields:
            What the index says of a file, for each that was written.
        """

    @abstractmethod
    def finish(self, folder: Path, files: Sequence[Json], columns: Columns, dataset: FinishedShards) -> None:
        """Write the index over all files."""

    @abstractmethod
    def reading(self, out: str) -> str:
        """Say in Python how the folder is read."""

    def check(self, row: Row) -> None:
        """See whether the format takes a row.

        Raises:
            Unfit: It does not.
        """
        if row.size_bytes > self.most_bytes:
            raise Unfit(
                "too_large",
                f"sample {row.key} has {row.size_bytes:,} bytes, and a row takes {self.most_bytes:,}",
            )

    def export(self, dataset: FinishedShards, out: Place) -> Iterator[Exported]:
        """Write all of a dataset; a killed export is gone on with."""
        yield from written_whole(
            out,
            made_of(self, dataset, _REVISION),
            write=lambda work: self._write(dataset, work),
            start=lambda _: self.reading(called(out)),
            by_shard=self.by_shard,
        )

    def _write(self, dataset: FinishedShards, work: Path) -> Iterator[Exported]:
        columns, done = Columns.of(dataset.shape()), Exported(form="rows")
        files: list[Json] = []
        for number, shard in enumerate(dataset.shards):
            record = work / f".{number:05d}.json"
            if not record.exists():
                write_whole(record, json.dumps(self._shard(work, files, dataset, shard, columns)).encode())
            said = json.loads(record.read_bytes())
            files += said["files"]
            done.shards += 1
            done.samples += said["samples"]
            done.left_out += sum(said["reasons"].values())
            done.reasons.update(said["reasons"])
            yield done
        self.finish(work, files, columns, dataset)

    def _shard(
        self, work: Path, before: Sequence[Json], dataset: FinishedShards, shard: ShardInfo, columns: Columns
    ) -> dict[str, Json]:
        reasons, count = Counter[str](), 0

        def rows() -> Iterator[Row]:
            nonlocal count
            for sample in shard_samples(dataset.folder, shard):
                try:
                    row = columns.row(sample)
                    self.check(row)
                except Unfit as err:
                    if not self.leave_out:
                        raise UsageError(
                            f"{dataset.folder}/{shard.path}: {err}. "
                            "Leave such samples out, counted, with --leave-out."
                        ) from err
                    reasons[err.kind] += 1
                    continue
                count += 1
                yield row

        files = list(self.write(work, before, rows(), columns))
        return {"files": files, "samples": count, "reasons": dict(reasons)}


def batches(rows: Iterator[Row], most_bytes: int) -> Iterator[list[Row]]:
    """Lists of rows of at most so many bytes; a larger row is alone."""
    some: list[Row] = []
    size = 0
    for row in rows:
        if some and size + row.size_bytes > most_bytes:
            yield some
            some, size = [], 0
        some.append(row)
        size += row.size_bytes
    if some:
        yield some
