"""Check what ``parse`` or a step returns: it has the right types, and names that a shard can hold.

It is checked where it returns, row by row. What shows only when shards are packed would cost the crawl.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, cast

from gristmill.spec.cut import Cut
from gristmill.spec.locator import Locator
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import CHANGES, Drop, MediaRef, Sample, Show, Text, Turn

__all__ = ["fault_of"]

_MOST_NAME = 100
"""Of a file in a shard, ``KEY.PART``; longer ones need the prefix field of tar, which some readers ignore."""
_ENDING = len(".webp")
"""Of a medium that is not stored yet."""
_KINDS = ("image", "video")
_TEXTS: tuple[str, ...] = (
    "expected_phash",
    "expected_hash",
    "sha256",
    "md5",
    "original_mime",
    "mime",
    "phash",
    "via",
    "name",
)
_NUMBERS = tuple(f.name for f in fields(MediaRef) if f.name not in {*_TEXTS, "kind", "at", "cut"})
_FIELDS = (
    (attrgetter(*_TEXTS), _TEXTS, frozenset({str, type(None)}), "text"),
    (attrgetter(*_NUMBERS), _NUMBERS, frozenset({int, float, type(None)}), "a number"),
)
"""Fetched and looked at all at once: it is done for every medium of every sample."""
_TAKEN = ("txt", "json")
"""Parts of a sample that are no media."""


def fault_of(outcome: object, *, stored: bool = False) -> str | None:
    """Say what is wrong with what ``parse`` or a step returned, with the field's name; None if nothing is.

    Args:
        outcome: What it returned.
        stored: Media may bear the names of parts (``jpg``, ``000.jpg``), as after a step that stores them.
    """
    if isinstance(outcome, Drop):
        if not isinstance(outcome.reason, Reason):
            return _no("Drop.reason", outcome.reason, "a Reason")
        return None if isinstance(outcome.detail, str) else _no("Drop.detail", outcome.detail, "text")
    if not isinstance(outcome, Sample):
        return _no("what it returned", outcome, "a Sample or a Drop")
    return (
        _in_media(outcome, stored=stored)
        or _in_key(outcome, stored=stored)
        or next(filter(None, (_in_turn(turn, outcome) for turn in _listed(outcome.turns))), None)
        or (None if _is_list(outcome.turns) else _no("turns", outcome.turns, "a tuple of Turn"))
        or _in_columns(outcome)
    )


def _in_media(sample: Sample, *, stored: bool) -> str | None:
    if not isinstance(sample.media, Mapping):
        return _no("media", sample.media, "a mapping of names to MediaRef")
    for name, ref in sample.media.items():
        if not _is_name(name, dots=stored) or (stored and name in _TAKEN):
            return _no("a name in media", name, "printable ASCII without dot or slash, as image or 000")
        if not isinstance(ref, MediaRef):
            return _no(f"media[{name!r}]", ref, "a MediaRef")
        if ref.kind not in _KINDS:
            return _no(f"media[{name!r}].kind", ref.kind, "image or video")
        if (fault := _in_locator(ref.at)) is not None:
            return f"media[{name!r}].at{fault}"
        if ref.cut is not None and not isinstance(ref.cut, Cut):
            return _no(f"media[{name!r}].cut", ref.cut, "a Cut or None")
        for fields_of, names, kinds, wanted in _FIELDS:
            if not kinds.issuperset(map(type, fields_of(ref))):
                field = next(one for one in names if type(getattr(ref, one)) not in kinds)
                return _no(f"media[{name!r}].{field}", getattr(ref, field), f"{wanted} or None")
    return None


def _in_locator(at: object) -> str | None:
    if at is None:
        return None
    if not isinstance(at, Locator):
        return _no("", at, "a Locator")
    for name, kind, optional in _fields_of(at.kind):
        value = getattr(at, name)
        if type(value) is not kind and not (optional and value is None):
            return _no(f".{name}", value, "text" if kind is str else "a whole number")
    return None


@cache
def _fields_of(of_kind: str) -> tuple[tuple[str, type, bool], ...]:
    """Name and type of each field of a locator, and whether it may be None."""
    given = fields(cast(Any, Locator.kinds[of_kind]))
    return tuple((f.name, int if "int" in str(f.type) else str, "None" in str(f.type)) for f in given)


def _in_key(sample: Sample, *, stored: bool) -> str | None:
    key = sample.key
    if not isinstance(key, str):
        return _no("key", key, "text")
    if not all(_is_name(step, dots=False) for step in key.split("/")):
        return _no("key", key, "printable ASCII without a dot")
    longest = max((len(name) + (0 if stored else _ENDING) for name in sample.media), default=0)
    if len(key) + 1 + max(longest, len("json")) > _MOST_NAME:
        return _no("key", key, f"so short that KEY.PART has at most {_MOST_NAME} characters")
    return None


def _in_turn(turn: object, sample: Sample) -> str | None:
    if not isinstance(turn, Turn):
        return _no("one of turns", turn, "a Turn")
    if not isinstance(turn.role, str):
        return _no("Turn.role", turn.role, "text")
    if not _is_list(turn.parts):
        return _no("Turn.parts", turn.parts, "a tuple of Text and Show")
    for part in turn.parts:
        if isinstance(part, Text):
            if not isinstance(part.text, str):
                return _no("Text.text", part.text, "text")
        elif not isinstance(part, Show):
            return _no("one of Turn.parts", part, "a Text or a Show")
        elif not isinstance(part.media, str) or part.media not in sample.media:
            return _no("Show.media", part.media, "a name in media")
        elif not _is_piece(part):
            return _no("a piece of a medium", part, "numbers")
    return None


def _in_columns(sample: Sample) -> str | None:
    columns = sample.columns
    if not isinstance(columns, Mapping) or not all(isinstance(name, str) for name in columns):
        return _no("columns", columns, "a mapping of names to values")
    words = columns.get(CHANGES, ())
    if not _is_list(words) or not all(isinstance(word, str) for word in words):
        return _no(f"columns[{CHANGES!r}]", words, "a list of words, by which changes are counted")
    return None


def _is_name(name: object, *, dots: bool) -> bool:
    return (
        isinstance(name, str)
        and bool(name)
        and name.isascii()
        and name.isprintable()
        and "/" not in name
        and (all(name.split(".")) if dots else "." not in name)
    )


def _is_piece(part: Show) -> bool:
    box = part.box_px
    if part.start_s is None and part.end_s is None and box is None:
        return True
    if box is not None and not (_is_list(box) and len(box) == len("xyxy")):
        return False
    numbers = (part.start_s or 0.0, part.end_s or 0.0, *(box or ()))
    return all(isinstance(number, (int, float)) for number in numbers)


def _is_list(value: object) -> bool:
    return isinstance(value, (tuple, list))


def _listed(turns: object) -> tuple[object, ...]:
    return tuple(turns) if isinstance(turns, (tuple, list)) else ()


def _no(field: str, value: object, wanted: str) -> str:
    return f"{field} is {_shown(value)}, expected {wanted}"


def _shown(value: object) -> str:
    """A value and its type, for a sentence: short, without what a terminal would take for a command."""
    text = ascii(value)
    return f"{text[:60]}{'...' if len(text) > 60 else ''} ({type(value).__name__})"
