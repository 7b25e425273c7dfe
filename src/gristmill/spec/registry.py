"""Recipes, mixtures and exporters by name: that of a file of ours, or the path of somebody's own."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from gristmill.spec.errors import RecipeError, UnknownName

__all__ = ["find_in", "module_in", "modules_in", "names_in", "typed"]

Found = TypeVar("Found")

_FILE_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What Python raises where somebody's own file is wrong."""


def typed(name: str) -> str:
    """Say how a module's name is typed: with dashes for underscores, but ``v1_5`` is typed ``v1.5``."""
    return re.sub(r"(?<=_v\d)_(?=\d)", ".", name).replace("_", "-")


def names_in(folders: Iterable[str]) -> list[str]:
    """Names of a package's public modules, as :func:`typed`. None of them is imported.

    Args:
        folders: The package's ``__path__``.
    """
    return sorted(typed(name) for name in modules_in(folders) if not name.startswith("_"))


def modules_in(folders: Iterable[str]) -> list[str]:
    """Names of all of a package's modules. A folder is listed anew where its time of change says so.

    Args:
        folders: The package's ``__path__``.
    """
    return [name for folder in folders for name in _modules_in(folder, _changed_ns(folder))]


@lru_cache(64)
def _modules_in(folder: str, _changed_ns: int) -> tuple[str, ...]:
    return tuple(module.name for module in pkgutil.iter_modules([folder]))


def _changed_ns(folder: str) -> int:
    """A folder's time of change; 0 within an archive, which does not change."""
    return os.stat(folder).st_mtime_ns if os.path.isdir(folder) else 0


def module_in(package: str, name: str) -> ModuleType | None:
    """Import a public module of a package by its name as typed; None if the package has none of that name.

    Args:
        package: Its full name.
        name: With dashes, dots or underscores.
    """
    module = re.sub(r"[-.]", "_", name)
    known = not module.startswith("_") and module in modules_in(importlib.import_module(package).__path__)
    return importlib.import_module(f"{package}.{module}") if known else None


def find_in(package: ModuleType, reference: str, kind: type[Found]) -> Found:
    """Say what a module of a package holds under the name of its kind in capitals, or somebody's own file does.

    Args:
        package: Of modules that hold one each.
        reference: A name that ``names_in`` lists, or a path that ends in ``.py``.
        kind: ``Recipe``, ``Mixture`` or ``Exporter``: held as ``RECIPE``, ``MIXTURE`` or ``EXPORTER``.

    Raises:
        UnknownName: No such name or file.
        RecipeError: There is no such thing in the file, or the file is wrong or contradicts itself.
    """
    noun, name = kind.__name__.lower(), kind.__name__.upper()
    own = reference.endswith(".py")
    module = _from_file(Path(reference), noun) if own else module_in(package.__name__, reference)
    if module is None:
        raise UnknownName(noun, reference, tuple(names_in(package.__path__)))
    found = getattr(module, name, None)
    if not isinstance(found, kind):
        article = "an" if noun[0] in "aeiou" else "a"
        raise RecipeError(
            f"{reference} has no {name}: {article} {noun} file ends in {name} = {kind.__name__}(...)"
        )
    return found


def _from_file(path: Path, noun: str) -> ModuleType:
    if not path.is_file():
        raise UnknownName(f"{noun} file", str(path), ())
    name = f"gristmill_{noun}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except _FILE_FAULTS as err:
        del sys.modules[name]
        raise RecipeError(f"{path}, line {_line_of(err, path)}: {type(err).__name__}: {err}") from err
    return module


def _line_of(err: Exception, path: Path) -> int:
    """The line of the file that an error began in."""
    if isinstance(err, SyntaxError) and err.lineno is not None and err.filename == str(path):
        return err.lineno
    frames = traceback.extract_tb(err.__traceback__)
    return next((frame.lineno or 1 for frame in reversed(frames) if frame.filename == str(path)), 1)
