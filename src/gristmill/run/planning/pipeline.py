"""A recipe's stages: found by file, chosen by the recipe's steps, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import import_module
from itertools import zip_longest
from typing import Any

from gristmill.run.planning.stage import Stage
from gristmill.spec.barrier import Barrier, GlobalShuffle
from gristmill.spec.errors import RecipeError, UnknownName
from gristmill.spec.recipe import Recipe
from gristmill.spec.registry import names_in
from gristmill.spec.step import Step, TableStep
from gristmill.spec.task import Account

__all__ = ["Pipeline", "accounts", "verbs"]

_FOLDER = "gristmill.run.stages"
_SHAPE = "one step over the table, then steps over samples, perhaps a global filter, then one that packs or shuffles"


class Pipeline:
    """The stages that a recipe's tasks go through, from its inputs to its shards.

    Raises:
        RecipeError: Its steps stand in an order that no stages can be made of.

    Attributes:
        table: The step that reads annotation files; None for a mixture, whose inputs are finished shards.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.table = recipe.steps[0] if recipe.steps and isinstance(recipe.steps[0], TableStep) else None
        self._steps = recipe.steps
        version = f"{recipe.public_name}@{recipe.version}"
        self._stages: dict[str, Stage[Any]] = {}
        for kind in _kinds(tuple(import_module(_FOLDER).__path__)):
            own = kind.steps_of(recipe.steps)
            if own is not None and kind.concerns(recipe):
                self._stages[kind.name] = kind(own, recipe.steps, version)
        _check(recipe, list(self))

    def __iter__(self) -> Iterator[Stage[Any]]:
        return iter(self._stages.values())

    def __getitem__(self, name: str) -> Stage[Any]:
        if name not in self._stages:
            raise RecipeError(f"the recipe has no stage {name}; whoever planned its tasks had another recipe")
        return self._stages[name]

    def ending_with(self, step_name: str) -> Stage[Any]:
        """The stage that ends with a step.

        Raises:
            UnknownName: The recipe has no such step.
        """
        for step in self._steps:
            if step.name == step_name:
                return [stage for stage in self if _within(step, stage.steps)][-1]
        raise UnknownName("step", step_name, tuple(step.name for step in self._steps))


@lru_cache(maxsize=4)
def _kinds(folders: tuple[str, ...]) -> Sequence[type[Stage[Any]]]:
    """The class ``STAGE`` of each file, in the order in which a dataset goes through them."""
    kinds = [import_module(f"{_FOLDER}.{name.replace('-', '_')}").STAGE for name in names_in(folders)]
    return sorted(kinds, key=lambda kind: -kind.rank)


def accounts() -> dict[str, Account]:
    """Say what tasks count for, by the names of all stages that there are."""
    return {kind.name: kind.account for kind in _kinds(tuple(import_module(_FOLDER).__path__))}


def verbs() -> dict[str, str]:
    """Say what tasks do, for a person, by the names of all stages that there are."""
    return {kind.name: kind.verb or kind.name for kind in _kinds(tuple(import_module(_FOLDER).__path__))}


def _within(step: Step, steps: Sequence[Step]) -> bool:
    return any(each is step for each in steps)


def _check(recipe: Recipe, stages: Sequence[Stage[Any]]) -> None:
    steps = recipe.steps
    mixes = len(steps) == 1 and isinstance(steps[0], GlobalShuffle)
    begins = mixes or (len(steps) > 1 and isinstance(steps[0], TableStep))
    if not begins or not isinstance(steps[-1], Barrier | GlobalShuffle):
        raise RecipeError(f"{recipe.name}: expected {_SHAPE}; it has {[s.name for s in steps]}")
    owned: list[Step] = []
    before: tuple[Step, ...] = ()
    for stage in stages:  # one step may have several stages, which stand side by side
        owned += stage.steps if stage.steps != before else ()
        before = stage.steps or before
    for step, owner in zip_longest(steps, owned):
        if step is not owner:
            name = (step or owner).name
            raise RecipeError(f"{recipe.name}: {name} stands in the wrong place; expected {_SHAPE}")
