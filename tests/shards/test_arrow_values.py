import datetime as dt
import io
import itertools
import math
import re
import struct
import zoneinfo
from decimal import Decimal
from fractions import Fraction

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.shards.arrow_values import exact_values, plain_type, plain_types, row_bytes
from gristmill.shards.lossless import Exact, dumps, loads
from gristmill.shards.rows import read_rows, rows_of
from gristmill.spec.reasons import Reason

MIB = 1 << 20
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
DAY_S = 86_400


def through_a_part(table):
    """The rows as ``parse`` is given them, and as they stand in a sample's JSON."""
    stream = io.BytesIO()
    pq.write_table(plain_types(table), stream, compression="lz4", use_dictionary=False)
    rows = rows_of(pq.read_table(io.BytesIO(stream.getvalue())))
    for row in rows:
        assert same(loads(dumps(row)), row)
    return rows


def same(left, right):
    if isinstance(left, float) and isinstance(right, float):
        return struct.pack("<d", left) == struct.pack("<d", right) or (math.isnan(left) and math.isnan(right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


def instant(text):
    """Seconds since 1970, exactly, of any text that a time is given: an arithmetic of its own, by whole years."""
    found = re.fullmatch(
        r"([+-]?\d{4,})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]\d[\d:]*)?(\[.*\])?", text
    )
    year, month, day, hour, minute, second = (int(found[n]) for n in range(1, 7))
    shifted = 2000 + year % 400  # the calendar repeats every 400 years
    days = (
        dt.date(shifted, month, day).toordinal()
        - dt.date(1970, 1, 1).toordinal()
        + (year - shifted) // 400 * 146_097
    )
    whole = days * DAY_S + hour * 3600 + minute * 60 + second
    digits = (found[8] or "Z")[1:].replace(":", "").ljust(6, "0")
    ahead = int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + int(digits[4:])
    return whole - (-ahead if (found[8] or "").startswith("-") else ahead) + Fraction(found[7] or 0)


def as_meant(kind, number):
    """What stands for a number behind a time, checked by what it means; see the tests' own arithmetic above."""
    return number if number is None else Fraction(number, PER_SECOND[kind.unit])


def meaning(kind, value):
    if value is None:
        return None
    if pa.types.is_timestamp(kind):
        if isinstance(value, dt.datetime):
            value = value.isoformat()
        return instant(value.text if isinstance(value, Exact) else value)
    if pa.types.is_duration(kind):
        if kind.unit == "ns":
            return Fraction(value, 10**9)
        if isinstance(value, Exact):
            return Fraction(int(value.text), 10**6)
        return Fraction(value // dt.timedelta(microseconds=1), 10**6)
    text = value.isoformat() if isinstance(value, dt.time) else str(value)
    if found := re.fullmatch(r"(-?\d+)(s|ms|us|ns)", text):
        return Fraction(int(found[1]), PER_SECOND[found[2]])
    return instant(f"1970-01-01T{text}")


ZONES = (None, "UTC", "+05:30", "America/New_York", "Mars/X")
TEMPORAL = [
    *(pa.timestamp(unit, zone) for unit in PER_SECOND for zone in ZONES),
    *(pa.duration(unit) for unit in PER_SECOND),
    pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"),
]  # fmt: skip


def numbers(bits, **more):
    return st.one_of(
        st.none(), st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1), st.integers(-(10**6), 10**6), **more
    )


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.parametrize("kind", TEMPORAL, ids=str)
def test_every_time_means_what_it_meant(kind, data):
    bits = kind.bit_width
    values = data.draw(st.lists(numbers(bits), min_size=1, max_size=8))
    array = pa.array(values, pa.int32() if bits == 32 else pa.int64()).view(kind)
    rows = through_a_part(pa.table({"t": array}))
    assert [meaning(kind, row["t"]) for row in rows] == [as_meant(kind, number) for number in values]


# every type, within every other


SIGNED = (pa.int8(), pa.int16(), pa.int32(), pa.int64())
UNSIGNED = (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
DECIMALS = ((pa.decimal32, 9), (pa.decimal64, 18), (pa.decimal128, 38), (pa.decimal256, 76))


def hundredths(number):
    """Exactly, whatever the precision of the arithmetic."""
    return Decimal((number < 0, tuple(map(int, str(abs(number)))), -2))


def simple():
    texts = st.text(st.characters(codec="utf-8"), max_size=5)
    return st.sampled_from(
        [
            (pa.null(), st.none()),
            (pa.bool_(), st.booleans()),
            *((kind, st.integers(-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1)) for kind in SIGNED),
            *((kind, st.integers(0, 2**kind.bit_width - 1)) for kind in UNSIGNED),
            (pa.float16(), st.floats(width=16)), (pa.float32(), st.floats(width=32)), (pa.float64(), st.floats()),
            *((kind, texts) for kind in (pa.string(), pa.large_string(), pa.string_view())),
            *((kind, st.binary(max_size=5)) for kind in (pa.binary(), pa.large_binary(), pa.binary_view())),
            (pa.binary(3), st.binary(min_size=3, max_size=3)),
            *((kind(n, 2), st.integers(1 - 10**n, 10**n - 1).map(hundredths)) for kind, n in DECIMALS),
            (pa.date32(), st.dates()),
            (pa.timestamp("us"), st.datetimes()),
            (pa.timestamp("ms", "UTC"), st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(9000, 1, 1)).map(
                lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000, tzinfo=dt.UTC))),
            (pa.time64("us"), st.times()),
            (pa.duration("us"), st.timedeltas(dt.timedelta(days=-10**8), dt.timedelta(days=10**8))),
            (pa.month_day_nano_interval(), st.tuples(*[st.integers(0, 99)] * 3).map(list)),
            (pa.uuid(), st.uuids()), (pa.bool8(), st.booleans()),
        ]
    )  # fmt: skip


def nested(kinds):
    """An Arrow type, and values of it, out of ones for what it holds."""

    def lists(of):
        kind, values = of
        return st.sampled_from(
            [
                (make(kind), st.lists(values, max_size=3))
                for make in (pa.list_, pa.large_list, pa.list_view, pa.large_list_view)
            ]
            + [(pa.list_(kind, 2), st.lists(values, min_size=2, max_size=2))]
        )

    def structs(of):
        (one, ones), (two, twos) = of
        return pa.struct([("a", one), ("b", two)]), st.fixed_dictionaries({"a": ones, "b": twos})

    def maps(of):
        kind, values = of
        return pa.map_(pa.string(), kind), st.lists(
            st.fixed_dictionaries({"key": st.text("ab"), "value": values}), max_size=3
        )

    return st.one_of(kinds.flatmap(lists), st.tuples(kinds, kinds).map(structs), kinds.map(maps))


def nulls(values):
    return pa.array([v is None for v in values], pa.bool_())


def arrow(kind, values):
    """An array of values, a null among them; of types that Arrow does not make of such values, by hand."""
    if pa.types.is_map(kind):
        pairs = [p for v in values if v is not None for p in v]
        offsets = list(itertools.accumulate((len(v or ()) for v in values), initial=0))
        return pa.MapArray.from_arrays(
            pa.array([None if v is None else o for v, o in zip([*values, []], offsets, strict=True)], pa.int32()),
            arrow(kind.key_type, [p["key"] for p in pairs]), arrow(kind.item_type, [p["value"] for p in pairs]),
        )  # fmt: skip
    if pa.types.is_struct(kind):
        fields = [arrow(f.type, [None if v is None else v[f.name] for v in values]) for f in kind]
        return pa.StructArray.from_arrays(fields, fields=list(kind), mask=nulls(values))
    if pa.types.is_fixed_size_list(kind):
        items = [i for v in values for i in (v or [None] * kind.list_size)]
        return pa.FixedSizeListArray.from_arrays(arrow(kind.value_type, items), type=kind, mask=nulls(values))
    if isinstance(kind, (pa.ListType, pa.LargeListType, pa.ListViewType, pa.LargeListViewType)):
        wide = isinstance(kind, (pa.LargeListType, pa.LargeListViewType))
        width = pa.int64() if wide else pa.int32()
        items = arrow(kind.value_type, [i for v in values for i in (v or [])])
        sizes = [len(v or ()) for v in values]
        offsets, mask = list(itertools.accumulate(sizes, initial=0)), nulls(values)
        if isinstance(kind, (pa.ListViewType, pa.LargeListViewType)):
            make = pa.LargeListViewArray if wide else pa.ListViewArray
            return make.from_arrays(
                pa.array(offsets[:-1], width), pa.array(sizes, width), items, type=kind, mask=mask
            )
        make = pa.LargeListArray if wide else pa.ListArray
        return make.from_arrays(pa.array(offsets, width), items, type=kind, mask=mask)
    if isinstance(kind, pa.Bool8Type):
        return pa.ExtensionArray.from_storage(
            kind, pa.array([v if v is None else int(v) for v in values], pa.int8())
        )
    if isinstance(kind, pa.UuidType):
        return pa.ExtensionArray.from_storage(kind, pa.array([v and v.bytes for v in values], pa.binary(16)))
    if pa.types.is_interval(kind):
        return pa.array([v and pa.MonthDayNano(v) for v in values], kind)
    return pa.array(values, kind)


def with_nulls(of):
    kind, values = of
    return kind, st.one_of(st.none(), values)


@settings(suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_value_of_every_type_comes_back_exactly(data):
    kind, values = with_nulls(data.draw(st.recursive(simple(), nested, max_leaves=4).map(with_nulls)))
    wanted = data.draw(st.lists(values, min_size=1, max_size=5))
    array = arrow(kind, wanted)
    array.validate(full=True)
    start = data.draw(st.integers(0, len(wanted) - 1))
    rows = through_a_part(pa.table({"v": array.slice(start)}))
    assert same([row["v"] for row in rows], wanted[start:])
    assert len(row_bytes(pa.table({"v": array.slice(start)}))) == len(wanted) - start


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (pa.array(["a", None, "b", "a"]).dictionary_encode().slice(1), [None, "b", "a"]),
        (pa.array([["a"], None]).cast(pa.list_(pa.dictionary(pa.int8(), pa.string()))), [["a"], None]),
        (pa.RunEndEncodedArray.from_arrays([2, 3, 7], ["a", None, "c"]).slice(1, 4), ["a", None, "c", "c"]),
        (pa.DictionaryArray.from_arrays(pa.array([1, 0]), pa.array([dt.date.max, None])), [None, dt.date.max]),
        (pa.UnionArray.from_dense(pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32()),
                                  [pa.array([1]), pa.array(["a"])]).slice(1), ["a"]),
        (pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()),
                                   [pa.array([1, 2]), pa.array([2**62, 2**62]).cast(pa.timestamp("s"))]),
         [1, Exact("$datetime", "+146138514283-06-19T07:45:04")]),
        (pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), [{"a": 1, "a.2": 2}]),
        (pa.array([{}, None], pa.struct([])), [{}, None]),
        (pa.array([10**8], pa.int64()).cast(pa.date64()), [Exact("$date", "1970-01-02T03:46:40.000")]),
        (pa.array([2**31 - 1], pa.int32()).view(pa.date32()), [Exact("$date", "+5881580-07-11")]),
        (pa.array([-(2**31)], pa.int32()).view(pa.date32()), [Exact("$date", "-5877641-06-23")]),
        (pa.array([86_400_000_000], pa.int64()).view(pa.time64("us")), [Exact("$time", "86400000000us")]),
        (pa.array([0]).cast(pa.timestamp("us", "Mars/X")), [Exact("$datetime", "1970-01-01T00:00:00Z[Mars/X]")]),
        (pa.array([0]).cast(pa.timestamp("ns", "Mars/X")), ["1970-01-01 00:00:00.000000000Z[Mars/X]"]),
        (pa.array([0]).cast(pa.timestamp("ns", "America/New_York")), ["1969-12-31 19:00:00.000000000-0500"]),
        (pa.array([0]).cast(pa.timestamp("ns", "UTC")), ["1970-01-01 00:00:00.000000000Z"]),
        (pa.array([0]).cast(pa.timestamp("ns")), ["1970-01-01 00:00:00.000000000"]),
        (pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}"])), ["{}"]),
    ],
)  # fmt: skip
def test_a_form_for_what_is_rare(array, values):
    assert same([row["v"] for row in through_a_part(pa.table({"v": array}))], values)
    assert same(exact_values(array), values)


