"""One file a dataset; a file's name is its registration. Names are listed without importing any of them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType

from gristmill.spec.errors import UnknownName
from gristmill.spec.recipe import Built, Recipe
from gristmill.spec.registry import find_in, modules_in, names_in
from gristmill.spec.sample import Json

__all__ = ["built_by", "commands", "find", "groups", "load", "members", "names"]

_COMMAND = "_command_"


def names() -> list[str]:
    """Recipes that come with Gristmill, as typed: dashes for underscores."""
    return names_in(__path__)


def find(reference: str) -> Recipe:
    """A recipe by its name, or by the path of somebody's own recipe file.

    Raises:
        UnknownName: No such recipe or file.
        RecipeError: The file has no ``RECIPE``, or it contradicts itself.
    """
    return find_in(sys.modules[__name__], reference, Recipe)


def groups() -> dict[str, tuple[str, ...]]:
    """Names that stand for several recipes, by their recipes' own word; all recipes are imported for it."""
    found: dict[str, tuple[str, ...]] = {}
    for name in names():
        for group in find(name).groups:
            found[group] = (*found.get(group, ()), name)
    return dict(sorted(found.items()))


def members(reference: str) -> tuple[str, ...]:
    """The recipes that a name stands for: itself, unless it is a group's.

    Raises:
        UnknownName: Neither a recipe nor a group nor a recipe's file.
    """
    if reference.endswith(".py") or reference in names():
        return (reference,)
    known = groups()
    if reference not in known:
        raise UnknownName("recipe", reference, (*names(), *known))
    return known[reference]


def load(
    reference: str, arguments: Mapping[str, Json] | None = None, settings: Mapping[str, str] | None = None
) -> Recipe:
    """A recipe with its settings; made to be called again in a worker process.

    Args:
        reference: Name or path, or one of :func:`commands`.
        arguments: What the recipe of a command is built from.
        settings: ``STEP.FIELD`` to value, as typed.

    Raises:
        UnknownName, RecipeError, UsageError: See :func:`find` and ``Recipe.with_settings``.
    """
    from gristmill.steps.decontaminate import Decontaminate

    if reference in commands():
        recipe: Recipe = _command(reference).build(**(arguments or {}))
    else:
        recipe = find(reference)
    return replace(recipe, optional=(Decontaminate,)).with_settings(settings or {})


def commands() -> list[str]:
    """Recipes that a command builds from its arguments, by the command's name: files called ``_command_NAME``."""
    return sorted(name.removeprefix(_COMMAND) for name in modules_in(__path__) if name.startswith(_COMMAND))


def built_by(command: str) -> Built:
    """Say how a command builds its recipe.

    Args:
        command: One of :func:`commands`.
    """
    built: Built = _command(command).BUILT
    return built


def _command(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{_COMMAND}{name}")
