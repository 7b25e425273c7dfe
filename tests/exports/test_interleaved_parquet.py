"""Interleaved Parquet, read by Hugging Face's ``datasets``."""

import importlib
import json

import pyarrow.parquet as pq
import pytest
from made_shards import caption, conversation, document, finished

from gristmill.exports import FinishedShards, _row_groups
from gristmill.exports.interleaved_parquet import InterleavedParquet
from gristmill.spec.errors import UsageError

SHARDS = [
    [document(n, ["One.", f"Two of {n} – é.", "Three."], [2, 0][: n % 3]) for n in range(1, 6)],
    [document(9, ["A."], [0, 0, 0], live={0, 2})],
]


def export(folder, infos, out, **options):
    shards = FinishedShards(folder=folder, shards=tuple(infos))
    return list(InterleavedParquet(**options).export(shards, out))[-1]


@pytest.fixture(scope="module")
def datasets():
    """Imported for these tests alone: it takes its time."""
    return importlib.import_module("datasets")


@pytest.fixture
def load(datasets, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))

    def loaded(folder, **more):
        return datasets.load_dataset("parquet", data_dir=str(folder), split="train", **more)

    return loaded


def test_lists_are_aligned_and_pictures_decode(tmp_path, datasets, load):
    done = export(tmp_path / "d", finished(tmp_path / "d", SHARDS), tmp_path / "out")
    assert (done.shards, done.samples, done.left_out) == (2, 6, 0)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["00000.parquet", "00001.parquet"]
    rows = load(tmp_path / "out")
    assert rows.features["images"] == datasets.List(datasets.Image())
    assert [len(row["images"]) for row in rows] == [4, 5, 3, 4, 5, 3]
    for row, (sample, bodies) in zip(rows, [*SHARDS[0], *SHARDS[1]], strict=True):
        facts, general = json.loads(row["metadata"]), json.loads(row["general_metadata"])
        assert len(row["images"]) == len(row["texts"]) == len(facts)
        for image, text, fact in zip(row["images"], row["texts"], facts, strict=True):
            assert (image is None) == (text is not None) == (fact is None)
        assert [text for text in row["texts"] if text is not None] == sample.upstream["text_list"]
        assert {image.width for image in row["images"] if image} <= {16 + 10 * 9 + i for i in range(3)} | {
            16 + (10 * n + i) % 200 for n in range(6) for i in range(3)
        }
        assert general["key"] == sample.key
        assert general["url"] == sample.upstream["url"]
        assert sum(image is not None for image in row["images"]) == len(bodies)
    second = rows[1]
    assert second["texts"] == [None, "One.", "Two of 2 – é.", None, "Three."]
    assert [image and image.width for image in second["images"]] == [16 + 21, None, None, 16 + 20, None]
    assert json.loads(second["metadata"])[0]["url"] == "http://a.test/2/001.jpg"


def test_streaming_and_undecoded(tmp_path, datasets, load):
    export(tmp_path / "d", finished(tmp_path / "d", SHARDS), tmp_path / "out")
    rows = load(tmp_path / "out", streaming=True).cast_column(
        "images", datasets.List(datasets.Image(decode=False))
    )
    last = list(rows)[-1]
    assert [image and image["path"] for image in last["images"]] == [
        "00007-000009.000.jpg",
        "00007-000009.002.jpg",
        None,
    ]
    assert last["images"][1]["bytes"] == SHARDS[1][0][1]["002.jpg"]


def test_captions_are_documents_of_two_pieces(tmp_path, load):
    export(tmp_path / "d", finished(tmp_path / "d", [[caption(5, "a\nb")]]), tmp_path / "out")
    (row,) = load(tmp_path / "out")
    assert row["texts"] == [None, "a\nb"]
    assert row["images"][0].width == 21
    assert json.loads(row["metadata"])[0]["url"] == "http://a.test/5.jpg"


def test_conversations_are_refused(tmp_path):
    infos = finished(tmp_path / "d", [[conversation(1, ["Q", "A"])]])
    with pytest.raises(UsageError, match=r"assistant, user; who speaks would be lost.*--leave-out"):
        export(tmp_path / "d", infos, tmp_path / "out")


def test_the_same_bytes_again_and_only_what_is_missing(tmp_path):
    infos = finished(tmp_path / "d", SHARDS)
    export(tmp_path / "d", infos, tmp_path / "out")
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    (tmp_path / "out" / "00001.parquet").unlink()
    kept = (tmp_path / "out" / "00000.parquet").stat().st_mtime_ns
    assert export(tmp_path / "d", infos, tmp_path / "out").samples == 6
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == first
    assert (tmp_path / "out" / "00000.parquet").stat().st_mtime_ns == kept
    other = finished(tmp_path / "e", SHARDS[::-1])
    with pytest.raises(UsageError, match="made of another dataset"):
        export(tmp_path / "e", other, tmp_path / "out")
    (tmp_path / "out" / "00000.parquet").write_bytes(b"x")
    with pytest.raises(UsageError, match="made of another dataset"):
        export(tmp_path / "d", infos, tmp_path / "out")


def test_row_groups_are_bounded_by_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(_row_groups, "_GROUP_BYTES", 4000)
    export(tmp_path / "d", finished(tmp_path / "d", [SHARDS[0] * 1]), tmp_path / "out")
    footer = pq.read_metadata(tmp_path / "out" / "00000.parquet")
    assert footer.num_row_groups > 1
    assert footer.num_rows == 5
