"""JSON that loses nothing: what JSON cannot say is a one-entry object whose name begins with ``$``.

=====================  ==================================================================================
``{"$float": t}``      ``nan``, ``inf`` or ``-inf``
``{"$int": t}``        an integer beyond 64 bits, decimal
``{"$decimal": t}``    ``decimal.Decimal`` as it prints
``{"$bytes": t}``      Base64 of bytes
``{"$datetime": t}``   ISO 8601; likewise ``$date`` and ``$time``
``{"$duration": t}``   whole microseconds, decimal
``{"$uuid": t}``       a UUID
``{"$text": t}``       text with lone surrogates, escaped as within a Python literal
``{"$map": [[k, v]]}`` a mapping whose keys are not all text, or that looks like one of these objects
``{"$other": t}``      any other type, as it prints; the only form that comes back as text
=====================  ==================================================================================

Integers up to 64 bits stay exact JSON integers. Tuples become arrays. Everything else round-trips exactly. A date, a
time or a duration that Python's own type cannot hold is an :class:`Exact`, in the same form as its neighbours.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from gristmill.spec.sample import Json

__all__ = ["Exact", "dumps", "dumps_bare", "is_tagged", "loads", "readable", "utf8"]

_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1
_MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Exact:
    """A value of which Python has no type that holds it: a date in the year 12,000, a time of a zone nobody knows.

    Attributes:
        form: ``$datetime``, ``$date``, ``$time`` or ``$duration``.
        text: What stands in that form.
    """

    form: str
    text: str

    def __str__(self) -> str:
        return self.text


def dumps(value: Any) -> bytes:
    """One line of UTF-8 JSON; the same value gives the same bytes. Mappings keep their order."""
    return dumps_bare(_plain(value))


def dumps_bare(plain: Any) -> bytes:
    """Write what :func:`dumps` does, of a value that needs none of the forms: it was read from such JSON."""
    try:
        return orjson.dumps(plain)
    except orjson.JSONEncodeError:  # nested beyond orjson's 254 levels
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()


def is_tagged(text: bytes) -> bool:
    """Say whether one of the forms may be in JSON that :func:`dumps` wrote; where not, what it says is bare JSON."""
    return b'"$' in text


def loads(text: bytes) -> Json:
    """The value that :func:`dumps` was given.

    Raises:
        ValueError: Not JSON, or not written by :func:`dumps`.
    """
    value = orjson.loads(text)
    return _restored(value) if is_tagged(text) else value


def utf8(text: str) -> bytes:
    """UTF-8 of ``text``, with U+FFFD in place of each lone surrogate, which UTF-8 cannot hold."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text).encode()


def readable(value: Json) -> Json:
    """Plain data to be read by people, not to be restored: with U+FFFD in place of each lone surrogate."""
    if isinstance(value, str):
        return value if value.isascii() else utf8(value).decode()
    if isinstance(value, Mapping):
        return {readable(name): readable(item) for name, item in value.items()}
    return [readable(item) for item in value] if isinstance(value, (list, tuple)) else value


def _plain(value: Any) -> Any:
    """``value`` in terms of what orjson writes without loss."""
    kind = type(value)
    if kind is str:
        return (
            value
            if value.isascii() or _encodable(value)
            else {"$text": value.encode("unicode_escape").decode()}
        )
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if _INT_MIN <= value <= _INT_MAX else {"$int": str(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if kind is dict:
        return _plain_mapping(value)
    if kind is list or kind is tuple:
        return [_plain(item) for item in value]
    if kind is Exact:
        return {value.form: value.text}
    return _tagged(value)


def _plain_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, item in value.items():
        if type(key) is not str or not (key.isascii() or _encodable(key)):
            break
        ascii_ = type(item) is str and item.isascii()  # most values: without a call
        plain[key] = item if ascii_ else _plain(item)
    else:
        if len(plain) != 1 or not next(iter(plain)).startswith("$"):
            return plain
    return {"$map": [[_plain(key), _plain(item)] for key, item in value.items()]}


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _tagged(value: Any) -> Any:
    for kind, name, write in _WRITERS:
        if isinstance(value, kind):
            return {name: write(value)}
    if isinstance(value, Mapping):
        return _plain_mapping(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    for kind in (str, bool, int, float):
        if isinstance(value, kind):
            return _plain(kind(value))
    return {"$other": utf8(str(value)).decode()}


_WRITERS: tuple[tuple[type | tuple[type, ...], str, Callable[[Any], str]], ...] = (
    (Decimal, "$decimal", str),
    ((bytes, bytearray, memoryview), "$bytes", lambda v: base64.b64encode(v).decode()),
    (dt.datetime, "$datetime", lambda v: v.isoformat()),
    (dt.date, "$date", lambda v: v.isoformat()),
    (dt.time, "$time", lambda v: v.isoformat()),
    (dt.timedelta, "$duration", lambda v: str(v // _MICROSECOND)),
    (uuid.UUID, "$uuid", str),
)

_BEYOND_PYTHON = frozenset({"$datetime", "$date", "$time", "$duration"})
_READERS: dict[str, Callable[[Any], Any]] = {
    "$float": float,
    "$int": int,
    "$decimal": Decimal,
    "$bytes": lambda t: base64.b64decode(t, validate=True),
    "$datetime": dt.datetime.fromisoformat,
    "$date": dt.date.fromisoformat,
    "$time": dt.time.fromisoformat,
    "$duration": lambda t: int(t) * _MICROSECOND,
    "$uuid": uuid.UUID,
    "$text": lambda t: t.encode().decode("unicode_escape"),
    "$map": lambda pairs: {_restored(key): _restored(item) for key, item in pairs},
    "$other": str,
}


def _restored(value: Any) -> Any:
    if type(value) is list:
        return [_restored(item) for item in value]
    if type(value) is not dict:
        return value
    if len(value) == 1:
        name = next(iter(value))
        if name.startswith("$"):
            read = _READERS.get(name)
            if read is None:
                raise ValueError(f"unknown JSON form {name!r}")
            try:
                return read(value[name])
            except (ValueError, OverflowError):
                if name in _BEYOND_PYTHON and type(value[name]) is str:
                    return Exact(name, value[name])
                raise
    return {key: _restored(item) for key, item in value.items()}
