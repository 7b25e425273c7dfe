"""One object of a list's JSON, exactly: what it says and nothing rounded, or why it is no row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from gristmill.spec.sample import Json

__all__ = ["json_object", "json_row"]

_MAX_NESTING = 100
_DIGITS = bytes(48 if chr(code).isdigit() and code < 128 else 32 for code in range(256))
_LONG_NUMBER = b"0" * 19
"""So many digits in a row, made alike by ``_DIGITS``, may be an integer beyond 64 bits."""
_LONG_TEXT_BYTES = 32 << 10
_HUGE = 2.0**63


def json_row(text: bytes) -> dict[str, Json]:
    """One row of a JSON list, exactly, from its text.

    Raises:
        ValueError: It is not an object, or one that the writers of JSON cannot write again.
    """
    value = json_object(text)
    _check_nesting(text, value)
    return value


def json_object(text: bytes) -> dict[str, Json]:
    """The object in ``text``, exactly: integers of any size, NaN and lone surrogates included.

    Raises:
        ValueError: It is not one.
    """
    try:
        value = _parse_fast(text)
    except orjson.JSONDecodeError:
        value = _parse_slowly(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if type(value) is not dict:
        raise ValueError(f"not an object but {str(value)[:40]!r}")
    return value


def _parse_fast(text: bytes) -> Any:
    """By orjson, which turns integers beyond 64 bits into floats: such texts are left to the standard library."""
    if len(text) < _LONG_TEXT_BYTES:
        return json.loads(text) if _LONG_NUMBER in text.translate(_DIGITS) else orjson.loads(text)
    value = orjson.loads(text)  # long texts are few values, each of them long: Base64
    return json.loads(text) if _has_huge_number(value) else value


def _has_huge_number(value: Any) -> bool:
    if type(value) is float:
        return abs(value) >= _HUGE
    if type(value) is dict:
        return any(map(_has_huge_number, value.values()))
    return type(value) is list and any(map(_has_huge_number, value))


def _parse_slowly(text: bytes) -> Any:
    """By the standard library, which takes what Python's own ``json.dumps`` writes and orjson refuses."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _check_nesting(text: bytes, value: Mapping[str, Json]) -> None:
    """Refuse what the writers of JSON cannot write again."""
    if len(text) < _LONG_TEXT_BYTES and text.count(b"[") + text.count(b"{") <= _MAX_NESTING:
        return  # counting in long texts takes longer than looking at their few values
    level: list[Any] = [value]
    for _ in range(_MAX_NESTING):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise ValueError("nested too deeply")
