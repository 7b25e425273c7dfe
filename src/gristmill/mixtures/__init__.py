"""One file a mixture; a file's name is its registration. Names are listed without importing any of them."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Mapping
from pathlib import Path

from gristmill.spec.errors import RecipeError, UnknownName
from gristmill.spec.mixture import Mixture
from gristmill.spec.recipe import Recipe

__all__ = ["find", "is_mixture", "load", "names"]


def names() -> list[str]:
    """Mixtures that come with Gristmill, as typed: dashes for underscores."""
    found = (module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return sorted(name.replace("_", "-") for name in found)


def is_mixture(reference: str) -> bool:
    """Whether this is the name of a mixture, or the path of a file that holds one.

    A file is looked at as text, so that nothing in it runs only to learn that.
    """
    if not reference.endswith(".py"):
        return reference in names()
    try:
        return "\nMIXTURE = " in Path(reference).read_text()
    except (OSError, UnicodeDecodeError):
        return False  # whoever opens it as a recipe says so


def find(reference: str) -> Mixture:
    """A mixture by its name, or by the path of somebody's own file.

    Raises:
        UnknownName: No such mixture or file.
        RecipeError: The file has no ``MIXTURE``, or it contradicts itself.
    """
    if reference.endswith(".py"):
        path = Path(reference)
        spec = importlib.util.spec_from_file_location(f"gristmill_mixture_{path.stem}", path)
        if not path.is_file() or spec is None or spec.loader is None:
            raise UnknownName("mixture file", reference, ())
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    elif reference in names():
        module = importlib.import_module(f"{__name__}.{reference.replace('-', '_')}")
    else:
        raise UnknownName("mixture", reference, tuple(names()))
    mixture = getattr(module, "MIXTURE", None)
    if not isinstance(mixture, Mixture):
        raise RecipeError(f"{reference} has no MIXTURE: a mixture's file ends in MIXTURE = Mixture(...)")
    return mixture


def load(reference: str, settings: Mapping[str, str] | None = None) -> Recipe:
    """A mixture as a recipe, with its settings; made to be called again in a worker process.

    Raises:
        UnknownName, RecipeError, UsageError: See :func:`find` and ``Recipe.with_settings``.
    """
    return find(reference).recipe().with_settings(settings or {})
