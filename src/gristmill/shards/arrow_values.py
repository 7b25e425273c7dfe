"""Arrow's values as they travel: a table in types that a Parquet file gives back, and Python values, both exact.

Every type of Arrow has one form, and a column has the same form in all its rows, so that readers of columns take it:

=============================  ==============================================================================
times and durations in ns      text, and a whole number: Python's types end at microseconds
dictionary, run ends, views    the values behind them
map                            a list of ``{"key": ..., "value": ...}``
fields of one name             the later ones are called ``name.2`` and so on
dates, times, durations        Python's; what these cannot hold is an :class:`gristmill.shards.lossless.Exact`
times of a zone                in that zone; of one that nobody knows in UTC: ``1970-01-01T00:00:00Z[Mars/X]``
what Parquet has no type for   in a table the JSON of :mod:`gristmill.shards.lossless`, opened again as a value
=============================  ==============================================================================
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.shards.lossless import Exact, dumps, loads

__all__ = ["exact_values", "plain_types", "row_bytes"]

_JSON = {b"gristmill": b"json"}
"""Metadata of a field whose values stand in a table as JSON."""
_VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
_OF_BYTES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY_S = 86_400
_EPOCH = dt.datetime(1970, 1, 1)
_EPOCH_DAY = _EPOCH.toordinal()
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
_UTC = {"UTC", "Z", "Etc/UTC"}
_WORD = 8

types = pa.types
Int64s: TypeAlias = npt.NDArray[np.int64]


# what a table holds


def plain_types(table: Any, seconds: Any = None) -> Any:
    """A table of types that come back out of Parquet as they were, with the values that it had.

    Args:
        table: Of any types.
        seconds: Columns of the same rows, by name: times that were read in seconds, because in the nanoseconds in
            which ``table`` has them those far from now wrap around.
    """
    fields, columns = [], []
    for found, column in zip(table.schema, table.columns, strict=True):
        field, kind = found, plain_type(found.type)
        if kind is None:
            chunks = [
                pa.array([dumps(v).decode() for v in exact_values(c)], pa.string()) for c in column.chunks
            ]
            field, kind = field.with_metadata(_JSON), pa.string()
        elif kind != field.type:
            also = seconds.get(field.name) if seconds else None
            beside = also.chunks if also is not None else [None] * column.num_chunks
            chunks = [_plain(chunk, other) for chunk, other in zip(column.chunks, beside, strict=True)]
        else:
            chunks = column.chunks
        fields.append(field.with_type(kind))
        columns.append(pa.chunked_array(chunks, kind))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, table.schema.metadata))


def plain_type(kind: Any) -> Any:
    """The type that a table has for a column of this one; None where its values stand there as JSON."""
    try:
        return _plain_type(kind)
    except _NotInParquet:
        return None


class _NotInParquet(Exception):
    """No column of a Parquet file has this type, or not exactly."""


def _plain_type(kind: Any) -> Any:
    if types.is_timestamp(kind) or types.is_time(kind) or types.is_duration(kind):
        if kind.unit == "s" and not types.is_duration(kind):
            raise _NotInParquet
        return kind if kind.unit != "ns" else pa.int64() if types.is_duration(kind) else pa.string()
    if types.is_date64(kind) or types.is_interval(kind) or types.is_union(kind):
        raise _NotInParquet
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return _plain_type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return kind if isinstance(kind, pa.UuidType) else _plain_type(_behind(kind))
    if types.is_map(kind):
        pair = [pa.field("key", _plain_type(kind.key_type)), pa.field("value", _plain_type(kind.item_type))]
        return pa.list_(pa.struct(pair))
    if _is_list(kind):
        large = types.is_large_list(kind) or types.is_large_list_view(kind)
        item = kind.value_field.with_type(_plain_type(kind.value_type))
        return (pa.large_list if large else pa.list_)(item)
    if types.is_struct(kind):
        if not kind.num_fields:
            raise _NotInParquet
        fields = [field.with_type(_plain_type(field.type)) for field in kind]
        return pa.struct([f.with_name(n) for f, n in zip(fields, _names(kind), strict=True)])
    return _VIEWS.get(kind, kind)


def _behind(kind: Any) -> Any:
    return pa.bool_() if isinstance(kind, pa.Bool8Type) else kind.storage_type


def _is_list(kind: Any) -> bool:
    tests: tuple[Callable[[Any], bool], ...] = (
        types.is_list,
        types.is_large_list,
        types.is_fixed_size_list,
        types.is_list_view,
        types.is_large_list_view,
    )
    return any(test(kind) for test in tests)


def _names(kind: Any) -> list[str]:
    """The names of a struct's fields, each once."""
    names: list[str] = []
    for field in kind:
        name, number = field.name, 2
        while name in names:
            name, number = f"{field.name}.{number}", number + 1
        names.append(name)
    return names


