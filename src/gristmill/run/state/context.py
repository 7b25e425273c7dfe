"""What a stage's work is given, and what it hands back."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import Any, BinaryIO, TypeVar, cast

from gristmill.ledger.run_config import InputFile
from gristmill.run.state import layout
from gristmill.spec.errors import RecipeError, Stopped
from gristmill.spec.sample import Json
from gristmill.spec.task import Role, ShardInfo, Task
from gristmill.storage.hashing import HashingStream
from gristmill.storage.store import Store

__all__ = ["Context", "Output", "Progress", "Work"]

R = TypeVar("R")
_REPORT_EVERY_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Says how far one task is.

    Attributes:
        bytes_in: Received so far.
        bytes_total: Of how many, while the task fetches its annotation file; else None.
    """

    task_id: str
    stage: str
    done: int
    total: int | None
    reasons: Mapping[str, int]
    bytes_in: int
    bytes_total: int | None = None


@dataclass(slots=True)
class Output:
    """A file that a task gives out.

    Attributes:
        stream: What is written to it becomes the file.
        info: The file as it stands in a record; once it is whole.
    """

    stream: BinaryIO
    info: ShardInfo = field(init=False)


@dataclass(slots=True, kw_only=True)
class Context:
    """The circumstances of a worker process: none of it bears on what comes out.

    Attributes:
        store: Where the dataset's files lie.
        hubs: Source key to ``REPO@REVISION`` or a URL, for sources that are fetched.
        aux: Files of aux sources, which steps are given whole.
        media: Files of media sources.
        shared: Folder of this machine in which the media sources of all datasets lie.
        media_sources: What acquirers read from, by source key.
        only: Rows per annotation file of a small run.
        first: Position of the first annotation file that this run works on.
        fetched: Annotation files that this process has fetched, or found to be there and whole.
        tell: Where progress goes.
        grace_s: Seconds that what is under way may take once ``stop`` is set.
        careful: Tasks that were aboard a worker that died; true where it was killed by others.
        steps: Grows whenever a task gets further; what else it says does not matter.
    """

    store: Store
    inputs: tuple[InputFile, ...]
    remotes: Mapping[str, str]
    aux: tuple[InputFile, ...] = ()
    media: tuple[InputFile, ...] = ()
    shared: Path = field(default_factory=Path)
    media_sources: Mapping[str, Any] = field(default_factory=dict)
    only: int | None = None
    first: int = 0
    stop: Event = field(default_factory=Event)
    grace_s: float = 0.0
    tell: Callable[[Progress], None] = lambda progress: None
    resources: dict[Any, Any] = field(default_factory=dict)
    making: Lock = field(default_factory=Lock)
    fetching: Lock = field(default_factory=Lock)
    fetched: set[str] = field(default_factory=set)
    told_at: dict[str, float] = field(default_factory=dict)
    careful: dict[str, bool] = field(default_factory=dict)
    steps: int = 0

    def input(self, shard: ShardInfo) -> Path:
        """Say where a file that an earlier task gave out can be read on this machine."""
        return self.store.fetch(shard.path, shard.digest)

    @contextmanager
    def output(self, role: Role, name: str, *, samples: int, digest: str | None = None) -> Iterator[Output]:
        """Open a file to give out: it is there when the block ends well, and nothing of it if not.

        Args:
            role: What it is.
            name: Its name in the store.
            samples: How many it holds.
            digest: Of what it holds, where that is not of its bytes.
        """
        with (
            self.store.writing(name) as stream,
            HashingStream(stream, hashed=digest is None) as hashing,
        ):
            output = Output(cast(BinaryIO, hashing))
            yield output
        output.info = ShardInfo(
            path=name,
            role=role,
            samples=samples,
            size_bytes=hashing.size,
            digest=hashing.hexdigest() if digest is None else digest,
        )

    def finished(self, role: Role, name: str, *, samples: int, digest: str) -> ShardInfo:
        """Give out a file that was made, over as many tries as it took, where :meth:`Store.work` says.

        Args:
            role: What it is.
            name: Its name in the store.
            samples: How many it holds.
            digest: Of what it holds.
        """
        path = self.store.work(name)
        size_bytes = path.stat().st_size
        self.store.put(name, path)
        return ShardInfo(path=name, role=role, samples=samples, size_bytes=size_bytes, digest=digest)

    @contextmanager
    def scratch(self, task: Task) -> Iterator[Path]:
        """Make an empty folder of a task's own; gone at the end, and what an attempt that was killed left in it."""
        folder = self.store.work(layout.scratch(task))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sources(self, key: str) -> Path:
        """Name the folder of this machine for annotation files that are fetched from upstream."""
        return self.store.work(f"{layout.SOURCES}/{key}")

    def media_source(self, key: str) -> Any:
        """A media source, as :mod:`gristmill.spec.media_source` has it.

        Raises:
            RecipeError: The recipe declares none of that key.
        """
        if key not in self.media_sources:
            raise RecipeError(f"the recipe has no media source {key!r}, which its samples name")
        return self.media_sources[key]

    def resource(self, key: Any, make: Callable[[], R]) -> R:
        """Something dear that lives as long as this process."""
        with self.making:  # tasks of one process share it
            if key not in self.resources:
                self.resources[key] = make()
            made: R = self.resources[key]
        return made

    @property
    def fill(self) -> float:
        """Say how full the crawler is, from 0 to 1 (see ``Crawler.fill``); 1 where there is none. From any thread."""
        return min(
            (getattr(resource, "fill", 1.0) for resource in list(self.resources.values())), default=1.0
        )

    @property
    def asking(self) -> bool:
        """Say whether the crawler waits for others (see ``Crawler.asking``); False where there is none."""
        return any(getattr(resource, "asking", False) for resource in list(self.resources.values()))

    @property
    def silent(self) -> int:
        """Media that wait for hosts which have answered nothing yet (see ``Crawler.silent``). From any thread."""
        return sum(getattr(resource, "silent", 0) for resource in list(self.resources.values()))

    def report(
        self, task: Task, done: int, total: int | None, reasons: Mapping[str, int], bytes_in: int
    ) -> None:
        """Tell how far a task is; cheap to call for each sample."""
        self.steps += 1
        now = time.monotonic()
        if now - self.told_at.get(task.id, 0.0) >= _REPORT_EVERY_S or done == total:
            self.told_at[task.id] = now
            progress = Progress(
                task_id=task.id,
                stage=task.stage,
                done=done,
                total=total,
                reasons=dict(reasons),
                bytes_in=bytes_in,
            )
            self.tell(progress)

    def report_fetch(self, task: Task, have_bytes: int, size_bytes: int | None) -> None:
        """Tell how much of its annotation file a task has fetched; cheap to call for each piece.

        Args:
            size_bytes: Of the file, or None once the task fetches no more.
        """
        self.steps += 1
        now = time.monotonic()
        if size_bytes is None or now - self.told_at.get(task.id, 0.0) >= _REPORT_EVERY_S:
            self.told_at[task.id] = now
            self.tell(
                Progress(
                    task_id=task.id,
                    stage=task.stage,
                    done=0,
                    total=None,
                    reasons={},
                    bytes_in=have_bytes,
                    bytes_total=size_bytes,
                )
            )

    def check_stop(self) -> None:
        """Raise if the run is to stop. Called wherever a task gets further: one that does not for long is ended.

        Raises:
            Stopped: It is.
        """
        self.steps += 1
        if self.stop.is_set():
            raise Stopped("the run was asked to stop")

    def close(self) -> None:
        """Give back all resources."""
        for resource in self.resources.values():
            resource.close()
        self.resources.clear()


@dataclass(slots=True)
class Work:
    """Holds what a task has done so far; becomes its record."""

    samples_in: int = 0
    kept: int = 0
    outputs: list[ShardInfo] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    retried: Counter[str] = field(default_factory=Counter)
    hosts: Counter[str] = field(default_factory=Counter)
    media: Counter[str] = field(default_factory=Counter)
    facts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    found: Json = None
    shape: str = ""
