"""Trainers' formats, a file each; a file's name is its registration."""

from __future__ import annotations

import sys

from gristmill.exports._conversation import Conversation, Medium
from gristmill.exports._dialect import Dialect, Laid
from gristmill.exports._exporter import Exported, Exporter, FinishedShards, FittingExporter, option
from gristmill.exports._writing import check_folder, finished_shards, or_nothing, shard_samples
from gristmill.spec.registry import find_in, names_in

__all__ = [
    "Conversation",
    "Dialect",
    "Exported",
    "Exporter",
    "FinishedShards",
    "FittingExporter",
    "Laid",
    "Medium",
    "check_folder",
    "find",
    "finished_shards",
    "names",
    "option",
    "or_nothing",
    "shard_samples",
]


def names() -> list[str]:
    """Formats that come with Gristmill, as typed: dashes for underscores."""
    return names_in(__path__)


def find(reference: str) -> Exporter:
    """An exporter with its defaults, by its name or by the path of somebody's own file.

    Raises:
        UnknownName: No such exporter or file.
        RecipeError: The file has no ``EXPORTER``, or it is wrong.
    """
    return find_in(sys.modules[__name__], reference, Exporter)  # type: ignore[type-abstract]
