"""Steps: verbs with settings. A step is a frozen dataclass; its fields and ``revision`` are its identity.

Here are the shapes that see one file, one sample or one task's samples; those that see the whole dataset are in
:mod:`gristmill.spec.barrier`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from threading import Event
from typing import Any, ClassVar, Protocol, Self, TypeVar

from gristmill.spec.body import Body, Pointer
from gristmill.spec.fate import Fate
from gristmill.spec.locator import Locator
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, Json, Outcome, Sample

__all__ = [
    "ADDED",
    "LINE_BYTES",
    "LINE_NUMBER",
    "LINE_OFFSET",
    "LocalFile",
    "MediaContext",
    "Needs",
    "PrescanStep",
    "SampleStep",
    "ShardStep",
    "Step",
    "TableContext",
    "TableFile",
    "TableStep",
    "permission",
    "reserved",
    "runtime_option",
]

R = TypeVar("R")

ADDED = "__gristmill_"
"""Columns that a TableStep adds to the rows begin with it: ``parse`` sees them, a sample's ``upstream`` does not."""
LINE_OFFSET, LINE_BYTES, LINE_NUMBER = "__line_offset", "__line_bytes", "__line"
"""Columns by which a TableStep hands on lines of a JSON Lines file without what they hold: where they stand."""
_RESERVED = re.compile(ADDED + r".*|__(row|group|position|json_row__|line|line_offset|line_bytes)", re.DOTALL)


def reserved(names: Iterable[str]) -> list[str]:
    """Those of an annotation file's columns that would be taken for what was added to its rows.

    Among what is added are places to read from on this machine, so a file from outside must have none of them.
    """
    return [name for name in names if _RESERVED.fullmatch(name)]


def runtime_option(default: Any, help: str = "") -> Any:
    """A step's field that says how, not what: it may differ between runs and bears no identity."""
    return field(default=default, metadata={"identity": False, "help": help})


