"""Samples as ranges of bytes: what the reader of shards reads, found without reading it."""

import hashlib
import io
import random
import tarfile
import zlib

import numpy as np
import orjson
import pytest

from gristmill.shards import extents
from gristmill.shards.extents import LargeExtent, find_extents, key_at, key_hash, parts_of, renamed
from gristmill.shards.scattered import ROW, read_rows, read_scattered, write_scattered
from gristmill.shards.webdataset import TarWriter, read_samples
from gristmill.spec.body import bytes_of, size_of
from gristmill.spec.errors import DamagedOutput
from gristmill.storage.local import LocalStore
from gristmill.storage.store import StoredFile


def write(path, sizes, seed=0):
    """Samples of so many members, of random sizes around the sizes of blocks and chunks."""
    rng = random.Random(seed)
    with path.open("wb") as stream:
        tar = TarWriter(stream)
        for n, members in enumerate(sizes):
            name = f"{n % 3}/k{n}" if n % 5 == 0 else f"k{n}"
            for member in range(members):
                body = rng.randbytes(rng.choice((0, 1, 511, 512, 513, 1000, 5000)))
                tar.add(f"{name}.{member:03d}.bin", body)
        tar.close()
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("chunk", [512, 1024, 4096, 4 << 20])
def test_the_same_samples_as_the_reader_finds(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(extents, "_CHUNK_BYTES", chunk)
    path, rng = tmp_path / "s.tar", random.Random(1)
    digest = write(path, [rng.randrange(1, 6) for _ in range(60)])
    found, read = find_extents(path, digest), list(read_samples(path))
    body = path.read_bytes()
    assert found["offset"].tolist() == [one.offset for one in read]
    file = StoredFile(LocalStore(path.parent), path.name)
    assert [key_at(file, int(offset)) for offset in found["offset"]] == [one.key for one in read]
    for row, one in zip(found, read, strict=True):
        extent = body[row["offset"] : row["offset"] + row["size"]]
        copy = tmp_path / "one.tar"
        copy.write_bytes(extent + bytes(1024))
        assert next(read_samples(copy)).parts == one.parts
        assert zlib.crc32(extent) == row["crc32"]
        assert key_hash(one.key.encode()) == row["key"]


@pytest.mark.parametrize("chunk", [512, 2048, 4 << 20])
def test_a_tar_within_a_sample_is_a_body(tmp_path, monkeypatch, chunk):
    """Its headers stand where headers may stand, and are none."""
    monkeypatch.setattr(extents, "_CHUNK_BYTES", chunk)
    inner, path = tmp_path / "inner.tar", tmp_path / "s.tar"
    write(inner, [2] * 4)
    with path.open("wb") as stream:
        tar = TarWriter(stream)
        for n in range(6):
            tar.add(f"k{n}.a.tar", inner.read_bytes() if n % 2 else b"x")
            tar.add(f"k{n}.json", b"{}")
        tar.close()
    found = find_extents(path, hashlib.sha256(path.read_bytes()).hexdigest())
    assert found["offset"].tolist() == [one.offset for one in read_samples(path)]
    assert found["key"].tolist() == [key_hash(f"k{n}".encode()) for n in range(6)]


def test_no_samples(tmp_path):
    digest = write(tmp_path / "s.tar", [])
    assert len(find_extents(tmp_path / "s.tar", digest)) == 0


def test_a_shard_of_the_standard_library(tmp_path):
    """Other tools' tars have owners and times: they are moved as they are."""
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for n in range(5):
            for part in ("jpg", "json"):
                info = tarfile.TarInfo(f"k{n}.{part}")
                info.size, info.mtime, info.uname = 100, 1_700_000_000, "me"
                tar.addfile(info, io.BytesIO(b"x" * 100))
    found = find_extents(path, hashlib.sha256(path.read_bytes()).hexdigest())
    assert found["size"].tolist() == [4 * 512] * 5


@pytest.mark.parametrize("seed", range(40))
def test_garbage_is_damage(tmp_path, seed):
    path, rng = tmp_path / "s.tar", random.Random(seed)
    write(path, [2] * 10)
    body = bytearray(path.read_bytes())
    how = rng.randrange(4)
    if how == 0:
        del body[rng.randrange(len(body)) :]
    elif how == 1:
        at = rng.randrange(len(body))
        body[at : at + 600] = rng.randbytes(600)
    elif how == 2:
        body[:] = rng.randbytes(3000)
    else:
        body[124:136] = b"77777777777\0"
    path.write_bytes(body)
    for digest in ("0" * 64, hashlib.sha256(body).hexdigest()):
        try:
            found = find_extents(path, digest)
        except DamagedOutput:
            continue
        else:  # only bodies differ
            assert digest != "0" * 64
            assert found["size"].sum() <= len(body)


def test_renamed():
    out = io.BytesIO()
    tar = TarWriter(out)
    tar.add("old.000.jpg", b"picture")
    tar.add("old.json", orjson.dumps({"key": "old", "text": '"key":"old"'}))
    new = renamed(out.getvalue(), lambda key: f"a-{key}-2")
    with tarfile.open(fileobj=io.BytesIO(new + bytes(1024))) as tar_file:
        parts = {m.name: tar_file.extractfile(m).read() for m in tar_file}
    assert list(parts) == ["a-old-2.000.jpg", "a-old-2.json"]
    assert orjson.loads(parts["a-old-2.json"]) == {"key": "a-old-2", "text": '"key":"old"'}
    with pytest.raises(ValueError, match="at most 100"):
        renamed(out.getvalue(), lambda key: "x" * 120)


def test_renamed_where_the_key_does_not_stand_first():
    out = io.BytesIO()
    TarWriter(out).add("old.json", b'{"a": 1, "key": "old"}')
    assert b'"key":"new"' in renamed(out.getvalue(), lambda key: "new")


def test_scattered_rows_come_back_by_shard(tmp_path):
    rows = np.zeros(10, ROW)
    rows["place"] = np.arange(10) * 2
    path = tmp_path / "r.rows"
    with path.open("wb") as stream:
        write_scattered(stream, rows, [0, 4, 4, 10], {"source": 3})
    assert read_scattered(path, 0)[1]["place"].tolist() == [0, 2, 4, 6]
    assert read_scattered(path, 1)[1]["place"].tolist() == []
    assert read_scattered(path, 2)[0] == {"source": 3}
    assert read_rows(path)[1]["place"].tolist() == rows["place"].tolist()
    with pytest.raises(DamagedOutput, match="shard 3"):
        read_scattered(path, 3)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedOutput, match="cut off"):
        read_scattered(path, 2)
    path.write_bytes(b"x" * 100)
    with pytest.raises(DamagedOutput, match="no file of"):
        read_rows(path)


def test_a_large_sample_is_the_same_left_where_it_lies(tmp_path):
    path, rng = tmp_path / "s.tar", random.Random(3)
    with path.open("wb") as stream:
        tar = TarWriter(stream)
        for n in range(3):
            tar.add(f"a/k{n}.000.mp4", rng.randbytes(10_000 * n))
            tar.add(f"a/k{n}.json", orjson.dumps({"key": f"a/k{n}", "n": n}))
        tar.close()
    for row in find_extents(path, hashlib.sha256(path.read_bytes()).hexdigest()):
        extent = path.read_bytes()[row["offset"] : row["offset"] + row["size"]]
        large = LargeExtent.at(path, int(row["offset"]), int(row["size"]))
        assert (bytes_of(large), size_of(large)) == (extent, len(extent))
        assert [part for part, _ in parts_of(large)] == ["000.mp4", "json"]
        other = large.renamed(lambda key: f"p/{key}-2")
        assert bytes_of(other) == renamed(extent, lambda key: f"p/{key}-2")
        assert size_of(other) == len(bytes_of(other))