def _plain(array: Any, seconds: Any = None) -> Any:
    """An array in the type that :func:`plain_type` names."""
    kind = array.type
    plain = _plain_type(kind)
    if plain == kind:
        return array
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return _plain(_decoded(array))
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(_stored(array))
    if types.is_map(kind) or _is_list(kind):
        return _plain_lists(array, plain, seconds)
    if types.is_struct(kind):
        beside = (
            [None] * kind.num_fields
            if seconds is None
            else [seconds.field(i) for i in range(kind.num_fields)]
        )
        fields = [_plain(array.field(i), beside[i]) for i in range(kind.num_fields)]
        return pa.StructArray.from_arrays(fields, fields=list(plain), mask=array.is_null())
    if types.is_timestamp(kind):
        return _nanosecond_texts(array, seconds)
    if types.is_time(kind):
        return pa.array([None if v is None else _time_text(v) for v in _numbers(array)], pa.string())
    if types.is_duration(kind):
        return array.view(pa.int64())
    return array.cast(plain)


def _plain_lists(array: Any, plain: Any, seconds: Any) -> Any:
    lengths, items = _lists(array)
    values = _plain(items, None if seconds is None else _lists(seconds)[1])
    make, width = (
        (pa.LargeListArray, pa.int64()) if types.is_large_list(plain) else (pa.ListArray, pa.int32())
    )
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), width)
    return make.from_arrays(offsets, values, type=plain, mask=array.is_null())


def _lists(array: Any) -> tuple[Int64s, Any]:
    """How many items each list has, none where there is no list; and all these items. Of maps, pairs."""
    kind = array.type
    if types.is_fixed_size_list(kind):
        starts, lengths = kind.list_size * (array.offset + np.arange(len(array))), kind.list_size
    elif types.is_list_view(kind) or types.is_large_list_view(kind):
        starts, lengths = array.offsets.to_numpy(), array.sizes.to_numpy()
    else:
        offsets = array.offsets.to_numpy()
        starts, lengths = offsets[:-1], np.diff(offsets)
    if types.is_map(kind):
        pair = [pa.field("key", kind.key_type), pa.field("value", kind.item_type)]
        items = pa.StructArray.from_arrays([array.keys, array.items], fields=pair)
    else:
        items = array.values
    lengths = np.where(array.is_valid().to_numpy(zero_copy_only=False), lengths, 0).astype(np.int64)
    return lengths, _items_at(items, starts.astype(np.int64), lengths)


def _items_at(items: Any, starts: Int64s, lengths: Int64s) -> Any:
    """The items of some lists, one list after another; mostly they lie so."""
    before = np.cumsum(lengths) - lengths
    there = lengths > 0
    first = int(starts[there][0]) if there.any() else 0
    if (starts - before == first)[there].all():
        return items.slice(first, int(lengths.sum()))
    return _take(items, pa.array(np.repeat(starts - before, lengths) + np.arange(lengths.sum())))


