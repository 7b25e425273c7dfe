"""Where things lie in a dataset's folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gristmill.ledger.ledger import STATE
from gristmill.spec.errors import DamagedOutput
from gristmill.spec.task import ShardInfo, Task
from gristmill.storage.inside import irregular

__all__ = ["CARD", "MADE", "METADATA_FILES", "Layout", "check_folder", "stem"]

CARD = "README.md"
METADATA_FILES = (CARD, "croissant.json", "dataset.json", "report.html")
"""Files beside the shards, written anew at the end of each run."""
MADE = ("shards", "fates", "references")
"""Folders of what a run makes for people and trainers."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below ``DIR/NAME``. Names of intermediate files carry the task's id: nothing is written over."""

    folder: Path

    @property
    def state(self) -> Path:
        """What a trainer never reads."""
        return self.folder / STATE

    @property
    def shards(self) -> Path:
        """Finished shards."""
        return self.folder / "shards"

    @property
    def fates(self) -> Path:
        """One row for each upstream row and medium."""
        return self.folder / "fates"

    @property
    def leases(self) -> Path:
        """Byte-range locks, one for each task."""
        return self.state / "leases"

    @property
    def described(self) -> Path:
        """Digest of the manifest, written when all metadata files of it are there."""
        return self.state / "described"

    def source(self, key: str) -> Path:
        """Annotation files fetched from upstream."""
        return self.state / "sources" / key

    def unreadable(self, digest: str) -> Path:
        """Says that the annotation file of this digest is there and cannot be read."""
        return self.state / "unreadable" / digest

    def part(self, task: Task, number: int) -> Path:
        """Chosen rows, for one crawl task."""
        return self.state / "parts" / f"{task.number[1]:05d}-{number:05d}-{task.id}.parquet"

    def index(self, task: Task) -> Path:
        """Samples of one crawl task, in order."""
        return self.state / "crawled" / f"{_place(task)}.index.parquet"

    def screened(self, index: ShardInfo, task: Task) -> Path:
        """Samples of one crawl task after a census; their media lie in the same spool."""
        return self.state / "crawled" / f"{stem(index.path)}.{task.id}.index.parquet"

    def decision(self, task: Task, suffix: str) -> Path:
        """What a census decided; the keys that tasks were compared by."""
        return self.state / "decisions" / f"{task.stage}-{_place(task)}{suffix}"

    def scratch(self, task: Task) -> Path:
        """A folder that lasts no longer than a task."""
        return self.state / "scratch" / task.id

    def fates_beside(self, index: ShardInfo) -> Path:
        """The fates of the crawl task that wrote an index."""
        return self.fates / f"samples-{stem(index.path)}.parquet"

    def spool(self, task: Task) -> Path:
        """Media of one crawl task, in the order they came."""
        return self.state / "crawled" / f"{_place(task)}.spool"

    @property
    def scattered_folder(self) -> Path:
        """What each input of a shuffle gives to each shard."""
        return self.state / "scattered"

    def scattered(self, task: Task) -> Path:
        """The rows that one input of a shuffle gives to each shard, by their places."""
        return self.scattered_folder / f"{_place(task)}.rows"

    def fates_of(self, task: Task) -> Path:
        """The fates that one task gave."""
        return self.fates / f"{task.stage}-{_place(task)}.parquet"

    def shard(self, number: int, suffix: str) -> Path:
        """A finished shard or its neighbour."""
        return self.shards / f"{number:05d}{suffix}"

    def references(self, number: int) -> Path:
        """Where the samples lie that a shard of an index-only mixture would hold."""
        return self.folder / "references" / f"{number:05d}.parquet"

    @property
    def made(self) -> list[Path]:
        """The folders of what a run makes for people and trainers."""
        return [self.folder / name for name in MADE]

    def relative(self, path: Path) -> str:
        """As written in records."""
        return path.relative_to(self.folder).as_posix()

    def whole(self, shard: ShardInfo) -> bool:
        """True if the file is there with the size that its record says."""
        try:
            return os.stat(self.folder / shard.path).st_size == shard.size_bytes
        except OSError:
            return False


def check_folder(folder: Path, *, made: bool = True) -> None:
    """Look through a dataset's folder before it is worked on: it may be a stranger's.

    Args:
        folder: The dataset's.
        made: Also through the shards and fates.

    Raises:
        DamagedOutput: It holds a link, a FIFO or the like where files of a dataset lie.
        OSError: As the system says.
    """
    for path, kind in irregular(folder, STATE, *(MADE if made else ())):
        raise DamagedOutput(
            f"{folder / path} is {kind}, and a dataset's folder holds regular files alone: nothing in it was read or "
            "changed. Put there what it stands for, or remove it."
        )


def stem(path: str | Path) -> str:
    """What an index, the spool beside it and a sifted index have in common."""
    return Path(path).name.partition(".")[0]


def _place(task: Task) -> str:
    round_, position, part = task.number
    suffix = f"-r{round_}" if round_ else ""
    return f"{position:05d}-{part:05d}{suffix}-{task.id}"
