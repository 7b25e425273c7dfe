"""Evaluation sets as they are typed: what is no hash list yet is hashed, once, into ``DIR/sources/decontaminate``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gristmill.cli.options import default_workers
from gristmill.spec.place import path_here
from gristmill.spec.recipe import Recipe
from gristmill.storage.store import Place

__all__ = ["with_lists"]

_STEP = "decontaminate"
_AGAINST = f"{_STEP}.against"
_FORMAT = 1
"""Another number hashes all sets anew."""


def with_lists(recipe: Recipe, settings: Mapping[str, str], folder: Place) -> dict[str, str]:
    """The settings, ``decontaminate.against`` naming a hash list or a folder of them.

    A set is hashed again only if one of its files has another name, size or time.

    Args:
        recipe: With these settings.
        settings: As typed.
        folder: Of the dataset.

    Raises:
        UsageError: Nothing to read there.
        SourceError: A table that cannot be read.
    """
    if not (typed := settings.get(_AGAINST)):
        return dict(settings)
    place = Path(path_here(typed)).absolute()
    files = _files(place)
    if files and _are_lists(files):
        return {**settings, _AGAINST: str(place)}
    from gristmill.cli.hashes_command import hashed_aloud
    from gristmill.run.inputs.media import shared_folder
    from gristmill.spec.task import digest_of

    step: Any = next(step for step in recipe.steps if step.name == _STEP)
    known = [[str(path), (stat := path.stat()).st_size, stat.st_mtime_ns] for path in files]
    out = shared_folder(folder) / _STEP / f"{digest_of([_FORMAT, step.n, known])[:16]}.parquet"
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        hashed_aloud(place, out, n=step.n, thumbnails=True, processes=default_workers())
    return {**settings, _AGAINST: str(out)}


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())


def _are_lists(files: list[Path]) -> bool:
    from gristmill.steps.hash_list import is_hash_list

    return all(path.suffix == ".parquet" and is_hash_list(path) for path in files)
