"""Whole runs over rows that hold their pictures: parts by place, side files, variants, groups, resuming."""

from __future__ import annotations

import base64
import io
import json
from functools import partial
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest
from made_dataset import write_manifest
from PIL import Image
from small_world import Watcher, totals, tree_of

from gristmill import recipes
from gristmill.ledger.card import card
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.run.begin import Job
from gristmill.run.driver import Ended, run
from gristmill.run.maintenance.verify import verify
from gristmill.shards.webdataset import read_samples
from gristmill.spec.errors import DriftError, SourceError, UsageError
from gristmill.testing.hub import FakeHub

HUB = "MMInstruction/M3IT"
SMALL = {"lines.part_bytes": "20000", "pack.shard_samples": "7"}


def picture(seed: int) -> str:
    out = io.BytesIO()
    Image.new("RGB", (30 + seed % 7, 20), (seed * 53 % 256, seed * 31 % 256, seed % 256)).save(out, "JPEG")
    return base64.b64encode(out.getvalue()).decode()


def lay_out(folder: Path, rows: int = 60, *, instructions: bool = True) -> Path:
    """A copy of the repository with the files of one subset: every seventh line is odd."""
    place = folder / "data" / "vqa" / "gqa"
    place.mkdir(parents=True)
    lines = []
    for n in range(rows):
        row = {"question": f"What is {n}?", "image_str": picture(n), "answer": f"It is {n}.", "id": n}
        if n % 14 == 3:
            row["image_str"] = "!" + row["image_str"]
        lines.append(json.dumps(row) if n % 14 != 10 else '{"question": "cut o')
    (place / "train.jsonl").write_text("\n".join(lines))
    if instructions:
        (place / "instruction.json").write_text(json.dumps(["Look: ", "Answer: ", "Say: "]))
    return folder


def job(folder: Path, source: Path | None, *, name: str = "m3it-gqa", settings=None, **more) -> Job:
    given = {**SMALL, **(settings or {})}
    return Job(
        load=partial(recipes.load, name, None, given),
        reference=name,
        folder=folder,
        settings=given,
        replaced={"annotations": str(source)} if source else {},
        **more,
    )


def run_it(*args, **more) -> Ended:
    ended = run(job(*args, **more), Watcher())
    assert ended.complete
    return ended


def samples_of(folder: Path) -> list[dict]:
    shards = sorted((folder / "shards").glob("*.tar"))
    return [orjson.loads(s.parts["json"]) for shard in shards for s in read_samples(shard)]


def test_rows_become_samples_and_every_row_has_a_fate(tmp_path):
    source = lay_out(tmp_path / "copy")
    run_it(tmp_path / "out", source)
    made = samples_of(tmp_path / "out")
    assert [s["key"] for s in made] == [f"m3it_gqa_{n:08d}" for n in range(60) if n % 14 not in (3, 10)]
    for one in made:
        n = one["upstream"]["id"]
        assert one["upstream"]["image_str"] is None
        assert one["media"]["000.jpg"]["width"] == 30 + n % 7
        text = one["turns"][0]["parts"][1]["text"]
        assert text == one["instruction"] + f"What is {n}?"
    assert {s["instruction"] for s in made} == {"Look: ", "Answer: ", "Say: "}
    ledger = Ledger(tmp_path / "out")
    dropped = totals(tmp_path / "out").stage("samples").dropped
    assert dropped == {"bad_base64": 5, "bad_row": 4}
    fates = pq.read_table(tmp_path / "out" / "fates")
    bad = [row for row in fates.to_pylist() if row["reason"] == "bad_row"]
    assert [row["row"] for row in bad] == [10, 24, 38, 52]
    assert all(f"line {row['row'] + 1}: " in row["detail"] for row in bad)
    assert not verify(ledger, threads=1, tell=lambda seen: None).problems
    parts = [s for r in ledger.stage("rows") for s in r.outputs if s.role == "part"]
    assert len(parts) > 2
    assert sum(part.size_bytes for part in parts) < 20_000


def test_no_base64_is_left_behind(tmp_path):
    """Neither in shards nor in indexes, not even of samples that were dropped."""
    source = lay_out(tmp_path / "copy", 20)
    run_it(tmp_path / "out", source)
    tail = picture(3)[-40:].encode()
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file() and path.suffix != ".parquet":
            assert tail not in path.read_bytes(), path
    for path in (tmp_path / "out").rglob("*.index.parquet"):
        for line in pq.read_table(path)["sample"].to_pylist():
            assert line is None or b"/9j/" not in line


@pytest.mark.slow
def test_the_same_whatever_the_workers_and_parts(tmp_path):
    source = lay_out(tmp_path / "copy")
    run_it(tmp_path / "a", source)
    run_it(tmp_path / "b", source, workers=2)
    run_it(tmp_path / "c", source, settings={"lines.part_bytes": "5000"})
    assert tree_of(tmp_path / "a") == tree_of(tmp_path / "b") == tree_of(tmp_path / "c")


def test_another_list_of_instructions_is_another_dataset(tmp_path):
    source = lay_out(tmp_path / "copy", 10)
    run_it(tmp_path / "out", source)
    config = RunConfig.read(tmp_path / "out")
    assert [side.name for side in config.aux] == ["data/vqa/gqa/instruction.json"]
    assert config.identity["variant"] == {"annotations": "latest"}
    (source / "data" / "vqa" / "gqa" / "instruction.json").write_text('["Other: "]')
    with pytest.raises(DriftError, match=r"instruction\.json"):
        run_it(tmp_path / "out", source)


