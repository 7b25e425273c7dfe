"""How far a dataset is, in a line: rows upstream, kept, size, state."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from gristmill.ledger.funnel import funnel
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.manifest import shards_of
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.words import share_text, size_text
from gristmill.spec.sample import Json
from gristmill.storage.store import Place

__all__ = ["PartState", "state_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartState:
    """One dataset, or one part of a mixture, as it stands.

    Attributes:
        folder: Where it lies, or will.
        of: The mixture that it is a part of; empty where none is meant.
        rows: In the upstream's files, as far as they were read; None where nothing was begun.
        kept: Samples that are in its shards or will be; None where nothing was begun.
        size_bytes: Of its shards.
        state: In words.
        finished: Nothing is left to do.
    """

    name: str
    folder: Place
    of: str = ""
    rows: int | None = None
    kept: int | None = None
    size_bytes: int = 0
    state: str
    finished: bool = False

    def cells(self) -> tuple[str, str, str, str, str]:
        """Rows upstream, kept, share, size and state, as people read them."""
        return (
            "–" if self.rows is None else f"{self.rows:,}",
            "–" if self.kept is None else f"{self.kept:,}",
            "–" if not self.rows or self.kept is None else share_text(self.kept, self.rows),
            size_text(self.size_bytes) if self.size_bytes else "–",
            self.state,
        )

    def to_json(self) -> dict[str, Json]:
        """Plain data."""
        return {**asdict(self), "folder": str(self.folder)}


def state_of(folder: Place, name: str, *, of: str = "", unbegun: str) -> PartState:
    """Look how far a dataset is, by its records.

    Args:
        folder: The dataset's.
        name: Of the dataset.
        of: The mixture that it is a part of.
        unbegun: Its state, if nothing was begun.

    Raises:
        DamagedOutput: Its records are not what was written.
    """
    if not RunConfig.lies_in(folder):
        return PartState(name=name, folder=folder, of=of, state=unbegun)
    config, ledger = RunConfig.read(folder), Ledger(folder)
    levels = funnel(ledger.totals(), config)
    read = f"{levels.files_read:,} of {levels.files:,} {levels.inputs} read"
    return PartState(
        name=name,
        folder=folder,
        of=of,
        rows=levels.levels[0].count,
        kept=levels.count("packed") if levels.complete else levels.count("kept"),
        size_bytes=sum(shard.size_bytes for shard in shards_of(ledger)),
        state="finished" if levels.complete else f"not finished: {read}",
        finished=levels.complete,
    )
