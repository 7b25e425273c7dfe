"""A recipe's steps, grouped into stages: neighbours that run together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from gristmill.spec.barrier import Barrier, GlobalFilter, GlobalShuffle
from gristmill.spec.errors import RecipeError
from gristmill.spec.recipe import Recipe
from gristmill.spec.step import SampleStep, ShardStep, Step, TableStep
from gristmill.spec.task import digest_of

__all__ = [
    "GATHER",
    "KEYS",
    "PACK",
    "PRESCAN",
    "ROWS",
    "SAMPLES",
    "SCATTER",
    "SCREEN",
    "STATISTICS",
    "UNIQUE",
    "Stages",
    "stages_of",
]

PRESCAN = "prescan"
ROWS = "rows"
SAMPLES = "samples"
STATISTICS = "statistics"
SCREEN = "screen"
UNIQUE = "unique"
SCATTER = "scatter"
KEYS = "keys"
GATHER = "gather"
PACK = "pack"


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Rows of annotations to parts, parts to finished samples, samples to shards.

    Attributes:
        table: None for a mixture, whose inputs are finished shards.
    """

    table: TableStep | None
    samples: tuple[SampleStep | ShardStep, ...]
    barrier: Barrier | GlobalShuffle
    version: str
    global_filter: GlobalFilter | None = None

    @property
    def packer(self) -> Barrier | None:
        """The step that packs, if that is how shards are made."""
        return self.barrier if isinstance(self.barrier, Barrier) else None

    @property
    def shuffle(self) -> GlobalShuffle | None:
        """The step that scatters and gathers, if that is how shards are made."""
        return self.barrier if isinstance(self.barrier, GlobalShuffle) else None

    def identity(self, stage: str) -> str:
        """Hash of what decides a stage's outcome: its steps, and the recipe's version for ``parse``."""
        return self._identities[stage]

    @cached_property
    def _identities(self) -> dict[str, str]:
        steps: dict[str, tuple[Step, ...]] = {
            PRESCAN: (self.table,) if self.table else (),
            ROWS: (self.table,) if self.table else (),
            SAMPLES: self.samples,
            STATISTICS: (self.global_filter,) if self.global_filter else (),
            SCREEN: (self.global_filter, *self.samples) if self.global_filter else (),
            UNIQUE: (),
            SCATTER: (self.barrier,),
            KEYS: (self.barrier,),
            GATHER: (self.barrier,),
            PACK: (self.barrier,),
        }
        return {
            stage: digest_of([self.version, [step.identity() for step in own]])
            for stage, own in steps.items()
        }


def stages_of(recipe: Recipe) -> Stages:
    """Group a recipe's steps.

    Raises:
        RecipeError: The order is not one TableStep, sample and shard steps, perhaps a Census, one Barrier or
            Exchange; or, for a mixture, one Exchange alone.
    """
    steps = recipe.steps
    version = f"{recipe.public_name}@{recipe.version}"
    if len(steps) == 1 and isinstance(steps[0], GlobalShuffle):
        return Stages(table=None, samples=(), barrier=steps[0], version=version)
    shape = "one step over the table, then steps over samples, perhaps a census, then one that packs"
    if (
        len(steps) < 2
        or not isinstance(steps[0], TableStep)
        or not isinstance(steps[-1], Barrier | GlobalShuffle)
    ):
        raise RecipeError(f"{recipe.name}: expected {shape}; it has {[s.name for s in steps]}")
    middle = []
    global_filter = steps[-2] if isinstance(steps[-2], GlobalFilter) else None
    for step in steps[1 : -2 if global_filter else -1]:
        if not isinstance(step, (SampleStep, ShardStep)):
            raise RecipeError(f"{recipe.name}: {step.name} stands in the wrong place; expected {shape}")
        middle.append(step)
    return Stages(
        table=steps[0], samples=tuple(middle), barrier=steps[-1], version=version, global_filter=global_filter
    )
