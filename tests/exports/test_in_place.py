"""Exports that leave shards where they lie: Energon's metadata and open_clip's sizes.

Energon's own index of the same shards is compared with ours by ``make test-loaders``.
"""

import json
import sqlite3
import struct
import subprocess
from collections import Counter
from contextlib import closing
from dataclasses import replace

import pytest
import yaml
from made_shards import caption, conversation, finished
from row_sets import LOADERS, SETS, export, made, read_by, read_mds, told
from small_parts import mix_here, write_mixture, write_part, write_parts
from typed import gristmill

from gristmill.exports import FinishedShards
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.manifest import shards_of
from gristmill.ledger.reading import samples_in
from gristmill.ledger.run_config import RunConfig
from gristmill.shards.shape import Shape
from gristmill.spec.errors import UsageError

PARTS = {"a-pictures": (3, 23), "b-text": (2, 101)}
WEIGHED = {"a-pictures": "weight=2.5", "b-text": "weight=0.5, prefix='b-'"}


def mixture(tmp_path, parts):
    out = write_parts(tmp_path / "parts", PARTS)
    mix_here(write_mixture(tmp_path / "small.py", parts), out, settings={"shuffle.index_only": "true"})
    folder, shape = out / "small", Shape()
    shards = tuple(shards_of(Ledger(folder)))
    for shard in shards:
        for sample in samples_in(folder, shard):
            shape.take(sample.parts.items())
    name = RunConfig.read(folder).name
    return FinishedShards(folder=folder, shards=shards, name=name, parts=("a",), shape=lambda: shape)


def rows(base, query):
    with closing(sqlite3.connect(base)) as opened:
        return opened.execute(query).fetchall()


@pytest.mark.parametrize("name", SETS)
def test_energon_finds_every_part_by_the_index(tmp_path, name):
    done = export("energon", made(tmp_path / "d", SETS[name]), tmp_path / "out")
    assert done.samples == sum(map(len, SETS[name]))
    out, base = tmp_path / "out", tmp_path / "out/.nv-meta/index.sqlite"
    counts = {f"{n:05d}.tar": len(shard) for n, shard in enumerate(SETS[name])}
    assert json.loads((out / ".nv-meta/.info.json").read_text())["shard_counts"] == counts
    split = yaml.safe_load((out / ".nv-meta/split.yaml").read_text())
    assert split == {"split_parts": {"train": [*counts]}, "exclude": []}
    for number, shard in enumerate(SETS[name]):
        body = (out / f"{number:05d}.tar").read_bytes()
        offsets = struct.unpack(f"<{len(shard) + 1}Q", (out / f"{number:05d}.tar.idx").read_bytes())
        where = f"WHERE tar_file_id = {number} ORDER BY sample_index"
        found = rows(base, f"SELECT sample_key, byte_offset, byte_offset + byte_size FROM samples {where}")
        assert found == [
            (sample.key, *pair) for (sample, _), *pair in zip(shard, offsets[:-1], offsets[1:], strict=True)
        ]
        for n, (_, bodies) in enumerate(shard):
            parts = rows(
                base,
                "SELECT part_name, content_byte_offset, content_byte_size FROM sample_parts "
                f"WHERE tar_file_id = {number} AND sample_index = {n}",
            )
            read = {part: body[at : at + size] for part, at, size in parts}
            assert {part: read[part] for part in bodies} == bodies
            assert {*read} - {*bodies} <= {"txt", "json"}
    said = yaml.safe_load((out / ".nv-meta/dataset.yaml").read_text())
    kind = said.get("sample_type", said)["__class__"]
    assert kind == ("CaptioningSample" if name == "captions" else "CrudeWebdataset")


def test_shards_are_links_and_the_export_is_the_same_again(tmp_path):
    dataset = made(tmp_path / "d", SETS["captions"])
    for to in ("energon", "open-clip"):
        done = export(to, dataset, tmp_path / to)
        assert (tmp_path / to / "00001.tar").samefile(tmp_path / "d/shards/00001.tar")
        assert export(to, dataset, tmp_path / to) == done
    sizes = json.loads((tmp_path / "open-clip/sizes.json").read_text())
    assert sizes == {"00000.tar": 300, "00001.tar": 300}
    assert f"{tmp_path}/open-clip/{{00000..00001}}.tar" in done.start
    export("energon", dataset, tmp_path / "again")
    first, again = (
        {path.name: path.read_bytes() for path in (tmp_path / folder / ".nv-meta").iterdir()}
        for folder in ("energon", "again")
    )
    assert first == again


