"""Names of columns, and of what lies within their values: ``image.url``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gristmill.spec.sample import Json

__all__ = ["column_of", "value_at"]


def value_at(row: Mapping[str, Json], path: str) -> Json:
    """Give what stands in a row under a name or, where no column has it, under each of its parts: ``image.url``.

    Of a list that is met on the way a number takes one element (``images.0.url``); any other name takes what stands
    under it in each of them (``images.url``). None where there is nothing.
    """
    if path in row:
        return row[path]
    name, dot, rest = path.partition(".")
    return _within(row[name], rest) if dot and name in row else None


def _within(value: Json, path: str) -> Json:
    if isinstance(value, Mapping):
        return value_at(value, path)
    if not isinstance(value, list):
        return None
    place, _, rest = path.partition(".")
    if not place.isdecimal():
        return [_within(item, path) for item in value]
    found = value[int(place)] if len(place) < 10 and int(place) < len(value) else None
    return _within(found, rest) if rest else found


def column_of(path: str, names: Sequence[str]) -> str:
    """The column that a path leads into: itself, if there is one of that name."""
    return path if path in names else path.partition(".")[0]
