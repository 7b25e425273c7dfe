"""Exports of rows: MDS and litData by code that follows their readers, Parquet by ``datasets``, and by the real ones.

The real readers need an environment of their own (``make test-loaders``): together they pin what Gristmill does not.
"""

import importlib
import json
import struct
from dataclasses import replace

import pyarrow as pa
import pytest
from made_shards import caption, conversation, finished, picture
from row_sets import SETS, export, made, read_by, read_mds, told, video

from gristmill import exports
from gristmill.exports import FinishedShards
from gristmill.shards.shape import Shape
from gristmill.spec.errors import DamagedOutput, UsageError
from gristmill.spec.sample import MediaRef


def rows_of(to, shards):
    """What a reader must give, by column."""
    whole = [one for shard in shards for one in shard]
    texts = any(set(sample.media) == {"jpg"} for sample, _ in whole)
    rows = []
    for sample, bodies in whole:
        row = {"key": sample.key}
        if texts:
            row["caption"] = sample.text() if set(sample.media) == {"jpg"} else ""
        for kind, ends in (("image", ("jpg", "png")), ("video", ("mp4",))):
            media = [body for name, body in bodies.items() if name.endswith(ends)]
            counts = [sum(name.endswith(ends) for name in b) for _, b in whole]
            if set(counts) == {1}:
                row[kind] = media[0]
            elif any(counts) and kind == "video" and to == "mds":
                row["video"] = media[0] if media else b""
            elif any(counts):
                row[f"{kind}s"] = media
        rows.append(row)
    return rows


def read_litdata(folder):
    index = json.loads((folder / "index.json").read_text())
    for chunk in index["chunks"]:
        body = (folder / chunk["filename"]).read_bytes()
        assert len(body) == chunk["chunk_bytes"]
        count, *offsets = struct.unpack_from(f"<{chunk['chunk_size'] + 2}I", body)
        assert (count, set(offsets)) == (chunk["chunk_size"], {8 + 4 * count})
        assert body[-8:] == b"LDARW01\0"
        (size,) = struct.unpack_from("<I", body, len(body) - 12)
        assert size == len(body) - 12 - offsets[0]
        file = pa.ipc.open_file(pa.py_buffer(body[offsets[0] : -12]))
        for n in range(file.num_record_batches):
            batch = file.get_batch(n)
            assert batch.num_rows == 256 or n == file.num_record_batches - 1
            yield from batch.to_pylist()


