"""Opening a dataset's folder again, from what lies in it alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import InputFile, RunConfig
from gristmill.ledger.totals import failing
from gristmill.run.inputs.resolve import Resolved
from gristmill.run.planning.pipeline import Pipeline
from gristmill.run.planning.planner import Planner
from gristmill.run.stages.samples import Samples
from gristmill.run.state import layout
from gristmill.run.state.context import Progress
from gristmill.run.state.layout import check_place
from gristmill.shards.spool import read_spool
from gristmill.spec.errors import Busy, DamagedOutput, UnknownName, UsageError
from gristmill.spec.reasons import TRANSIENT, Reason
from gristmill.spec.recipe import Recipe
from gristmill.spec.sample import is_numbered
from gristmill.storage.store import Place, store_at

__all__ = [
    "Dataset",
    "add_round",
    "interrupted",
    "open_dataset",
    "planner_of",
    "reads_rows",
    "reasons_from",
    "under_way",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset's folder and what it was begun with."""

    folder: Place
    config: RunConfig
    ledger: Ledger

    @property
    def reference(self) -> str:
        """The name or path of its recipe."""
        return self.config.recipe

    @property
    def arguments(self) -> dict[str, object]:
        """Say what its recipe is built from."""
        arguments = dict(self.config.arguments)
        if self.config.built:
            arguments["path"] = self.config.sources[self.config.built.source]
        return arguments

    def resolved(self) -> Resolved:
        """Its annotation files, as they were found at the beginning."""
        fetched = {f.source for f in self.config.files if f.path is None}
        remotes = {key: place for key, place in self.config.sources.items() if key in fetched}
        return Resolved(
            inputs=self.config.inputs,
            remotes=remotes,
            sources=dict(self.config.sources),
            aux=self.config.aux,
            media=self.config.media,
        )


def open_dataset(folder: Place, *, made: bool = True) -> Dataset:
    """Read a dataset's folder, after looking through it.

    Args:
        folder: The dataset's.
        made: Look also through the shards and fates; else whoever reads them does.

    Raises:
        UsageError: It holds no dataset.
        DamagedOutput: It holds what no run puts there.
    """
    check_place(store_at(folder), made=made)
    opened = Dataset(folder=folder, config=RunConfig.read(folder), ledger=Ledger(folder))
    places = max(1, len(opened.config.inputs))
    last = opened.ledger.records.furthest()
    if last is not None and last.number[1] >= places:
        raise DamagedOutput(
            f"{folder}: the record of task {last.task_id[:40]!r} is of an annotation file that the folder was "
            "not begun with. Restore the records and run.json from one copy."
        )
    return opened


def under_way(opened: Dataset) -> tuple[int, int]:
    """Crawl tasks begun and not done, and the media they have finished so far, by the heads of their spools."""
    config = _unfinished(opened.ledger)
    media = sum(1 for path in config for _ in read_spool(path, finished=False, check_bodies=False))
    return len(config), media


def interrupted(ledger: Ledger) -> Iterator[Progress]:
    """Say how far each crawl task that was begun and is not done came, by the heads of its spool.

    Samples that may have several media are left out: the heads do not tell which of them are finished.
    """
    for path in _unfinished(ledger):
        entries = read_spool(path, finished=False, check_bodies=False)
        fates = (orjson.loads(entry.header) for entry in entries)
        reasons = {fate["row"]: fate["reason"] for fate in fates if not is_numbered(fate["medium"])}
        if reasons:
            yield Progress(
                task_id=path.stem.rpartition("-")[2],
                stage=Samples.name,
                done=len(reasons),
                total=None,
                reasons=Counter(filter(None, reasons.values())),
                bytes_in=0,
            )


def _unfinished(ledger: Ledger) -> list[Path]:
    """Spools of crawl tasks that were begun and are not done."""
    spools = sorted(ledger.store.work(layout.CRAWLED).glob("*.spool"))
    left = {f"{layout.CRAWLED}/{path.name}": path for path in spools}
    for record in ledger.of("making") if left else ():
        for shard in record.outputs:
            left.pop(shard.path, None)
    return list(left.values())


def reasons_from(text: str) -> tuple[str, ...]:
    """The reasons that a word or a list of words names; ``transient`` is all that may heal.

    Raises:
        UsageError: None is named, or a word is no reason.
    """
    found: set[str] = set()
    aliases = {"timeout": {"deadline", "stalled", "connect_timeout"}, "transient": set(map(str, TRANSIENT))}
    for word in filter(None, (part.strip() for part in text.split(","))):
        if word in aliases:
            found |= aliases[word]
        elif word in set(Reason):
            found.add(word)
        else:
            raise UnknownName("reason", word, tuple(sorted([*aliases, *(str(reason) for reason in Reason)])))
    if not found:
        raise UsageError("--reason: expected reasons as gristmill status names them, timeout, or transient")
    return tuple(sorted(found))


def add_round(
    opened: Dataset, planner: Planner, reasons: tuple[str, ...], media: Sequence[InputFile] = ()
) -> bool:
    """Begin a round of asking again; True if there is something to do.

    A round that was begun for the same reasons and is not finished is gone on with instead.

    Args:
        opened: The dataset.
        planner: What is done.
        reasons: Of the losses that are asked for again.
        media: Files of media sources as they are now.
    """
    if not planner.complete and opened.config.rounds[-1:] == (reasons,):
        return True
    failed = failing(opened.ledger.of("making"))
    if not any(reason in reasons for reason in failed):
        return False
    with opened.ledger.store.leases(layout.LEASES) as leases:
        if not leases.take("begin"):
            raise Busy(f"another run is beginning {opened.folder}; give the same command again.")
        opened.config.with_round(reasons, media).write(opened.folder)
    return True


def reads_rows(opened: Dataset, recipe: Recipe) -> bool:
    """Say whether annotation files are still to be read: rows to be chosen, or texts that stay where they lie."""
    table = Pipeline(recipe).table
    if table is None:
        return False
    return table.keeps_source or len(opened.ledger.of("reading")) < len(opened.config.inputs)


def planner_of(opened: Dataset, recipe: Recipe) -> Planner:
    """Say what is done and to be done in a dataset's folder.

    Raises:
        DriftError: The recipe is not the one that it was begun with, so that nothing in it would be found again.
    """
    opened.config.check(replace(opened.config, identity=recipe.identity()), opened.folder)
    return Planner(recipe, opened.config, opened.ledger)