def test_a_split_for_validation(tmp_path):
    dataset = made(tmp_path / "d", SETS["captions"])
    export("energon", dataset, tmp_path / "out", val_shards=1)
    split = yaml.safe_load((tmp_path / "out/.nv-meta/split.yaml").read_text())["split_parts"]
    assert split == {"train": ["00000.tar"], "val": ["00001.tar"]}
    with pytest.raises(UsageError, match="--val-shards 2: made-set has 2 shards"):
        export("energon", dataset, tmp_path / "none", val_shards=2)


def test_what_their_readers_would_not_take_is_refused(tmp_path):
    for n, (shards, why) in enumerate(
        {
            "chat": ("pictures by position"),
            "text": ("not each of these has one JPEG"),
        }.items()
    ):
        with pytest.raises(UsageError, match=why):
            export("open-clip", made(tmp_path / f"d{n}", SETS[shards]), tmp_path / "out")
    twice = made(tmp_path / "d", [[caption(1)], [caption(1)]])
    with pytest.raises(UsageError, match="a key that another shard has too"):
        export("energon", twice, tmp_path / "out")
    assert not [*tmp_path.glob("*out*")]


def test_a_mixture_is_a_metadataset_with_its_weights(tmp_path):
    done = export("energon", mixture(tmp_path, WEIGHED), tmp_path / "out")
    said = yaml.safe_load((tmp_path / "out/mixture.yaml").read_text())
    assert (said["__module__"], said["__class__"]) == ("megatron.energon", "MetadatasetV2")
    assert said["splits"]["train"]["blend"] == [
        {"weight": 58, "path": "a-pictures", "subflavors": {"source": "a-pictures"}},
        {"weight": 51, "path": "b-text", "subflavors": {"source": "b-text"}},
    ]
    assert (tmp_path / "out/b-text/00001.tar").samefile(tmp_path / "parts/b-text/shards/00001.tar")
    assert len(rows(tmp_path / "out/a-pictures/.nv-meta/index.sqlite", "SELECT * FROM samples")) == 23
    assert ["51 samples of the 101 of b-text" in note for note in done.notes] == [False, False, True]
    with pytest.raises(UsageError, match="does not take part a-pictures whole"):
        export("open-clip", captioned(mixture(tmp_path / "more", WEIGHED)), tmp_path / "clip")


LEFT_OUT_AND_DOUBLED = """
[shuffle]
index_only = true
[[part]]
folder = "parts/a-pictures"
where = ["upstream.n < 11"]
weight = 2.1
[[part]]
folder = "parts/b-text"
"""
PUBLISHED = {"a-pictures": "published='a'", "b-text": "published='b'"}


def test_whole_shards_are_not_what_a_mixture_with_conditions_or_a_tail_is(tmp_path):
    """Of 23 samples 11 are taken, and these 2.1 times: 23, but not the 23 of the shards."""
    write_parts(tmp_path / "parts", PARTS)
    (tmp_path / "halves.toml").write_text(LEFT_OUT_AND_DOUBLED)
    gristmill("mix", tmp_path / "halves.toml", "--out", tmp_path, "--workers", 0)
    out = tmp_path / "index"
    told = gristmill("export", tmp_path / "halves", "--to", "webdataset-index", "--out", out, code=2)
    assert "does not take part a-pictures whole" in told.stderr
    told = gristmill("export", tmp_path / "halves", "--to", "energon", "--out", tmp_path / "energon", code=2)
    assert "leaves out 12 samples of part a-pictures" in told.stderr
    orders = {"shuffle.order": "published", "shuffle.shards": "10", "shuffle.index_only": "true"}
    mix_here(write_mixture(tmp_path / "small.py", PUBLISHED), tmp_path / "parts", settings=orders)
    told = gristmill("export", tmp_path / "parts/small", "--to", "webdataset-index", "--out", out, code=2)
    assert "leaves out the last 4 samples" in told.stderr


def test_keys_of_whole_parts_have_no_prefix_and_that_is_said(tmp_path):
    done = export(
        "webdataset-index", mixture(tmp_path, {"a-pictures": "", "b-text": "prefix='b-'"}), tmp_path
    )
    assert (done.shards, done.samples) == (5, 124)
    assert done.notes[0] == "Keys are as they stand in the parts: without the prefix of b-text."


NESTED = """
[shuffle]
index_only = true
[[part]]
folder = "parts/small"
weight = 0.5
[[part]]
folder = "parts/c-text"
[[part]]
name = "none"
folder = "parts/c-text"
weight = 0.01
prefix = "none-"
"""


