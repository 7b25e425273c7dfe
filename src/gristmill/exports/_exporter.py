"""The shape of an exporter: what it reads, what it writes, and what it tells of that."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import Field, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from gristmill.shards.references import is_references
from gristmill.shards.shape import Shape
from gristmill.spec.task import ShardInfo
from gristmill.storage.store import Place

__all__ = ["Exported", "Exporter", "FinishedShards", "FittingExporter", "option"]


def option(default: Any, help: str) -> Any:
    """A field of an exporter that ``gristmill export`` has as an option; its type is that of the default, or text."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedShards:
    """The finished shards of one dataset.

    Attributes:
        folder: The dataset's, or its store.
        shards: In order.
        name: The dataset's, with dashes.
        published_as: The file name that upstream gives to what a trainer reads; empty where it gives none.
        parts: Names of the datasets whose samples it has, if it is a mixture.
        shape: Counts, when it is called, which parts the samples have.
    """

    folder: Place
    shards: tuple[ShardInfo, ...]
    name: str = ""
    published_as: str = ""
    parts: tuple[str, ...] = ()
    shape: Callable[[], Shape] = Shape

    @property
    def refers(self) -> bool:
        """The shards are lists of references to samples in other datasets' shards."""
        return any(is_references(shard.path) for shard in self.shards)

    @property
    def mixture(self) -> bool:
        """Its samples are those of other datasets."""
        return bool(self.parts)

    @property
    def samples(self) -> int:
        """Samples in all shards."""
        return sum(shard.samples for shard in self.shards)


@dataclass(slots=True)
class Exported:
    """The account of an export: what it wrote or found written.

    Attributes:
        form: Which of a trainer's forms it is.
        reader: The trainer's loader that reads it, in words.
        file: Name of the one file, where it is one.
        left_out: Samples of the shards that are not among ``samples``.
        reasons: Why, for the shards written this time.
        changed: What was done to samples so that they fit, by a clause each.
        notes: Sentences that the user must see.
        start: The command that starts training on it.
    """

    form: str = ""
    reader: str = ""
    file: str = ""
    shards: int = 0
    samples: int = 0
    left_out: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    start: str = ""


class Exporter(ABC):
    """One trainer's format. Subclasses are frozen, keyword-only dataclasses whose fields are made by :func:`option`.

    Attributes:
        writes, reads, loses: What it writes, which samples it takes, and what is gone in its files, as phrases.
        to_stores: ``out`` of :meth:`export` may be an object store, too.
        needs_all: What to say where a dataset is not complete; empty where the shards so far may be written.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    writes: ClassVar[str]
    reads: ClassVar[str]
    loses: ClassVar[str]
    to_stores: ClassVar[bool] = False
    needs_all: ClassVar[str] = ""

    @property
    def takes_several(self) -> bool:
        """Several datasets may be written into one folder."""
        return False

    def why_alone(self, dataset: FinishedShards) -> str:
        """Why this dataset is not written beside others into one folder, and what to type; empty if it is."""
        return ""

    def among(self, dataset: FinishedShards, out: Path) -> tuple[Exporter | None, Path]:
        """Of several datasets that are written into one folder: what writes this one, and where; None if nothing."""
        return self, out

    def join(self, datasets: Sequence[FinishedShards], out: Path) -> Exported | None:
        """Write what several datasets in one folder have in common, when each is written; None if they have nothing.

        Args:
            datasets: All that lie beside each other, those too that were not written.
            out: The folder.

        Raises:
            UsageError: They do not fit into one folder.
        """
        return None

    @abstractmethod
    def export(self, dataset: FinishedShards, out: Path) -> Iterator[Exported]:
        """Write the dataset into the folder ``out``, and pass over what is there and was made of the same shards.

        Yields:
            The same account after each shard.

        Raises:
            UsageError: ``out`` holds something else, or a sample does not fit.
        """


@dataclass(frozen=True, kw_only=True)
class FittingExporter(Exporter):
    """An exporter whose format does not fit every sample."""

    leave_out: bool = option(
        False, "Leave out and count samples that do not fit. Otherwise the first ends the export."
    )