def permission(default: Any, *, divided: bool = False) -> Any:
    """A circumstance that a person allows for one command: it is never stored, and nothing in a folder gives it.

    What is allowed is any value but the default; of a number any larger one.

    Args:
        divided: A number that all workers of a cluster have together (see :meth:`Step.divided`).
    """
    return field(
        default=default, repr=False, metadata={"identity": False, "permission": True, "divided": divided}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Holds what one task of a step occupies; tasks are placed by it.

    Attributes:
        cpus: Processors' worth of work, on average over the task: of a worker's one, two tasks of a half fit.
        memory_gib: What it holds at most. All tasks under way together stay within the machine's memory.
        network: It waits for others' answers for the most part. How many more of its kind fit beside is told by
            how full the crawler says it is.
    """

    cpus: float = 1
    memory_gib: float = 0.5
    network: bool = False


class Step(ABC):
    """Holds what all shapes share. Subclasses are frozen, keyword-only dataclasses of plain data.

    Attributes:
        drops: The reasons for which it drops rows or samples: ``gristmill show`` lists them, and
            :mod:`gristmill.testing.check_recipe` refuses others. Empty for a crawl: its reasons are the web's.
        needs: What one task of it occupies, and whether it asks the network.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    name: ClassVar[str]
    revision: ClassVar[int] = 1
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset()
    drops: ClassVar[frozenset[Reason]] = frozenset()
    needs: ClassVar[Needs] = Needs()

    def missing(self) -> str:
        """Say what a person must give before it can run, and how; empty where nothing is missing."""
        return ""

    def remark(self) -> str:
        """Say what a person should know before it begins; empty where nothing."""
        return ""

    @property
    def asks_elsewhere(self) -> bool:
        """Say whether what lies in no media source is asked for elsewhere: then no person need bring one."""
        return False

    @property
    def elsewhere(self) -> str:
        """Say what to type so that it asks elsewhere, and whom; empty where it cannot."""
        return ""

    def divided(self, workers: int) -> Self:
        """The step for one of so many workers: what all of them have together is divided by their number.

        Whole numbers stay at least 1: a worker with none would wait for ever.
        """
        own: dict[str, Any] = {}
        for one in fields(self):
            if one.metadata.get("divided"):
                whole = getattr(self, one.name)
                own[one.name] = max(1, whole // workers) if isinstance(whole, int) else whole / workers
        return replace(self, **own) if own else self

    def identity(self) -> dict[str, Json]:
        """Name, revision and every setting that may change what comes out."""
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.metadata.get("identity", True)}
        return {"step": self.name, "revision": self.revision, **settings}


class TableContext(Protocol):
    """Says where a TableStep puts what it decides. Tables are ``pyarrow.Table``; rows ``pyarrow.Array`` of int64."""

    only: int | None
    stop: Event

    def expect(self, rows: int, part_rows: int | None = None, last_rows: int | None = None) -> None:
        """Say how many rows will be kept, if known: they are cut into equal parts, of ``part_rows`` at most.

        With ``last_rows``, parts become smaller towards the end, down to that.
        """

    def keep(self, table: Any, rows: Any, groups: Any = None) -> None:
        """Hand on rows, in order, with their positions in the file; neighbours of one group stay together."""

    def cut(self) -> None:
        """End a part here, although it is not full by rows: its rows are long."""

    def drop(self, rows: Any, reason: Reason, detail: str = "") -> None:
        """Give rows a fate."""

    def note(self, text: str) -> None:
        """Say something the user must see; it is kept in the record."""

    def progress(self, done: int, total: int | None) -> None:
        """Rows looked at so far."""

    def scratch(self) -> AbstractContextManager[Path]:
        """An empty folder until the block ends."""

    def first_media(self, table: Any) -> Sequence[Locator | None]:
        """Say where the first medium of each of some rows is, by the recipe's parse; None of one without any."""

    def source(self, key: str) -> Any:
        """A media source, as :mod:`gristmill.spec.media_source` has it.

        Raises:
            RecipeError: The recipe declares none of that key.
        """


class TableStep(Step):
    """Whole columns, before there are samples. ``part_rows``: most rows that one crawl task is given."""

    part_rows: int
    keeps_source: ClassVar[bool] = False
    """What it hands on points into the annotation file, which must then stay until the samples are made."""

    takes_aux: ClassVar[bool] = False
    """It works with the files of ``aux`` sources, which then decide what comes out."""

    @property
    def takes_media(self) -> bool:
        """It looks at where media lie in media sources, which then decides what comes out."""
        return False

    def with_aux(self, aux: Mapping[str, tuple[Path, ...]]) -> Self:
        """The step as it works with the files of ``aux`` sources, by the source's key; most need none."""
        return self

    @property
    def media_folder(self) -> Path | None:
        """A folder, named by a person, in which files lie that rows point at."""
        return None

    def expected_rows(self, rows: int) -> int | None:
        """Say how many of so many rows will be kept, for ``plan``; None where that depends on what they hold."""
        return None

    @abstractmethod
    def apply(self, table: Path, box: TableContext) -> None:
        """Read one annotation file and give each of its rows to the box, kept or dropped."""


class TableFile(Protocol):
    """One annotation file, wherever it lies; offsets and sizes in bytes."""

    @property
    def name(self) -> str:
        """Its name in its source."""

    @property
    def size_bytes(self) -> int:
        """Its size."""

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from ``start`` to ``stop``, and no others are moved."""

    def hold(self, ranges: Sequence[tuple[int, int]]) -> Path:
        """A file on this machine with at least these ``(start, stop)`` where they stand in the original."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A :class:`TableFile` that lies on this machine."""

    path: Path

    @property
    def name(self) -> str:
        """Its name, without the folder."""
        return self.path.name

    @property
    def size_bytes(self) -> int:
        """Its size."""
        return self.path.stat().st_size

    def read(self, start: int, stop: int) -> bytes:
        """Read from the file itself."""
        with self.path.open("rb") as stream:
            stream.seek(start)
            return stream.read(stop - start)

    def hold(self, ranges: Sequence[tuple[int, int]]) -> Path:
        """The file itself, which holds all ranges."""
        return self.path


class PrescanStep(TableStep):
    """A TableStep whose choice in one file depends on all: look at each, decide once, choose in each.

    What :meth:`prescan` returns is kept in a record, so it must be small. :meth:`decide` is pure: the same prescans
    give the same decisions, in whichever process.
    """

    needs = Needs(cpus=0.5)  # it reads here and there, and waits for it

    @abstractmethod
    def prescan(self, file: TableFile) -> Json:
        """Say what must be known of one file before anything is chosen in any, as a JSON value."""

    @abstractmethod
    def decide(self, prescans: Sequence[Json]) -> Sequence[Any]:
        """From the prescans of all files, in the dataset's order, what holds for each: a frozen dataclass."""

    @abstractmethod
    def choose(self, file: TableFile, decision: Any, box: TableContext) -> None:
        """Give each row of one file to the box, kept or dropped."""

    def apply(self, table: Path, box: TableContext) -> None:
        """See :class:`TableStep`: this file alone, as though it were the whole dataset."""
        file = LocalFile(table)
        self.choose(file, self.decide([self.prescan(file)])[0], box)


class MediaContext(Protocol):
    """Holds what a ShardStep may use while it runs.

    Attributes:
        stop: Once it is set nothing new is begun.
        grace_s: Seconds that what is under way may take then.
        attempt: The round of asking again.
    """

    stop: Event
    grace_s: float
    attempt: int

    @property
    def shared(self) -> Path:
        """A folder in which all workers of a run see the same locks."""

    @property
    def kept(self) -> Path:
        """A folder for what was fetched one by one and is to stay, for all datasets beside this one."""

    def done(self) -> Mapping[tuple[int, str], Fate]:
        """Media that an earlier, interrupted run of this task finished, by row and part name."""

    def portions(self, samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
        """The samples as they are to be taken: all at once, or a few at a time where they killed a worker."""

    def store(
        self, fate: Fate, body: Body | None, pointer: Pointer | None = None, pieces: Sequence[int] = ()
    ) -> None:
        """Keep one finished medium, or the fate of one that could not be had; survives a kill.

        Args:
            fate: Of the medium.
            body: What is to lie in the shard; None of one that is not kept, or that is only pointed to.
            pointer: Where in a media source the very bytes stand; packing takes them from there.
            pieces: Of a video that is stored as its frames: how many bytes of the body each has.
        """

    def scratch(self) -> Path:
        """A folder of this task's own on a disk of this machine; it goes with the task."""

    def progress(self, done: int, reasons: Mapping[str, int], bytes_in: int) -> None:
        """Samples finished so far in this task; first of all those that an earlier, interrupted run finished."""

    def source(self, key: str) -> Any:
        """A media source, as :mod:`gristmill.spec.media_source` has it.

        Raises:
            RecipeError: The recipe declares none of that key.
        """

    def resource(self, key: Any, make: Callable[[], R]) -> R:
        """Something dear (sockets, decoders) that this process keeps from task to task."""


class SampleStep(Step):
    """Sample in, sample or drop out; neighbours are fused."""

    needs = Needs(cpus=0.5)  # half of a task's time goes into reading and writing

    def with_aux(self, aux: Mapping[str, tuple[Path, ...]]) -> Self:
        """The step as it works with the files of aux sources, by the source's key; most need none.

        Raises:
            SourceError: One that is not as it should be.
        """
        return self

    @abstractmethod
    def apply(self, sample: Sample) -> Outcome:
        """Keep, change or drop one sample."""


class ShardStep(Step):
    """Holds something while it runs: sockets, a decoder."""

    @property
    def keeps_bytes(self) -> bool:
        """Media lie in shards as they came, so that those in archives need not be copied before they are packed."""
        return False

    @abstractmethod
    def apply(self, samples: Sequence[Sample], box: MediaContext) -> Iterator[Outcome]:
        """One outcome for each sample, in order. ``samples`` are those of one task, never the dataset."""

    def without(self, sample: Sample, media: Sequence[str], drop: Drop) -> Outcome:
        """Say what becomes of a finished sample that loses these media afterwards, for the reason in ``drop``."""
        return drop