def _decoded(array: Any) -> Any:
    """The values behind a dictionary's indices, or behind run ends."""
    if types.is_dictionary(array.type):
        return _take(array.dictionary, array.indices)
    first = array.find_physical_offset()
    ends = np.minimum(np.asarray(array.run_ends)[first:] - array.offset, len(array))
    runs = np.diff(ends, prepend=0)[: array.find_physical_length()]
    return _take(array.values, pa.array(np.repeat(np.arange(first, first + len(runs)), runs)))


def _take(values: Any, indices: Any) -> Any:
    if _VIEWS.get(values.type):
        values = values.cast(_VIEWS[values.type])  # Arrow does not take views
    return values.take(indices)


def _stored(array: Any) -> Any:
    """An array of an extension type as what it is stored as."""
    return array.storage.cast(pa.bool_()) if isinstance(array.type, pa.Bool8Type) else array.storage


# what Python holds


def exact_values(array: Any, field: Any = None) -> list[Any]:
    """The values of an array of any type, or of a column, exactly.

    Args:
        array: The array or chunked array.
        field: Of a column, what the schema says of it: it may be JSON, see :func:`plain_types`.

    Raises:
        UnicodeDecodeError: A text is not UTF-8, which Parquet may hold.
    """
    if isinstance(array, pa.ChunkedArray):
        return [value for chunk in array.chunks for value in exact_values(chunk, field)]
    if field is not None and (field.metadata or {}).get(b"gristmill") == b"json":
        return [loads(text.encode()) for text in array.to_pylist()]
    kind = array.type
    if types.is_timestamp(kind):
        return _timestamps(array)
    if types.is_date(kind):
        return _dates(array)
    if types.is_time(kind):
        return _times(array)
    if types.is_duration(kind):
        return _durations(array)
    if types.is_dictionary(kind):
        of = exact_values(array.dictionary)
        return [None if at is None else of[at] for at in array.indices.to_pylist()]
    if types.is_run_end_encoded(kind):
        return exact_values(_decoded(array))
    if isinstance(kind, pa.BaseExtensionType):
        return array.to_pylist() if isinstance(kind, pa.UuidType) else exact_values(_stored(array))
    if types.is_map(kind) or _is_list(kind):
        return _list_values(array)
    if types.is_struct(kind):
        return _struct_values(array)
    if types.is_union(kind):
        return _union_values(array)
    if types.is_interval(kind):
        return [None if value is None else list(value) for value in array.to_pylist()]
    values: list[Any] = array.to_pylist()
    return values


def _list_values(array: Any) -> list[Any]:
    lengths, items = _lists(array)
    values, ends = exact_values(items), np.cumsum(lengths)
    spans = zip((ends - lengths).tolist(), ends.tolist(), array.is_valid().to_pylist(), strict=True)
    return [values[start:stop] if there else None for start, stop, there in spans]


def _struct_values(array: Any) -> list[Any]:
    names = _names(array.type)
    columns = [exact_values(array.field(i)) for i in range(len(names))]
    rows: Iterator[Sequence[Any]] = zip(*columns, strict=True) if columns else iter([()] * len(array))
    there = array.is_valid().to_pylist()
    return [
        dict(zip(names, row, strict=True)) if is_there else None
        for row, is_there in zip(rows, there, strict=True)
    ]


def _union_values(array: Any) -> list[Any]:
    # one by one: the type codes that Arrow gives of a slice are those of the whole
    return [exact_values(pa.repeat(one.value, 1))[0] if one.value is not None else None for one in array]


def _numbers(array: Any) -> list[int | None]:
    """What stands behind times and dates."""
    numbers: list[int | None] = array.view(
        pa.int32() if array.type.bit_width == 32 else pa.int64()
    ).to_pylist()
    return numbers