def same(found, wanted):
    """All samples, field by field; ``json`` may be read already."""
    found = list(found)
    assert len(found) == len(wanted)
    for one, row in zip(found, wanted, strict=True):
        record = one.pop("json")
        record = json.loads(record) if isinstance(record, str) else record
        assert record["key"] == row["key"]
        assert one == row


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(("to", "read"), [("mds", read_mds), ("litdata", read_litdata)])
def test_all_samples_by_the_readers_rules(tmp_path, to, read, name):
    done = export(to, made(tmp_path / "d", SETS[name]), tmp_path / "out")
    assert (done.samples, done.left_out) == (sum(map(len, SETS[name])), 0)
    same(read(tmp_path / "out"), rows_of(to, SETS[name]))
    assert str(tmp_path / "out") in done.start


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("streaming", [False, True])
def test_parquet_and_its_card_by_datasets(tmp_path, monkeypatch, name, streaming):
    datasets = importlib.import_module("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    dataset = made(tmp_path / "d", SETS[name])
    (tmp_path / "d/README.md").write_text(
        '---\nlicense: "mit"\ntags: ["webdataset", "gristmill"]\nconfigs:\n- config_name: "default"\n'
        "dataset_info:\n  features: []\n---\n\n# Made\n\nSaid.\n\n## How to load it\n\nNo.\n\n## Licence\n\nMIT\n"
    )
    export("hf", dataset, tmp_path / "out")
    card = (tmp_path / "out/README.md").read_text()
    assert card.startswith('---\nlicense: "mit"\ntags: ["parquet", "gristmill"]\nconfigs: [')
    assert card.endswith("---\n\n# Made\n\nSaid.\n\n## Licence\n\nMIT\n")
    rows = datasets.load_dataset(str(tmp_path / "out"), split="train", streaming=streaming)
    for column, kind in list(rows.features.items()):
        if column in ("image", "images"):
            assert kind == (datasets.Image() if column == "image" else datasets.List(datasets.Image()))
            shown = next(iter(rows.select_columns([column])))[column]
            assert column == "images" or shown.width == 16
        if column.rstrip("s") in ("image", "video"):
            one = (datasets.Image if column.startswith("image") else datasets.Video)(decode=False)
            rows = rows.cast_column(column, datasets.List(one) if column.endswith("s") else one)
    found = [
        {
            key: value["bytes"]
            if isinstance(value, dict)
            else [item["bytes"] for item in value]
            if isinstance(value, list)
            else value
            for key, value in row.items()
        }
        for row in rows
    ]
    same(found, rows_of("hf", SETS[name]))


@pytest.mark.parametrize("to", ["mds", "litdata", "hf"])
def test_a_stopped_export_goes_on_and_ends_with_the_same_bytes(tmp_path, to):
    dataset = made(tmp_path / "d", SETS["chat"])
    export(to, dataset, tmp_path / "once")
    steps = exports.find(to).export(dataset, tmp_path / "out")
    next(steps)
    steps.close()
    assert not (tmp_path / "out").exists()
    part = tmp_path / ".out.part"
    first = sorted(path for path in part.rglob("*") if path.is_file() and not path.name.startswith("."))[0]
    kept = first.stat().st_mtime_ns, first.name
    assert export(to, dataset, tmp_path / "out").samples == 9
    trees = [
        {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}
        for top in (tmp_path / "once", tmp_path / "out")
    ]
    assert trees[0] == trees[1]
    assert next((tmp_path / "out").rglob(kept[1])).stat().st_mtime_ns == kept[0]
    assert export(to, dataset, tmp_path / "out").samples == 9


def test_shards_of_bounded_size(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.import_module("gristmill.exports.mds"), "_SHARD_BYTES", 4000)
    monkeypatch.setattr(importlib.import_module("gristmill.exports.litdata"), "_CHUNK_BYTES", 4000)
    dataset = made(tmp_path / "d", SETS["captions"])
    for to, read in (("mds", read_mds), ("litdata", read_litdata)):
        export(to, dataset, tmp_path / to)
        files = [path for path in (tmp_path / to).iterdir() if path.suffix in (".mds", ".bin")]
        assert len(files) > 50
        if to == "mds":
            assert max(path.stat().st_size for path in files) <= 4000
        same(read(tmp_path / to), rows_of(to, SETS["captions"]))


def test_what_does_not_fit_is_named_or_left_out_and_counted(tmp_path):
    sample, bodies = conversation(1, ["Q", "A"], 1)
    odd = replace(sample, key="odd", media={"000.wav": MediaRef()}, turns=sample.turns[1:])
    two = replace(video(1)[0], key="two", media=dict.fromkeys(("000.mp4", "001.mp4"), MediaRef(kind="video")))
    shards = [[(sample, bodies), (odd, {"000.wav": b"x"}), (two, dict.fromkeys(two.media, b"v")), video(3)]]
    dataset = made(tmp_path / "d", shards)
    with pytest.raises(UsageError, match=r"sample odd has 000.wav, which is no picture.*--leave-out"):
        export("mds", dataset, tmp_path / "out")
    assert not [*tmp_path.glob("*out*")]
    done = export("mds", dataset, tmp_path / "out", leave_out=True)
    assert (done.samples, done.left_out) == (2, 2)
    assert done.reasons == {"other_medium": 1, "several_videos": 1}
    assert export("mds", dataset, tmp_path / "out", leave_out=True).reasons == done.reasons


@pytest.mark.parametrize("to", ["mds", "litdata", "hf"])
def test_a_row_that_is_too_large_does_not_fit(tmp_path, monkeypatch, to):
    monkeypatch.setattr(type(exports.find(to)), "most_bytes", 1500)
    dataset = made(tmp_path / "d", [[video(1), (video(2)[0], {"000.mp4": b"x" * 1500})]])
    with pytest.raises(UsageError, match=r"sample v_00000002 has .* bytes, and a row takes 1,500"):
        export(to, dataset, tmp_path / "out")
    assert export(to, dataset, tmp_path / "out", leave_out=True).reasons == {"too_large": 1}


def test_a_sample_that_its_records_do_not_tell_of_is_damage(tmp_path):
    infos = finished(tmp_path / "d", [[caption(1)]])
    shape = Shape()
    shape.take([("json", b"{}")])
    dataset = FinishedShards(folder=tmp_path / "d", shards=tuple(infos), shape=lambda: shape)
    with pytest.raises(DamagedOutput, match="sample 0000000000001 has parts jpg, txt, json"):
        export("mds", dataset, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("loader", ["mds", "mds_hashed", "litdata", "lance"])
def test_all_samples_by_the_real_library(tmp_path, loader):
    to, _, hashed = loader.partition("_")
    if to == "lance":
        pytest.importorskip("lance")
    outs = [tmp_path / name / "out" for name in SETS]
    for (name, shards), out in zip(SETS.items(), outs, strict=True):
        dataset = made(tmp_path / name / "d", shards)
        export(to, dataset, out, **({"hashes": True} if hashed else {}))
    for shards, found in zip(SETS.values(), read_by(loader, *outs), strict=True):
        same(found, [{key: told(value) for key, value in row.items()} for row in rows_of(to, shards)])


@pytest.mark.slow
def test_a_stopped_lance_export_goes_on(tmp_path):
    lance = pytest.importorskip("lance")
    dataset = made(tmp_path / "d", [*SETS["chat"], *SETS["chat"][:0], [conversation(20, ["Q", "A"], 1)]])
    steps = exports.find("lance").export(dataset, tmp_path / "out")
    next(steps)
    steps.close()
    part = tmp_path / ".out.part"
    torn = lance.dataset(str(part / "data.lance"))
    lance.write_dataset(
        torn.to_table(), str(part / "data.lance"), mode="append"
    )  # and was killed before its record
    assert export("lance", dataset, tmp_path / "out").samples == 10
    keys = lance.dataset(str(tmp_path / "out/data.lance")).to_table(columns=["key"])["key"].to_pylist()
    assert keys == [f"q_{n:08d}" for n in (*range(9), 20)]


def test_pictures_are_the_shards_bytes(tmp_path):
    export("mds", made(tmp_path / "d", [[caption(7)]]), tmp_path / "out")
    (row,) = read_mds(tmp_path / "out")
    assert row["image"] == picture(7)
