"""Chooses the files of a place that a source means, by their names: of a folder, a repository, an object store."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import replace

from gristmill.ledger.run_config import InputFile
from gristmill.ledger.words import count_text
from gristmill.spec.errors import UsageError
from gristmill.spec.recipe import Source

__all__ = ["check_variant", "chosen_of", "left_out", "typed", "with_note"]


def chosen_of(
    source: Source, names: Sequence[str], place: str, folder: str, *, named: bool = False
) -> tuple[list[str], list[str]]:
    """Choose annotation files among the paths below a folder; returns them, and those that are passed over.

    Args:
        source: What is looked for.
        names: The paths, sorted.
        place: The folder as it was given.
        folder: Its own name.
        named: It is the folder of a file that was named itself: what lies beside that is meant, whatever the
            folder's name.

    Raises:
        UsageError: None is like the source's patterns.
    """
    ends = tuple(pattern.rpartition("/")[2] for pattern in source.patterns)
    if source.in_place:
        chosen = _below(names, source.patterns, folder)
        if named and not chosen:
            chosen = [name for name in names if name in ends][:1]
    else:
        chosen = _like(names, source.patterns) or [n for n in names if _like([n.rpartition("/")[2]], ends)]
    chosen, passed = left_out(source, chosen)
    if not chosen and source.role != "aux":
        others = ", ".join(name for name, of in source.variants.items() if of.patterns != source.patterns)
        raise UsageError(
            f"{typed(source, place)}: no file there is like {', '.join(source.patterns)} "
            f"({count_text(len(names), 'file')} looked at){'; or name the file itself' if source.in_place else ''}"
            f"{f'; or read another with --set {source.key}.variant={others}' if others else ''}."
        )
    return chosen, passed


def check_variant(source: Source, place: str) -> None:
    """Refuse a file that by its name is another variant than the one that is read, and is read otherwise.

    Raises:
        UsageError: It is.
    """
    name = place.rpartition("/")[2]
    if source.variant is None or _like([name], source.patterns):
        return
    own = source.variants[source.variant].settings
    others = [key for key, of in source.variants.items() if of.settings != own and _like([name], of.patterns)]
    if others:
        raise UsageError(
            f"{typed(source, place)}: by its name it is the file of another variant than {source.variant}: give "
            f"--set {source.key}.variant={others[0]} too, or name the file otherwise."
        )


def left_out(source: Source, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the names that are taken from those that ``leave_out`` passes over."""
    ends = {name: name.rpartition("/")[2].lower() for name in names}
    passed = [name for name in names if _like([ends[name]], source.leave_out)]
    return [name for name in names if name not in set(passed)], passed


def with_note(source: Source, files: Sequence[InputFile], passed: Sequence[str]) -> list[InputFile]:
    """Give the files, the first with a note of those that were passed over beside it."""
    if not (passed and files):
        return list(files)
    listed = ", ".join(passed[:5]) + (f" and {len(passed) - 5} more" if len(passed) > 5 else "")
    note = f"passed over beside it, by their names no {source.key}s: {listed}"
    return [replace(files[0], note=note), *files[1:]]


def typed(source: Source, place: str) -> str:
    """Write a place as it was given: to a command of one list alone, or as one of a recipe's sources."""
    return place if source.path is not None else f"--source {source.key}={place}"


def _below(names: Sequence[str], patterns: Sequence[str], folder: str) -> list[str]:
    """Files whose path below the folder is a pattern's, or what is left of it below the pattern's first folders.

    A bare name, which files of other datasets may have too, counts only in a folder of the pattern's own name.
    """
    while not (found := _like(names, patterns)) and any("/" in pattern for pattern in patterns):
        parted = [pattern.partition("/") for pattern in patterns]
        patterns = [rest for first, _, rest in parted if rest and ("/" in rest or first == folder)]
    return found


def _like(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    return [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
