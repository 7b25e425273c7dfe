"""Single rows out of Parquet files of many makes, against Arrow's reading of all of them."""

import gc
import io
import random
from functools import cache
from pathlib import Path

import cramjam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.shards.parquet_pages import OddPage, pages
from gristmill.shards.single_texts import SingleTexts

COLUMNS = ("inputs", "targets")


def texts(seed: int, rows: int, longest: int = 90) -> list[str]:
    """Texts of all lengths from none, some beyond ASCII."""
    rng = random.Random(seed)
    letters = "abcdefghij é漢😀"
    return ["".join(rng.choices(letters, k=int(rng.triangular(0, longest, 4)))) for _ in range(rows)]


def table(rows: int, seed: int = 1, kind: pa.DataType | None = None) -> pa.Table:
    columns = {
        "targets": pa.array(texts(seed, rows), kind),
        "noise": list(range(rows)),
        "inputs": pa.array(texts(seed + 1, rows), kind),
    }
    return pa.table(columns).replace_schema_metadata({"by": "somebody"})


def picked(path: Path, rows_of_group, *, arrow: bool = True) -> list[pa.Table]:
    """What is read, group by group; if not ``arrow``, Arrow may not be asked."""
    found = []
    with pq.ParquetFile(path) as reader:
        chooser = SingleTexts(path, reader if arrow else Unread(reader), COLUMNS)
        for group, rows in enumerate(rows_of_group):
            assert chooser.can(group)
            found.append(pa.concat_tables(chooser.rows(group, rows)) if rows else None)
    return found


class Unread:
    """A file as Arrow knows it, of which Arrow reads no row."""

    def __init__(self, reader: pq.ParquetFile) -> None:
        self.schema_arrow, self.metadata = reader.schema_arrow, reader.metadata

    def iter_batches(self, *_, **__):
        raise AssertionError("Arrow is asked")


def expected(path: Path, rows_of_group) -> list[pa.Table]:
    with pq.ParquetFile(path) as reader:
        read = [reader.read_row_group(i, columns=list(COLUMNS)) for i in range(reader.num_row_groups)]
    return [group.take(rows) if rows else None for group, rows in zip(read, rows_of_group, strict=True)]


def groups_of(path: Path, draw) -> list[list[int]]:
    meta = pq.read_metadata(path)
    return [sorted(draw(meta.row_group(i).num_rows)) for i in range(meta.num_row_groups)]


def some(rng: random.Random):
    """Rows, one of them perhaps twice."""
    return lambda rows: rng.choices(range(rows), k=rng.randrange(12)) if rows else []


@given(
    rows=st.integers(1, 900),
    group_rows=st.integers(1, 400),
    page_bytes=st.sampled_from([1, 60, 500, 5_000]),
    step_rows=st.integers(1, 100),
    compression=st.sampled_from(["none", "snappy", "zstd"]),
    dictionary=st.sampled_from([None, 0, 300, 1 << 20]),
    version=st.sampled_from(["1.0", "2.0"]),
    large=st.booleans(),
    required=st.booleans(),
    seed=st.integers(0, 1 << 20),
)
@settings(deadline=None, max_examples=60)
def test_rows_are_those_that_arrow_reads(
    tmp_path_factory,
    rows,
    group_rows,
    page_bytes,
    step_rows,
    compression,
    dictionary,
    version,
    large,
    required,
    seed,
):
    made = table(rows, seed, pa.large_string() if large else None)
    if required:
        made = made.cast(
            pa.schema([field.with_nullable(False) for field in made.schema], made.schema.metadata)
        )
    path = tmp_path_factory.mktemp("rows") / "a.parquet"
    pq.write_table(
        made,
        path,
        row_group_size=group_rows,
        compression=compression,
        use_dictionary=dictionary is not None,
        dictionary_pagesize_limit=dictionary or 1,
        data_page_size=page_bytes,
        data_page_version=version,
        write_batch_size=step_rows,
    )
    wanted = groups_of(path, some(random.Random(seed)))
    for found, right in zip(picked(path, wanted), expected(path, wanted), strict=True):
        assert (found is None) == (right is None)
        if found is not None:
            found.validate(full=True)
            assert found.equals(right)
            assert found.schema.equals(right.schema, check_metadata=True)


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_plain_pages_are_read_without_arrow(tmp_path, compression):
    path = tmp_path / "a.parquet"
    pq.write_table(table(3000), path, compression=compression, use_dictionary=False, data_page_size=2000)
    wanted = [[0, 7, 7, 1500, 2999]]
    assert picked(path, wanted, arrow=False)[0].equals(expected(path, wanted)[0])


