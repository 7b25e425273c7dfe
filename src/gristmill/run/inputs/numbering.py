"""Annotation files whose names carry a number: their order, their keys, and what is missing among them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from gristmill.ledger.run_config import InputFile
from gristmill.spec.errors import UsageError
from gristmill.spec.recipe import Source

__all__ = ["arranged"]

_LOOKS_COMPLETE = 0.9
"""A set with so many of the published files is taken for the whole, so that a gap in it is worth a note."""
_PACKED = ".zip"


def arranged(source: Source, files: Sequence[InputFile]) -> list[InputFile]:
    """Files of a source in its order, each with its number; a file before which others are missing has a note.

    A file that lies there packed and unpacked is taken unpacked.

    Args:
        source: Says where in a name the number stands; without that the files stay as they are.
        files: By sorted name.

    Raises:
        UsageError: A name without a number, or two files of one number.
    """
    if source.number is None:
        return list(files)
    names = {file.name for file in files}
    alone = [
        file for file in files if not (file.name.endswith(_PACKED) and file.name[: -len(_PACKED)] in names)
    ]
    numbered = [replace(file, number=_number(source.number, file.name)) for file in alone]
    by_number = sorted(numbered, key=lambda file: file.number or 0)
    for one, other in pairwise(by_number):
        if one.number == other.number:
            raise UsageError(
                f"{source.key}: {one.name} and {other.name} are both number {one.number}, and their samples would "
                "share keys. Keep one of them in the folder."
            )
    if len(by_number) >= _LOOKS_COMPLETE * (source.files or len(by_number) + 1):
        by_number = list(_with_notes(source, by_number))
    if source.order == "numeric":
        return by_number
    return sorted(by_number, key=lambda file: file.name)


def _number(pattern: str, name: str) -> int:
    found = re.search(pattern, name)
    if found is None:
        raise UsageError(f"{name}: its name has no number; expected one like {pattern}")
    return int(found[1])


def _with_notes(source: Source, files: Sequence[InputFile]) -> Iterator[InputFile]:
    """Notes of unknown gaps, each with the file behind it."""
    expected = 0
    for file in files:
        number = file.number or 0
        missing = [str(n) for n in range(expected, number) if n not in source.gaps]
        expected = number + 1
        notes = [f"before it are missing, and upstream has them: {_listed(missing)}"] if missing else []
        if file is files[-1] and source.files:
            behind = [
                str(n) for n in range(expected, source.files + len(source.gaps)) if n not in source.gaps
            ]
            notes += [f"behind it are missing, and upstream has them: {_listed(behind)}"] if behind else []
        yield replace(file, note="; ".join(notes)) if notes else file


def _listed(numbers: Sequence[str]) -> str:
    return ", ".join(numbers[:10]) + (f" and {len(numbers) - 10} more" if len(numbers) > 10 else "")
