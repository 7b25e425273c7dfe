"""One file a mixture; a file's name is its registration. Names are listed without importing any of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from gristmill.spec.mixture import STAGES, Mixture
from gristmill.spec.recipe import Recipe
from gristmill.spec.registry import find_in, names_in

__all__ = ["find", "groups", "is_mixture", "load", "names"]

_TOML = ".toml"


def names() -> list[str]:
    """Mixtures that come with Gristmill, as typed: dashes for underscores."""
    return names_in(__path__)


def groups() -> dict[str, tuple[str, ...]]:
    """Names that stand for several mixtures, by their own word, in the order of the stages that they are for."""
    found: dict[str, list[Mixture]] = {}
    for name in names():
        mixture = find(name)
        for group in mixture.groups:
            found.setdefault(group, []).append(mixture)
    return {
        group: tuple(mixture.public_name for mixture in sorted(found[group], key=_place))
        for group in sorted(found)
    }


def _place(mixture: Mixture) -> int:
    """Where a mixture stands in a training, by the first stage that it is for."""
    return min((STAGES.index(stage) for stage in mixture.stages), default=len(STAGES))


def is_mixture(reference: str) -> bool:
    """Say whether this is the name of a mixture, or the path of a file that holds one: any TOML does.

    A Python file is looked at as text, so that nothing in it runs only to learn that.
    """
    if reference.endswith(_TOML):
        return True
    if not reference.endswith(".py"):
        return reference in names()
    try:
        return "\nMIXTURE = " in Path(reference).read_text()
    except (OSError, UnicodeDecodeError):
        return False  # whoever opens it as a recipe says so


def find(reference: str) -> Mixture:
    """A mixture by its name, or by the path of somebody's own file, Python or TOML.

    Raises:
        UnknownName: No such mixture or file.
        RecipeError: The file has no ``MIXTURE``, or it contradicts itself.
        UsageError: It is an address.
    """
    if reference.endswith(_TOML):
        from gristmill.mixtures._toml import read_toml
        from gristmill.spec.place import path_here

        return read_toml(Path(path_here(reference)))
    return find_in(sys.modules[__name__], reference, Mixture)


def load(reference: str, settings: Mapping[str, str] | None = None) -> Recipe:
    """A mixture as a recipe, with its settings; made to be called again in a worker process.

    Raises:
        UnknownName, RecipeError, UsageError: See :func:`find` and ``Recipe.with_settings``.
    """
    return find(reference).recipe().with_settings(settings or {})
