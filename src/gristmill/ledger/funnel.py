"""The funnel of a dataset: its levels, each the sum of the next, what was lost on the way, and what waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from gristmill.ledger.losses import Phase, phase_of
from gristmill.ledger.mixture_parts import samples_and_copies
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.totals import Totals
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Json

__all__ = ["Funnel", "Level", "funnel"]

_ROWS = {
    "annotated": "rows in the annotation files",
    "selected": "chosen by the recipe",
    "asked": "asked for",
    "fetched": "arrived",
    "kept": "kept as good pictures",
    "packed": "in the shards",
}
_DOCUMENTS = {
    **_ROWS,
    "annotated": "documents in the annotation files",
    "fetched": "whose images arrived",
    "kept": "kept, with good pictures",
}
_READ = {
    **_ROWS,
    "read": "read as samples",
    "kept": "kept as good samples",
}
"""Where no step asks for anything: the annotation files hold the samples themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level: ``count`` = next level's count + ``lost`` + ``waiting``.

    Attributes:
        title: What a sample on this level is, in words.
        phase: Where the losses between this level and the next happen; None for the last.
        lost: Losses by reason, the largest first.
        waiting: Not yet worked on.
    """

    name: str
    title: str
    count: int
    phase: Phase | None = None
    lost: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0

    @property
    def lost_count(self) -> int:
        """All losses on the way to the next level."""
        return sum(self.lost.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """The levels from the upstream's rows to packed samples.

    Attributes:
        adds_up: The first level is what the annotation files hold, as far as they were read.
        files_read: Annotation files whose rows all have a fate or were handed on.
        complete: All files were read and nothing waits.
        inputs: What the files are called.
        asks: Media are asked for; otherwise there are no levels ``asked`` and ``fetched``, but one ``read``.
    """

    levels: tuple[Level, ...]
    adds_up: bool
    files: int
    files_read: int
    asks: bool = True
    inputs: str = "annotation files"

    @property
    def base(self) -> str:
        """The level that shares of what was kept are of: what was asked for, or chosen where nothing is."""
        return "asked" if self.asks else "selected"

    @property
    def complete(self) -> bool:
        """Nothing is left to do."""
        return self.files_read >= self.files and not any(level.waiting for level in self.levels)

    def count(self, name: str) -> int:
        """Samples on the level ``name``; 0 where there is no such level, as in a mixture nothing is asked for."""
        return next((level.count for level in self.levels if level.name == name), 0)

    def dropped(self, *, after_selection: bool = False) -> dict[str, int]:
        """Losses by reason over all levels, the largest first.

        Args:
            after_selection: Leave out the rows that were never chosen.
        """
        levels = self.levels[1:] if after_selection else self.levels
        return dict(sum((Counter(level.lost) for level in levels), Counter()).most_common())

    def to_json(self) -> list[Json]:
        """Plain data."""
        return [
            {
                "level": level.name,
                "count": level.count,
                "lost": dict(level.lost),
                "waiting": level.waiting,
            }
            for level in self.levels
        ]


def funnel(totals: Totals, config: RunConfig) -> Funnel:
    """The funnel of the records summed in ``totals``.

    While a run is under way its records are read one journal after another, so a later stage may already be
    known by more samples than the earlier one handed on: levels are therefore summed up from the last.
    """
    if config.parts:
        return _of_mixture(totals, config)
    rows, samples, pack = totals.of("reading"), totals.of("making"), totals.of("packing")
    taken = totals.of("judging").dropped  # of what had been made
    lost: dict[Phase, Counter[str]] = {phase: Counter() for phase in Phase}
    lost[Phase.SELECTING].update(rows.dropped)
    lost[Phase.PACKING].update(pack.dropped)
    lost[Phase.PACKING].update(totals.of("placing").dropped)
    for reason, number in (*samples.dropped.items(), *taken.items()):
        lost[phase_of(reason)][reason] += number

    packed = pack.kept
    kept = max(samples.kept - taken.total(), pack.samples_in)
    fetched = kept + lost[Phase.CHECKING].total()
    asked = fetched + lost[Phase.FETCHING].total()
    read = asked + lost[Phase.READING].total()
    selected = max(rows.kept, read)
    annotated = selected + lost[Phase.SELECTING].total()
    asks = config.asks
    titles = _READ if not asks else _DOCUMENTS if totals.several else _ROWS
    if config.built:
        several = "s" if len(config.inputs) > 1 else ""
        head = f"{config.built.item}s in the {config.input_noun}{several}"
        titles = titles | {
            "annotated": head,
            "selected": "taken of them",
            "asked": "with a URL that is asked for",
        }

    def level(name: str, count: int, phase: Phase | None = None, waiting: int = 0) -> Level:
        reasons = dict(lost[phase].most_common()) if phase else {}
        return Level(name=name, title=titles[name], count=count, phase=phase, lost=reasons, waiting=waiting)

    if asks:
        between = [level("asked", asked, Phase.FETCHING), level("fetched", fetched, Phase.CHECKING)]
    else:
        lost[Phase.CHECKING] += lost[Phase.FETCHING]
        between = [level("read", asked, Phase.CHECKING)]
    return Funnel(
        levels=(
            level("annotated", annotated, Phase.SELECTING),
            level("selected", selected, Phase.READING, selected - read),
            *between,
            level("kept", kept, Phase.PACKING, kept - packed - lost[Phase.PACKING].total()),
            level("packed", packed),
        ),
        adds_up=not rows.tasks or annotated == rows.samples_in,
        files=len(config.inputs),
        files_read=rows.tasks,
        asks=asks,
        inputs=f"{config.input_noun}s",
    )


def _of_mixture(totals: Totals, config: RunConfig) -> Funnel:
    """Samples of the parts, those that are taken, those that have a place, and those that are there."""
    scatter, packed = totals.of("placing"), totals.of("packing").kept
    lost: dict[Phase, Counter[str]] = {Phase.SELECTING: Counter(), Phase.PACKING: Counter()}
    for reason, number in scatter.dropped.items():
        lost[Phase.PACKING if reason == Reason.TAIL else Phase.SELECTING][reason] += number
    kept = max(scatter.kept, packed)
    taken = kept + lost[Phase.PACKING].total()
    inside = samples_and_copies(config)
    waiting = inside - taken - lost[Phase.SELECTING].total()
    return Funnel(
        levels=(
            Level(
                name="annotated",
                title="samples in the parts, copies included",
                count=inside,
                phase=Phase.SELECTING,
                lost=dict(lost[Phase.SELECTING].most_common()),
                waiting=waiting,
            ),
            Level(
                name="selected",
                title="taken by the mixture",
                count=taken,
                phase=Phase.PACKING,
                lost=dict(lost[Phase.PACKING].most_common()),
            ),
            Level(name="kept", title="with a place in a shard", count=kept, waiting=kept - packed),
            Level(name="packed", title="in the shards", count=packed),
        ),
        adds_up=scatter.tasks < len(config.inputs) or waiting == 0,
        files=len(config.inputs),
        files_read=scatter.tasks,
        asks=False,
        inputs="shards of the parts",
    )