def test_without_a_list_the_sentence_says_what_to_give(tmp_path):
    source = lay_out(tmp_path / "copy", 10, instructions=False)
    with pytest.raises(SourceError, match="--source instructions=FILE"):
        run_it(tmp_path / "out", source)
    given = tmp_path / "mine.json"
    given.write_text('["Mine: "]')
    replaced = {"annotations": str(source), "instructions": str(given)}
    run(
        Job(
            load=partial(recipes.load, "m3it-gqa"),
            reference="m3it-gqa",
            folder=tmp_path / "o",
            replaced=replaced,
        ),
        Watcher(),
    )
    assert {s["instruction"] for s in samples_of(tmp_path / "o")} == {"Mine: "}


def test_one_file_has_its_list_beside_it(tmp_path):
    source = lay_out(tmp_path / "copy", 10)
    run_it(tmp_path / "out", source / "data" / "vqa" / "gqa" / "train.jsonl")
    assert len(samples_of(tmp_path / "out")) == 9
    mine = (source / "data" / "vqa" / "gqa").rename(tmp_path / "mine")
    run_it(tmp_path / "out2", mine / "train.jsonl")
    assert samples_of(tmp_path / "out2") == samples_of(tmp_path / "out")


def test_a_copy_without_the_subset_is_not_mistaken_for_it(tmp_path):
    source = lay_out(tmp_path / "copy", 3)
    with pytest.raises(UsageError, match=r"no file there is like data/vqa/docvqa/train\.jsonl"):
        run_it(tmp_path / "out", source, name="m3it-docvqa")
    run_it(tmp_path / "out", source / "data")
    run_it(tmp_path / "out2", source / "data" / "vqa")
    run_it(tmp_path / "out3", source / "data" / "vqa" / "gqa")
    for name in ("m3it-docvqa", "m3it-vqa-v2"):  # whose file has the same bare name
        with pytest.raises(UsageError, match="name the file itself"):
            run_it(tmp_path / "out4", source / "data" / "vqa" / "gqa", name=name)


def test_which_of_two_files_is_a_setting(tmp_path):
    place = tmp_path / "copy" / "data" / "vqa" / "viquae"
    place.mkdir(parents=True)
    for name in ("train.jsonl", "train_v2.jsonl"):
        row = {"instruction": "Look: ", "input": name, "img_str": picture(1), "output": "a"}
        (place / name).write_text(json.dumps(row))
    for variant, name in (("latest", "train_v2.jsonl"), ("plain", "train.jsonl")):
        chosen = {"annotations.variant": variant}
        run_it(tmp_path / variant, tmp_path / "copy", name="m3it-viquae", settings=chosen)
        (made,) = samples_of(tmp_path / variant)
        assert made["upstream"]["input"] == name
        assert RunConfig.read(tmp_path / variant).inputs[0].name.endswith(name)
    with pytest.raises(DriftError, match="variant"):
        run_it(tmp_path / "plain", tmp_path / "copy", name="m3it-viquae")
    (place / "train.jsonl").unlink()
    with pytest.raises(UsageError, match=r"read another with --set annotations\.variant=latest"):
        run_it(tmp_path / "none", tmp_path / "copy", name="m3it-viquae", settings=chosen)
    with pytest.raises(UsageError, match="latest, plain"):
        recipes.load("m3it-viquae", None, {"annotations.variant": "other"})


def test_from_the_hub_the_file_stays_until_its_samples_are_made(tmp_path, monkeypatch):
    source = lay_out(tmp_path / "copy", 30)
    with FakeHub({HUB: source}, revision="main") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        job_ = job(tmp_path / "hub", None)
        run(Job(**{**{f: getattr(job_, f) for f in job_.__slots__}, "last": "rows"}), Watcher())
        fetched = tmp_path / "hub" / ".gristmill" / "sources" / "annotations" / "data/vqa/gqa/train.jsonl"
        assert fetched.exists()
        assert run(job_, Watcher()).complete
        assert not fetched.exists()
    run_it(tmp_path / "disk", source)
    assert tree_of(tmp_path / "hub") == tree_of(tmp_path / "disk")


def test_a_file_that_was_changed_meanwhile_is_noticed(tmp_path):
    source = lay_out(tmp_path / "copy", 30)
    job_ = job(tmp_path / "out", source)
    run(Job(**{**{f: getattr(job_, f) for f in job_.__slots__}, "last": "rows"}), Watcher())
    path = source / "data" / "vqa" / "gqa" / "train.jsonl"
    path.write_text(path.read_text()[:-1])
    with pytest.raises(DriftError):
        run(job_, Watcher())


def test_card_and_manifest_speak_of_side_sources(tmp_path):
    source = lay_out(tmp_path / "copy", 10)
    ended = run_it(tmp_path / "out", source)
    ledger = Ledger(tmp_path / "out")
    write_manifest(tmp_path / "out", ended.recipe, ended.config, ledger)
    sources = orjson.loads((tmp_path / "out" / "dataset.json").read_bytes())["sources"]
    assert [(s["key"], s["files"]) for s in sources] == [("annotations", 1), ("instructions", 1)]
    text = card(ended.recipe, ended.config, ledger)
    own = "somebody's own copy, in the place of `MMInstruction/M3IT` at revision `main`"
    assert f"- source `instructions`: {own}, 1 file" in text
    assert 'source_datasets: ["MMInstruction/M3IT"]' in text
