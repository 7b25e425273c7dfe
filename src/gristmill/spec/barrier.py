"""Steps that must know of the whole dataset, and what they are told of it: summaries, slices, places."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Protocol

from gristmill.spec.body import Body
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Json
from gristmill.spec.step import Step
from gristmill.spec.task import Role, ShardInfo

__all__ = [
    "Barrier",
    "Decider",
    "GlobalFilter",
    "GlobalShuffle",
    "Group",
    "IndexSummary",
    "PackContext",
    "PackedRow",
    "Places",
    "Slice",
]


class GlobalFilter(Step):
    """Counts over the fates of all media of the dataset, and names media that no sample shall keep.

    Fates come as ``pyarrow.RecordBatch`` with ``columns``, the blocklist is a ``pyarrow.Table``. The same fates give
    the same blocklist, in whichever process. Memory must not grow with their number.
    """

    columns: ClassVar[tuple[str, ...]]

    @property
    @abstractmethod
    def decisive(self) -> bool:
        """Samples lose the media on the blocklist, and packing waits for it; else it is only reported."""

    @abstractmethod
    def tally(self, fates: Callable[[], Iterator[Any]], scratch: Path) -> tuple[Any, Json]:
        """Count.

        Args:
            fates: Reads all fates, anew at each call.
            scratch: An empty folder for what does not fit into memory.

        Returns:
            The blocklist, and a small summary for the record: ``{}`` if there is nothing to say.
        """

    @abstractmethod
    def flagged(self, fates: Any, blocklist: Any) -> Any:
        """Marks those of one task's fates that are on the blocklist: a mask of bool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSummary:
    """Holds what a Barrier learns of one finished shard.

    Attributes:
        sizes: Stored bytes of each kept sample, read only if asked for.
    """

    shard: ShardInfo
    sizes: Callable[[], Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Samples ``start`` to ``stop`` (exclusive, counted among the kept) of an intermediate shard."""

    shard: ShardInfo
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Slices that make one output shard, in order; or that are left out, with the reason."""

    slices: tuple[Slice, ...]
    drop: Reason | None = None

    @property
    def samples(self) -> int:
        """Samples in all slices."""
        return sum(piece.stop - piece.start for piece in self.slices)


class Decider(Protocol):
    """Decides as soon as it can: fed summaries in the dataset's order, says which slices share a shard."""

    def feed(self, summary: IndexSummary) -> list[Group]:
        """Say what is settled by this summary and those before it."""

    def finish(self) -> list[Group]:
        """Say what only the end settles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedRow:
    """One sample that was attempted: kept, with the bytes of its media, or not, with the reason.

    Attributes:
        bodies: By part name; large ones are to be read before the next row is asked for.
        stored: The sample as :func:`gristmill.shards.samples.encode_sample` wrote it; None where the row did not
            parse.
        asked: When its first medium was asked for and its last was had or given up, in Unix time; None if none was.
    """

    key: str
    stored: bytes | None
    reason: Reason | None
    bodies: Mapping[str, Body]
    asked: tuple[float, float] | None = None


class PackContext(Protocol):
    """Holds what a Barrier's ``apply`` reads from and writes to."""

    def attempts(self, piece: Slice) -> Iterator[PackedRow]:
        """The slice's samples in order, and with them the rows attempted since the sample before."""

    def write(self, suffix: str, role: Role) -> AbstractContextManager[BinaryIO]:
        """A whole file named after the shard's number: ``00000`` + ``suffix``."""

    def note(self, shape: str) -> None:
        """Say what the samples of the shard are made of, for its record; see ``gristmill.shards.shape``."""


class Barrier(Step):
    """A decision that needs more than one shard: summarise, decide (pure, small), apply."""

    @abstractmethod
    def decider(self) -> Decider:
        """A fresh decider."""

    @abstractmethod
    def apply(self, slices: Sequence[Slice], box: PackContext) -> None:
        """Make one output shard out of its slices."""


class Places(Protocol):
    """Says which place of which output shard each sample gets; decided by their number alone.

    Places are counted over all shards: shard ``s`` holds those from ``bounds(s)[0]`` to ``bounds(s)[1]``.

    Attributes:
        shards: Output shards.
        kept: Samples that have a place; those whose place is ``kept`` or beyond are left out.
        drop: Why they are.
        note: What a person must know about it, or the empty string.
    """

    shards: int
    kept: int
    drop: Reason
    note: str

    def bounds(self, shard: int) -> tuple[int, int]:
        """First place of a shard, and the first beyond it."""

    def of(self, start: int, stop: int) -> Any:
        """Places of the samples ``start`` to ``stop`` of the dataset's order: int64, shape (stop - start,)."""


class GlobalShuffle(Step):
    """A barrier at which samples of every input go to every output: scattered, then gathered."""

    @abstractmethod
    def ranks(self, start: int, stop: int, samples: int) -> Any:
        """Say in which order random samples are taken of a mixture's part.

        Args:
            start, stop: Positions in the part.
            samples: Of the part.

        Returns:
            For each position its place in that order: int64, shape (stop - start,).
        """

    @property
    def without_duplicates(self) -> bool:
        """Say whether a mixture leaves out samples whose media an earlier part has."""
        return False

    @property
    def refers(self) -> bool:
        """Say whether gathering writes where samples lie, instead of the samples; only of finished datasets."""
        return False

    @property
    def copies(self) -> bool:
        """Say whether scattering also copies finished samples, so that gathering reads them in sequence."""
        return False

    @abstractmethod
    def places(self, samples: int, earlier: int | None = None) -> Places:
        """Say what becomes of so many samples.

        Args:
            samples: All that there are.
            earlier: In a round of asking again, the samples of the first: its few get as few shards.
        """
