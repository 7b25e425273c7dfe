"""Numbers that are none, taken out of a ``json`` part: null in their place, and a list of what stood where.

JSON has no NaN and no infinity. An object in the place of a number would make a column of two types, which no reader
of columns takes: not Arrow, and not ``datasets`` with declared features. A null may stand in any column. Each entry
of ``not_finite`` names a place by a JSON Pointer (RFC 6901) and says ``nan``, ``inf`` or ``-inf``.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from gristmill.shards.lossless import loads
from gristmill.spec.sample import Json

__all__ = ["NOT_FINITE", "put_back", "set_apart"]

NOT_FINITE = "not_finite"
_TAG = "$float"
_MARK = b'{"$float":'


def set_apart(part: bytes) -> bytes:
    """A ``json`` part as :func:`gristmill.shards.lossless.dumps` writes it, with its NaN and infinities set apart."""
    if _MARK not in part:
        return part
    record = orjson.loads(part)
    found = [{"at": at, "value": value} for at, value in _take_out(record, "")]
    return orjson.dumps({**record, NOT_FINITE: found}) if found else part


def put_back(part: bytes) -> dict[str, Json]:
    """Say what a ``json`` part says, exactly: the numbers that were set apart stand in their places.

    Raises:
        ValueError: It was not written by :func:`gristmill.shards.lossless.dumps`, or the places are not there.
    """
    if f'"{NOT_FINITE}":'.encode() not in part:
        record: dict[str, Json] = loads(part)
        return record
    plain = orjson.loads(part)
    for entry in plain.pop(NOT_FINITE, ()):
        _put(plain, entry["at"].split("/")[1:], {_TAG: entry["value"]})
    whole: dict[str, Json] = loads(orjson.dumps(plain))
    return whole


def _take_out(value: Json, at: str) -> Iterator[tuple[str, str]]:
    """Put null in the place of every number that is none within ``value``, a mapping or a list."""
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        place = f"{at}/{str(key).replace('~', '~0').replace('/', '~1')}"
        if isinstance(item, dict) and len(item) == 1 and _TAG in item:
            value[key] = None
            yield place, item[_TAG]
        elif isinstance(item, (dict, list)):
            yield from _take_out(item, place)


def _put(value: Json, words: list[str], number: Json) -> None:
    keys = [word.replace("~1", "/").replace("~0", "~") for word in words]
    try:
        for key in keys[:-1]:
            value = value[int(key) if isinstance(value, list) else key]
        value[int(keys[-1]) if isinstance(value, list) else keys[-1]] = number
    except (IndexError, KeyError, TypeError) as err:
        raise ValueError(f"there is no {'/'.join(words)!r} in it") from err
