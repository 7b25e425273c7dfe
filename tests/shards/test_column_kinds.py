"""Columns of another type than a recipe reckons with."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.shards.column_kinds import check_columns, is_kind
from gristmill.spec.errors import SourceError
from gristmill.spec.recipe import Column

KINDS = ("string", "string or binary", "integer", "float")
WANTED = (
    Column(name="id", kind="integer"),
    Column(name="url", kind="string"),
    Column(name="width", kind="integer", needed=False),
)


@pytest.mark.parametrize(
    ("found", "fits"),
    [
        (pa.string(), KINDS[:2]),
        (pa.large_string(), KINDS[:2]),
        (pa.string_view(), KINDS[:2]),
        (pa.dictionary(pa.int32(), pa.string()), KINDS[:2]),
        (pa.binary(), KINDS[1:2]),
        (pa.int32(), KINDS[2:3]),
        (pa.uint64(), KINDS[2:3]),
        (pa.float16(), KINDS[3:]),
        (pa.float64(), KINDS[3:]),
        (pa.null(), KINDS),
        (pa.bool_(), ()),
        (pa.decimal128(9, 3), ()),
        (pa.list_(pa.string()), ()),
        (pa.timestamp("us"), ()),
    ],
)
def test_what_fits_what(found, fits):
    assert tuple(kind for kind in KINDS if is_kind(found, kind)) == fits


def check(tmp_path, **columns):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    check_columns(tmp_path / "a.parquet", WANTED)


def test_columns_as_they_should_be(tmp_path):
    check(tmp_path, id=[1], url=["u"])
    check(tmp_path, id=[None, 1], url=[None, "u"], width=pa.nulls(2))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"id": [1.5], "url": ["u"]}, "the column id is double where an integer is expected."),
        ({"id": [1], "url": pa.nulls(1)}, "the column url is null where a string is expected."),
        (
            {"id": [1], "url": ["u"], "width": ["9"]},
            "the column width is string where an integer is expected.",
        ),
        ({"id": ["a"]}, "string where an integer is expected, there is no column url. Its columns: id."),
    ],
)
def test_what_is_wrong_is_said_with_its_type(columns, said, tmp_path):
    with pytest.raises(SourceError) as caught:
        check(tmp_path, **columns)
    assert str(caught.value).startswith(f"{tmp_path / 'a.parquet'}: ")
    assert str(caught.value).endswith(said)


def test_what_is_no_parquet_is_left_to_its_reader(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    check_columns(tmp_path / "a.parquet", WANTED)