def test_arrow_reads_only_the_pages_that_are_numbers_in_a_dictionary(tmp_path):
    path = tmp_path / "a.parquet"
    settings = {"dictionary_pagesize_limit": 4000, "data_page_size": 2000, "write_batch_size": 200}
    pq.write_table(table(3000), path, compression="snappy", **settings)
    wanted = [[1500, 2999]]
    assert picked(path, wanted, arrow=False)[0].equals(expected(path, wanted)[0])
    with pytest.raises(AssertionError, match="Arrow is asked"):
        picked(path, [[3, 1500]], arrow=False)


def test_long_texts_come_in_pieces_and_their_long_statistics_are_passed_over(tmp_path):
    path = tmp_path / "a.parquet"
    long = [f"{n:05d}" + "x" * 200_000 for n in range(120)]
    made = pa.table({"inputs": long, "targets": long})
    pq.write_table(made, path, use_dictionary=False, write_batch_size=4)
    with pq.ParquetFile(path) as reader:
        pieces = list(SingleTexts(path, Unread(reader), COLUMNS).rows(0, range(0, 120, 2)))
    assert len(pieces) > 1
    assert pa.concat_tables(pieces).equals(made.take(list(range(0, 120, 2))))


def test_a_footer_does_not_wait_for_the_garbage_collector(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(table(3000), path, use_dictionary=False)
    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(one, pq.FileMetaData) for one in gc.get_objects())
        picked(path, [[3, 1500]])
        assert sum(isinstance(one, pq.FileMetaData) for one in gc.get_objects()) == before
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("odd", "settings"),
    [
        (pa.array(["a", None] * 50), {}),
        (pa.array(["a"] * 100, pa.binary()), {}),
        (pa.array(["a"] * 100).dictionary_encode(), {}),
        (pa.array(["a"] * 100), {"compression": "gzip"}),
        (pa.array(["a"] * 100), {"write_statistics": False}),
    ],
)
def test_other_columns_are_left_to_arrow(tmp_path, odd, settings):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"inputs": ["a"] * 100, "targets": odd}), path, **settings)
    with pq.ParquetFile(path) as reader:
        assert not SingleTexts(path, reader, COLUMNS).can(0)


@cache
def undamaged(compression: str, dictionary: bool) -> bytes:
    out = io.BytesIO()
    pq.write_table(table(2000), out, compression=compression, use_dictionary=dictionary, data_page_size=3000)
    return out.getvalue()


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("seed", range(40))
def test_what_is_damaged_is_arrows_to_say_and_never_hangs(tmp_path, compression, seed):
    rng = random.Random(seed)
    path = tmp_path / "a.parquet"
    body = bytearray(undamaged(compression, dictionary=seed % 2 == 0))
    footer = pq.read_metadata(io.BytesIO(body))
    end = len(body) - footer.serialized_size - 8
    for _ in range(1 + seed % 3):
        body[rng.randrange(4, end)] = rng.randrange(256)
    if seed % 5 == 0:
        body[end // 2 : end] = bytes(end - end // 2)
    path.write_bytes(body)
    wanted = list(range(0, 2000, 97))
    try:
        with pq.ParquetFile(path, metadata=footer) as reader:
            found = pa.concat_tables(SingleTexts(path, reader, COLUMNS).rows(0, wanted))
    except pa.ArrowInvalid:
        return
    except OSError as err:
        if err.errno is not None:  # the machine's word, not Arrow's
            raise
        return
    assert found.num_rows == len(wanted)


def test_headers_that_are_none_are_odd(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(table(10), path, use_dictionary=False)
    chunk = pq.read_metadata(path).row_group(0).column(0)
    for body in (
        b"",
        b"\x00" * 100,
        b"\xff" * 100,
        b"\x1c" * 4096,
        b"\x15\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    ):
        path.write_bytes(b"PAR1" + body)
        with path.open("rb", buffering=0) as stream, pytest.raises(OddPage):
            list(pages(stream, chunk))


def test_a_page_of_another_size_than_its_header_says_is_arrows_to_read(tmp_path):
    """Nothing of an earlier page that lay in the same memory may be taken for a row."""
    path = tmp_path / "a.parquet"
    pq.write_table(table(400), path, compression="snappy", use_dictionary=False, data_page_size=1 << 20)
    footer = pq.read_metadata(path)
    body = path.read_bytes()
    chunk = footer.row_group(0).column(0)
    with path.open("rb", buffering=0) as stream:
        page = next(pages(stream, chunk))
    packed = bytes(cramjam.snappy.compress_raw(b"\x02\x00\x00\x00\x90\x03" + b"\xff" * 20))
    path.write_bytes(body[: page.start] + packed.ljust(page.size, b"\0") + body[page.start + page.size :])
    with pq.ParquetFile(path, metadata=footer) as reader, pytest.raises((pa.ArrowInvalid, OSError)):
        list(SingleTexts(path, reader, COLUMNS).rows(0, [5]))
