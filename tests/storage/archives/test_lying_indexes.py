"""Indexes as strangers could have altered them: a lie is told or costs its member; nothing beyond is read."""

import os
from contextlib import suppress
from itertools import product

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made import foldered, indexed, tar_gzipped, tarred, zipped

from gristmill.spec.errors import DamagedSource, UsageError
from gristmill.storage.archives import (
    ArchiveSource,
    Extent,
    Indexed,
    MemberIndex,
    MemberRefused,
    read_catalog,
    write_catalog,
)

CANARY = b"of somebody else"
FILES = {"a.png": b"first", "in/b.png": b"second" * 100}
KINDS = {"folder": foldered, "a.zip": zipped, "a.tar": tarred, "a.tar.gz": tar_gzipped}
NUMBERS = (-1, -(2**63), 2**31 - 1, 2**62, 2**63 - 1, None)
TEXTS = ("", "../victim", "/etc/passwd", "\0", "x" * 70_000, None)
LIES = {
    "key": TEXTS,
    "name": TEXTS,
    "raw": (b"../victim", b"/etc/passwd", b"\0", b"", b"in", b"\xff" * 5000, b"in/../../victim"),
    "offset": NUMBERS,
    "packed_bytes": NUMBERS,
    "size_bytes": NUMBERS,
    "method": ("stored", "deflate", "no such", "", None),
    "crc32": (0, None),
    "refused": ("no such", "", "link"),
    "archive": (-1, -(2**31), 1, 2**31 - 1, None),
}


def lies(good):
    """The table with each column in turn all wrong: of wrong values, of nulls, of another type."""
    for column, values in LIES.items():
        at, kind = good.schema.get_field_index(column), good.schema.field(column).type
        other = pa.int64() if pa.types.is_string(kind) else pa.string()
        for wrong in (*(pa.array([value] * len(good), kind) for value in values), pa.nulls(len(good), other)):
            yield good.set_column(at, column, wrong)


def everything(source, name):
    """What each way to read a member gives, where it gives something."""
    (entry,) = source.find([name])
    ways = (source.read, lambda one: source.open(one).read(1 << 16), source.extent, source.pointer)
    for way in ways if entry else ():
        with suppress(MemberRefused):
            yield way(entry)


@pytest.mark.parametrize(("kind", "with_catalog"), [*product(KINDS, (False, True))])
def test_a_lie_in_an_index_is_told_or_costs_its_member(kind, with_catalog, tmp_path):
    (tmp_path / "victim").write_bytes(CANARY)
    path = KINDS[kind](tmp_path / kind, FILES)
    _, one = indexed(path)
    index, catalog = path.with_name(f"{kind}.index.parquet"), tmp_path / "catalog.parquet"
    write_catalog("toy", [one], (), catalog)
    altered = catalog if with_catalog else index
    good, told = pq.read_table(altered).replace_schema_metadata(None), pq.read_metadata(altered).metadata
    told_of_it, sentences = 0, set()
    for table in lies(good):
        with pq.ParquetWriter(altered, table.schema) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({b"gristmill.archive": told[b"gristmill.archive"]})
        try:
            source = ArchiveSource([Indexed(one.archive, index)], catalog if with_catalog else None)
            for got in everything(source, "in/b.png"):
                assert not isinstance(got, bytes) or CANARY not in got
                assert not isinstance(got, Extent) or got.path == path or path in got.path.parents
        except DamagedSource as err:
            sentences.add(str(err).partition(" Remove it ")[2])
            told_of_it += 1
    assert sentences == {"and give the same command again."}
    assert told_of_it > len(LIES) * 2


@pytest.mark.parametrize(
    "lie",
    [
        {"members": "many"},
        {"refused": [1]},
        {"files": [["a.zip"]]},
        {"notes": "no list"},
        {"told": []},
        {"told": {}},
        {"told": {"layout": 7, "passed_over": "x", "examples": 1}},
        {"kind": None},
    ],
)
def test_a_lie_in_the_summary_of_a_catalog_is_no_catalog(lie, tmp_path):
    _, one = indexed(zipped(tmp_path / "a.zip", FILES))
    catalog = tmp_path / "catalog.parquet"
    write_catalog("toy", [one], (), catalog)
    assert read_catalog(catalog).members == len(FILES)
    table = pq.read_table(catalog).replace_schema_metadata(None)
    told = orjson.loads(pq.read_metadata(catalog).metadata[b"gristmill.archive"])
    with pq.ParquetWriter(catalog, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({b"gristmill.archive": orjson.dumps({**told, **lie})})
    assert read_catalog(catalog) is None


def test_a_fifo_in_the_place_of_an_index_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="is a FIFO, and a file is expected"):
        MemberIndex(tmp_path / "fifo")
    assert read_catalog(tmp_path / "fifo") is None