def test_a_zone_is_known_without_the_systems_database():
    """Many small machines have none; the package tzdata has one."""
    array = pa.array([0]).cast(
        pa.timestamp("us", "America/Halifax")
    )  # no other test's: what was found is kept
    zoneinfo.reset_tzpath(())
    zoneinfo.ZoneInfo.clear_cache()
    try:
        (value,) = exact_values(array)
    finally:
        zoneinfo.reset_tzpath()
    assert value.isoformat() == "1969-12-31T20:00:00-04:00"


def test_values_of_one_column_have_one_form():
    array = pa.array([0, 2**62, None]).cast(pa.timestamp("us"))
    forms = [set(loads_bare(dumps(value))) for value in exact_values(array)[:2]]
    assert forms == [{"$datetime"}, {"$datetime"}]


def loads_bare(text):
    import orjson

    return orjson.loads(text)


# times in twelve bytes, as Spark and Impala wrote them


def int96(path, seconds, **options):
    table = pa.table(
        {
            "when": pa.array(seconds, pa.timestamp("s")),
            "days": [[pa.scalar(s, pa.timestamp("s"))] for s in seconds],
        }
    )
    pq.write_table(table, path, use_deprecated_int96_timestamps=True, **options)


@pytest.mark.parametrize("seconds", [[253402300799, 0, None], [0, 1], [-(10**11), 10**12, 185542587187]])
def test_times_in_twelve_bytes_do_not_wrap_around(tmp_path, seconds):
    int96(tmp_path / "l.parquet", seconds, row_group_size=2)
    rows = [row for batch in read_rows(tmp_path / "l.parquet") for row in rows_of(batch.table)]
    assert [row["when"] and instant(row["when"]) for row in rows] == seconds
    assert [row["days"][0] and instant(row["days"][0]) for row in rows] == seconds