def _timestamps(array: Any) -> list[Any]:
    unit, zone = array.type.unit, array.type.tz
    if unit == "ns":
        texts: list[Any] = _nanosecond_texts(array, None).to_pylist()
        return texts
    factor, per_second, known = 10**6 // _PER_SECOND[unit], _PER_SECOND[unit], _zone(zone)
    values: list[Any] = []
    for number in _numbers(array):
        if number is None:
            values.append(None)
            continue
        try:
            if zone is not None and known is None:
                raise OverflowError
            time = _EPOCH + dt.timedelta(microseconds=number * factor)
            values.append(time if known is None else time.replace(tzinfo=dt.UTC).astimezone(known))
        except (OverflowError, ValueError):
            date, clock = _moment(number // per_second)
            fraction = f".{number % per_second * factor:06d}" if number % per_second else ""
            values.append(
                Exact("$datetime", f"{date}T{clock}{fraction}{'' if zone is None else f'Z[{zone}]'}")
            )
    return values


def _dates(array: Any) -> list[Any]:
    values: list[Any] = []
    per_day = 1 if types.is_date32(array.type) else _DAY_S * 10**3
    for number in _numbers(array):
        day, rest = divmod(number or 0, per_day)
        if number is None:
            values.append(None)
        elif rest:
            date, clock = _moment(number // 10**3)
            values.append(Exact("$date", f"{date}T{clock}.{number % 10**3:03d}"))
        elif 0 < day + _EPOCH_DAY <= dt.date.max.toordinal():
            values.append(dt.date.fromordinal(day + _EPOCH_DAY))
        else:
            values.append(Exact("$date", _date(day)))
    return values


def _times(array: Any) -> list[Any]:
    unit = array.type.unit
    if unit == "ns":
        return [None if number is None else _time_text(number) for number in _numbers(array)]
    factor = 10**6 // _PER_SECOND[unit]
    most = _DAY_S * _PER_SECOND[unit]
    return [
        None
        if number is None
        else (_EPOCH + dt.timedelta(microseconds=number * factor)).time()
        if 0 <= number < most
        else Exact("$time", f"{number}{unit}")
        for number in _numbers(array)
    ]


def _time_text(number: int) -> str:
    """A time of day in nanoseconds; what is none of a day, with its unit."""
    seconds, nanoseconds = divmod(number, 10**9)
    return f"{_moment(seconds)[1]}.{nanoseconds:09d}" if 0 <= seconds < _DAY_S else f"{number}ns"


def _durations(array: Any) -> list[Any]:
    numbers = array.view(pa.int64()).to_pylist()
    if array.type.unit == "ns":
        return list(numbers)
    factor = 10**6 // _PER_SECOND[array.type.unit]
    return [None if number is None else _duration(number * factor) for number in numbers]


def _duration(microseconds: int) -> Any:
    try:
        return dt.timedelta(microseconds=microseconds)
    except OverflowError:
        return Exact("$duration", str(microseconds))


def _nanosecond_texts(array: Any, seconds: Any) -> Any:
    """Times in nanoseconds as text: ``2024-01-01 00:00:00.000000000``, behind it the offset of a zone, or ``Z``.

    Args:
        array: The times.
        seconds: The same in seconds, where those in nanoseconds may have wrapped around; None where not.
    """
    zone = array.type.tz
    numbers = array.view(pa.int64())
    if seconds is not None:
        whole = seconds.view(pa.int64())
        if not np.array_equal(_zero_for_null(whole), _zero_for_null(numbers) // 10**9):
            pairs = zip(whole.to_pylist(), numbers.to_pylist(), strict=True)
            exact = [None if s is None else s * 10**9 + (n - s * 10**9) % 2**64 for s, n in pairs]
            return pa.array([None if n is None else _nanosecond_text(n, zone) for n in exact], pa.string())
    if zone is None:
        return array.cast(pa.string())
    if zone in _UTC:
        texts = numbers.cast(pa.timestamp("ns")).cast(pa.string())
        return pc.binary_join_element_wise(texts, "Z", "")
    return pa.array(
        [None if n is None else _nanosecond_text(n, zone) for n in numbers.to_pylist()], pa.string()
    )


def _zero_for_null(numbers: Any) -> Int64s:
    found: Int64s = pc.fill_null(numbers, 0).to_numpy(zero_copy_only=False)
    return found


def _nanosecond_text(number: int, zone: str | None) -> str:
    seconds, nanoseconds = divmod(number, 10**9)
    said = ""
    if zone is not None:
        said = f"Z[{zone}]" if zone not in _UTC else "Z"
        known = _zone(zone)
        try:
            if known is not None and zone not in _UTC:
                offset = (
                    (_EPOCH + dt.timedelta(seconds=seconds))
                    .replace(tzinfo=dt.UTC)
                    .astimezone(known)
                    .utcoffset()
                )
                ahead = int(offset.total_seconds()) if offset else 0
                seconds += ahead
                clock = _moment(abs(ahead))[1].replace(
                    ":", ""
                )  # odd seconds are from before there were zones
                said = ("-" if ahead < 0 else "+") + clock.removesuffix("00")
        except (OverflowError, ValueError):  # beyond the years that Python knows: in UTC
            pass
    date, clock = _moment(seconds)
    return f"{date} {clock}.{nanoseconds:09d}{said}"


def _moment(seconds: int) -> tuple[str, str]:
    """Date and time of day of so many seconds after 1970 began; any number of them."""
    day, rest = divmod(seconds, _DAY_S)
    return _date(day), f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"


def _date(day: int) -> str:
    """ISO 8601 of a day after 1970-01-01 in the Gregorian calendar; years that have not four digits have a sign."""
    era, of_era = divmod(day + 719_468, 146_097)  # days since 0000-03-01, in spans of 400 years
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    of_month = of_year - (153 * month + 2) // 5 + 1
    year, month = year + 400 * era + (month >= 10), month + 3 if month < 10 else month - 9
    return (
        f"{year:04d}-{month:02d}-{of_month:02d}"
        if 0 <= year <= 9999
        else f"{year:+05d}-{month:02d}-{of_month:02d}"
    )


@lru_cache(maxsize=64)
def _zone(name: str | None) -> dt.tzinfo | None:
    """A zone by the name that Arrow has for it; None where there is none, or nobody knows it."""
    if name is None:
        return None
    if name in _UTC:
        return dt.UTC
    if found := _OFFSET.fullmatch(name):
        offset = dt.timedelta(hours=int(found[2]), minutes=int(found[3]))
        return dt.timezone(-offset if found[1] == "-" else offset) if offset < dt.timedelta(days=1) else None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


# what it takes


def row_bytes(table: Any) -> Int64s:
    """About how many bytes each row of a table takes once it is decoded; shape (rows,).

    A dictionary's value counts as often as it occurs.
    """
    total = np.zeros(table.num_rows, np.int64)
    for column in table.columns:
        sizes = [_sizes(chunk) for chunk in column.chunks]
        total += np.concatenate(sizes) if sizes else 0
    return total


def _sizes(array: Any) -> Int64s:
    kind = array.type
    if types.is_dictionary(kind):
        of = np.append(_sizes(array.dictionary), 0)
        own: Int64s = of[_zero_for_null(pc.fill_null(array.indices.cast(pa.int64()), len(of) - 1))]
        return own
    if isinstance(kind, pa.BaseExtensionType):
        return _sizes(array.storage)
    if types.is_run_end_encoded(kind):
        return _sizes(_decoded(array))
    if types.is_map(kind) or _is_list(kind):
        lengths, items = _lists(array)
        ends = np.concatenate([[0], np.cumsum(_sizes(items))])
        stops = np.cumsum(lengths)
        held: Int64s = _WORD + ends[stops] - ends[stops - lengths]
        return held
    if types.is_struct(kind):
        fields = [_sizes(array.field(i)) for i in range(kind.num_fields)]
        return sum(fields, start=np.zeros(len(array), np.int64))
    if kind in _VIEWS:
        array = array.cast(_VIEWS[kind])
    if any(test(array.type) for test in _OF_BYTES):
        return _WORD + _zero_for_null(pc.binary_length(array)).astype(np.int64)
    each = _WORD
    if not types.is_union(kind) and not types.is_null(kind):
        each = max(1, kind.bit_width // 8)
    return np.full(len(array), each, np.int64)
