"""Exports of conversations, read by Hugging Face's ``datasets`` as trainers open them."""

import importlib
import json
from dataclasses import replace

import pytest
from made_shards import conversation, finished

from gristmill import exports
from gristmill.exports import FinishedShards


@pytest.fixture(scope="module")
def datasets():
    """Imported for these tests alone: it takes its time."""
    return importlib.import_module("datasets")


@pytest.fixture
def load(datasets, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))

    def loaded(*words, streaming, **more):
        return datasets.load_dataset(*map(str, words), split="train", streaming=streaming, **more)

    return loaded


def export(to, folder, out, shards):
    infos = finished(folder, shards)
    dataset = FinishedShards(folder=folder, shards=tuple(infos), name="made-set")
    return list(replace(exports.find(to), leave_out=True).export(dataset, out))[-1]


SHARDS = [
    [conversation(n, ["What?", f"A cat – {n}."], n % 3) for n in range(6)],
    [conversation(n, ["2 + 2?", "4", "And 1 + 1?", "2"]) for n in range(6, 9)],
]


@pytest.mark.parametrize("to", ["llama-factory", "messages", "trl"])
def test_every_row_in_both_manners(tmp_path, datasets, load, to):
    out = tmp_path / "out"
    export(to, tmp_path / "d", out, SHARDS)
    for streaming in (False, True):
        assert datasets.get_dataset_config_names(str(out)) == ["images", "text"]
        rows = [row for name in ("images", "text") for row in load(out, name, streaming=streaming)]
        assert sorted(row["id"] for row in rows) == [f"q_{n:08d}" for n in range(9)]
        assert {len(row.get("images", ())) for row in rows} == ({0} if to == "messages" else {0, 1, 2})
    if to == "trl":
        first = load(out, "images", streaming=True).features["images"]
        assert first == datasets.List(datasets.Image())
        sizes = [image.width for image in rows[1]["images"]]
        assert rows[1]["id"] == "q_00000002"
        assert sizes == [16 + 20, 16 + 21]
        assert [[part["type"] for part in turn["content"]] for turn in rows[1]["messages"]] == [
            ["image", "image", "text"],
            ["text"],
        ]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("to", ["axolotl", "llama-factory", "messages", "swift", "trl", "unsloth"])
def test_ten_megabytes_of_text_before_the_first_picture(tmp_path, load, to):
    texts = [conversation(n, ["What follows?", "x" * 1000]) for n in range(15_000)]
    shown = [conversation(n, ["What?", "That."], 2) for n in range(15_000, 15_020)]
    out = tmp_path / "out"
    export(to, tmp_path / "d", out, [texts, shown])
    for streaming in (False, True):
        counts = {name: sum(1 for _ in load(out, name, streaming=streaming)) for name in ("images", "text")}
        assert counts == {"images": 20, "text": 15_000}


@pytest.mark.parametrize("to", ["internvl", "llava", "llava-next", "qwen-vl", "vila-conversations"])
def test_a_file_for_all_rows_begins_with_one_that_has_a_medium(tmp_path, to):
    """``datasets`` decides by a file's first megabytes which columns there are."""
    texts = [conversation(n, ["What follows?", f"Answer {n}."]) for n in range(3)]
    shown = [conversation(n, ["What?", "That."], 1) for n in (3, 5)]
    out = tmp_path / "out"
    export(to, tmp_path / "d", out, [texts, [shown[0], conversation(4, ["And?", "No."]), shown[1]]])
    export(to, tmp_path / "d2", tmp_path / "out2", [texts])
    for folder, order in ((out, [3, 0, 1, 2, 4, 5]), (tmp_path / "out2", [0, 1, 2])):
        (path,) = [
            path for path in folder.rglob("*.json*") if path.name not in ("meta.json", ".gristmill.json")
        ]
        text = path.read_text()
        rows = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
        assert [row["id"] for row in rows] == [f"q_{n:08d}" for n in order]