def test_nanoseconds_of_far_times_stay(tmp_path):
    """By hand: Arrow cannot write them."""
    path = tmp_path / "l.parquet"
    pq.write_table(pa.table({"when": pa.array([253402300799], pa.timestamp("s"))}), path,
                   use_deprecated_int96_timestamps=True, compression="none", use_dictionary=False)  # fmt: skip
    body = path.read_bytes()
    old = struct.pack("<qi", 86_399 * 10**9, 253402300799 // DAY_S + 2_440_588)
    assert old in body
    path.write_bytes(
        body.replace(old, struct.pack("<qi", 86_399 * 10**9 + 123_456_789, 253402300799 // DAY_S + 2_440_588))
    )
    (batch,) = read_rows(path)
    assert rows_of(batch.table) == [{"when": "9999-12-31 23:59:59.123456789"}]


# what a row takes


def test_a_row_takes_what_it_decodes_to():
    text = "x" * 1000
    table = pa.table(
        {
            "plain": [text, "", None],
            "dictionary": pa.array([text, text, None]).dictionary_encode(),
            "lists": pa.array([[text] * 3, [], None]),
            "structs": pa.array([{"a": text}, None, {"a": ""}]),
        }
    )
    sizes = row_bytes(table)
    assert 6000 < sizes[0] < 6200
    assert 1000 < sizes[1] < 1100
    assert sizes[2] < 100
    assert (row_bytes(table.slice(1)) == sizes[1:]).all()
    assert row_bytes(table.select([])).tolist() == [0, 0, 0]


def test_types_that_python_holds_stay_as_they_are():
    for kind in (
        pa.int64(),
        pa.string(),
        pa.timestamp("us", "UTC"),
        pa.list_(pa.struct([("a", pa.float32())])),
        pa.uuid(),
    ):
        assert plain_type(kind) == kind


def test_rows_of_a_parquet_list_come_in_pieces_of_bounded_bytes(tmp_path):
    """One value that the file holds once counts as often as it occurs; a row that alone is too long is left out."""
    path = tmp_path / "l.parquet"
    nested = [{"bytes": "x" * MIB}] * 20
    pq.write_table(pa.table({"n": range(20), "text": ["y" * MIB] * 20, "image": nested}), path)
    assert path.stat().st_size < MIB
    batches = list(read_rows(path))
    assert max(batch.table.nbytes for batch in batches) < 5 * MIB
    assert [row["n"] for batch in batches for row in rows_of(batch.table)] == list(range(20))
    assert {len(row["image"]["bytes"]) for batch in batches for row in rows_of(batch.table)} == {MIB}

    pq.write_table(pa.table({"n": range(3), "texts": [["y" * MIB] * 20, [], ["y" * MIB]]}), path)
    batches = list(read_rows(path))
    assert [row["n"] for batch in batches for row in rows_of(batch.table)] == [1, 2]
    (bad,) = (bad for batch in batches for bad in batch.bad)
    assert (bad.row, bad.reason) == (0, Reason.ROW_TOO_LONG)
    assert bad.detail.startswith("20,971,")