def nested(tmp_path):
    """Half of a mixture of 58 pictures and 51 texts, and 30 texts more."""
    mixture(tmp_path, WEIGHED)
    write_part(tmp_path / "parts/c-text", samples=30)
    (tmp_path / "nested.toml").write_text(NESTED)
    gristmill("mix", tmp_path / "nested.toml", "--out", tmp_path, "--workers", 0)
    out = tmp_path / "nested-out"
    return out, gristmill("export", tmp_path / "nested", "--to", "energon", "--out", out)


def test_a_mixture_of_mixtures_is_a_metadataset_of_metadatasets(tmp_path):
    out, told = nested(tmp_path)
    assert "55 samples of the 109 of small" in told.stderr
    assert "no sample of none" in told.stderr
    weights = [
        [(one["path"], one["weight"]) for one in yaml.safe_load(path.read_text())["splits"]["train"]["blend"]]
        for path in (out / "mixture.yaml", out / "small/mixture.yaml")
    ]
    assert weights == [[("small/mixture.yaml", 55), ("c-text", 30)], [("a-pictures", 58), ("b-text", 51)]]
    assert (out / "small/b-text/00001.tar").samefile(tmp_path / "parts/b-text/shards/00001.tar")


def captioned(dataset):
    shape = Shape()
    shape.take([("jpg", b""), ("txt", b""), ("json", b"{}")])
    return replace(dataset, shape=lambda: shape)


def test_rows_of_an_index_only_mixture_are_those_of_its_parts(tmp_path):
    dataset = mixture(tmp_path, WEIGHED)
    wanted = [s for shard in dataset.shards for s in samples_in(dataset.folder, shard)]
    export("mds", dataset, tmp_path / "out")
    found = list(read_mds(tmp_path / "out"))
    assert [one["key"] for one in found] == [one.key for one in wanted]
    assert [one["json"] for one in found] == [json.loads(one.parts["json"]) for one in wanted]
    bodies = [[body for name, body in one.parts.items() if name.endswith("jpg")] for one in wanted]
    assert [one["images"] for one in found] == bodies


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_all_samples_by_energon(tmp_path):
    outs = [tmp_path / name / "out" for name in SETS]
    for (name, shards), out in zip(SETS.items(), outs, strict=True):
        export("energon", made(tmp_path / name / "d", shards), out)
    export("energon", mixture(tmp_path, WEIGHED), tmp_path / "out")
    inner, _ = nested(tmp_path / "two")
    *found, drawn, of_two = read_by("energon", *outs, tmp_path / "out/mixture.yaml", inner / "mixture.yaml")
    for samples, shards in zip(found, SETS.values(), strict=True):
        whole = [one for shard in shards for one in shard]
        assert [sample["key"] for sample in samples] == [sample.key for sample, _ in whole]
        for sample, (made_of, bodies) in zip(samples, whole, strict=True):
            if "caption" in sample:
                assert sample["image"] == told(bodies["jpg"])
                assert sample["caption"] == told(made_of.text().encode())
            else:
                assert {name: sample[name] for name in bodies} == {n: told(b) for n, b in bodies.items()}
    counts = Counter(sample["source"] for sample in drawn)
    assert counts.keys() == {"a-pictures", "b-text"}
    assert abs(counts["a-pictures"] / counts.total() - 58 / 109) < 0.06
    counts = Counter(sample["source"] for sample in of_two)
    assert abs(counts["small"] / counts.total() - 55 / 85) < 0.06
    pictures = [sample for sample in of_two if sample["key"].startswith("a-pictures")]
    assert abs(len(pictures) / counts["small"] - 58 / 109) < 0.08


@pytest.mark.slow
def test_the_index_is_what_energon_prepare_writes(tmp_path):
    energon = LOADERS.with_name("energon")
    if not energon.exists():
        pytest.skip("the loaders are not there: make test-loaders")
    shards = [[caption(1), conversation(2, ["Q", "A"], 3)], [conversation(3, ["Q", "A"])]]
    export("energon", made(tmp_path / "d", shards), tmp_path / "out")
    finished(tmp_path / "real", shards)
    words = ("--non-interactive", "--split-ratio", "1,0,0", "--sample-type", "CrudeWebdataset")
    subprocess.run([energon, "prepare", tmp_path / "real/shards", *words], check=True, capture_output=True)
    ours, theirs = tmp_path / "out", tmp_path / "real/shards"
    for table in ("samples", "sample_parts", "sqlite_master"):
        columns = "name, tbl_name, type" if table == "sqlite_master" else "*"
        found = [
            sorted(rows(top / ".nv-meta/index.sqlite", f"SELECT {columns} FROM {table}"))
            for top in (ours, theirs)
        ]
        assert found[0] == found[1]
    for name in ("00000.tar.idx", "00001.tar.idx", ".nv-meta/.info.json"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
