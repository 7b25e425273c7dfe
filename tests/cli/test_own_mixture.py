"""A mixture of one's own, a TOML file: parts prepared by their commands, conditions, caps, subsets; refused drift."""

import json
import shutil
import zipfile

import pytest
from typed import gristmill

from gristmill.ledger.ledger import Ledger
from gristmill.ledger.manifest import shards_of
from gristmill.ledger.reading import samples_in
from gristmill.testing.pictures import shipped_pictures

SUMS, PICTURES = 60, 40
MIX = """
[shuffle]
seed = 3
index_only = true
shard_samples = 50

[[part]]
recipe = "gsm8k-screl"
options = ["--source", "annotations={base}/train.jsonl"]
weight = 0.5
subset = "random"

[[part]]
conversations = "mine.json"
media = "pictures.zip"
where = ["upstream.score >= 0.25", "upstream.lang = en"]
cap = 10
subset = "first"
"""


def write_upstream(base):
    records = []
    with zipfile.ZipFile(base / "pictures.zip", "w") as pictures:
        for n in range(PICTURES):
            pictures.writestr(f"p/{n}.jpg", shipped_pictures().get(n % 8, width_px=64).data)
            said = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": f"That, {n}."}]
            row = {
                "id": f"{n}",
                "image": f"p/{n}.jpg",
                "score": n / PICTURES,
                "lang": "en" if n % 2 else "de",
            }
            records.append({**row, "conversations": said})
    (base / "mine.json").write_text(json.dumps(records))
    lines = [json.dumps({"query": f"{n} + {n}?", "response": f"{2 * n}"}) + "\n" for n in range(SUMS)]
    (base / "train.jsonl").write_text("".join(lines))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    base = tmp_path_factory.mktemp("own")
    write_upstream(base)
    (base / "own.toml").write_text(MIX.format(base=base))
    gristmill("run", base / "own.toml", "--out", base / "out", "--workers", 0)
    return base


def upstream_of(folder):
    ledger = Ledger(folder)
    rows = [
        json.loads(sample.parts["json"])["upstream"]
        for shard in shards_of(ledger)
        for sample in samples_in(folder, shard)
    ]
    ledger.close()
    return rows


def test_conditions_caps_and_subsets(base):
    rows = upstream_of(base / "out" / "own")
    talks = sorted((row for row in rows if "score" in row), key=lambda row: row["score"])
    assert [int(row["id"]) for row in talks] == list(range(11, 31, 2))
    sums = [int(row["response"]) // 2 for row in rows if "response" in row]
    assert len(set(sums)) == len(sums) == SUMS // 2
    assert sorted(sums) != list(range(0, SUMS, 2))  # not evenly spaced
    account = {
        part["part"]: part for part in json.loads((base / "out/own/dataset.json").read_text())["parts"]
    }
    assert account["mine"]["dropped"] == {"left_out": 25, "not_chosen": 5}
    assert account["gsm8k-screl"]["dropped"] == {"not_chosen": SUMS // 2}
    gristmill("verify", base / "out" / "own")


@pytest.mark.slow
def test_the_same_again_with_workers_and_another_seed(base, tmp_path):
    gristmill("run", base / "own.toml", "--out", tmp_path, "--have", f"mine={base}/out/mine", "--workers", 1)
    digest = [
        json.loads((out / "own/dataset.json").read_text())["checksum"] for out in (tmp_path, base / "out")
    ]
    assert digest[0] == digest[1]
    done = gristmill("run", base / "own.toml", "--out", tmp_path, "--set", "shuffle.seed=4", code=2)
    assert "seed" in done.stderr


def test_a_part_that_would_be_prepared_otherwise_is_refused(base, tmp_path):
    text = (
        (base / "own.toml")
        .read_text()
        .replace('train.jsonl"]', 'train.jsonl", "--set", "pack.shard_samples=7"]')
    )
    (base / "other.toml").write_text(text)
    told = gristmill("run", base / "other.toml", "--out", base / "out", "--workers", 0, code=None)
    assert told.returncode == 2
    assert "pack.shard_samples" in told.stderr
    assert "--have gsm8k-screl=" in told.stderr
    assert not (base / "out" / "other").exists()


def test_a_column_that_no_sample_has(base, tmp_path):
    (tmp_path / "typo.toml").write_text(
        f'[[part]]\nfolder = "{base}/out/mine"\nwhere = ["upstream.scoer > 0"]\n'
    )
    told = gristmill("mix", tmp_path / "typo.toml", "--out", tmp_path / "out", code=2)
    assert "none of its 40 samples has 'upstream.scoer'" in told.stderr
    assert "upstream" in told.stderr


def test_plan_and_show_say_how_parts_are_prepared(base, tmp_path):
    planned = gristmill("plan", base / "own.toml", "--out", tmp_path).stdout
    assert f"import {base}/mine.json --from llava --media {base}/pictures.zip" in planned
    assert "finished, version" in gristmill("plan", base / "own.toml", "--out", base / "out").stdout
    assert (
        "at most 10, first ones, where upstream.score >= 0.25" in gristmill("show", base / "own.toml").stdout
    )


def test_what_is_typed_for_a_part_reaches_its_command(base, tmp_path):
    """So do evaluation sets, which conversations are kept clean of as recipes are."""
    (tmp_path / "held-out").mkdir()
    (tmp_path / "held-out/one.jpg").write_bytes(shipped_pictures().get(2, width_px=64).data)
    (tmp_path / "clean.toml").write_text(
        f"""
        decontaminate = "held-out"
        [[part]]
        conversations = "{base}/mine.json"
        media = "{base}/pictures.zip"
        [[part]]
        folder = "{base}/out/gsm8k-screl"
        """
    )
    words = ["run", tmp_path / "clean.toml", "--out", tmp_path / "out", "--workers", 0]
    told = gristmill(*words, "--set", "gsm8k-screl.pack.shard_samples=9", code=2)
    assert "gsm8k-screl is not prepared here" in told.stderr
    gristmill(*words, "--set", "mine.pack.shard_samples=9")
    made = json.loads((tmp_path / "out/mine/dataset.json").read_text())
    assert made["dropped"]["benchmark_picture"] == PICTURES // 8
    assert [shard["samples"] for shard in made["shards"]] == [9, 9, 9, 8]
    told = gristmill("plan", tmp_path / "clean.toml", "--out", tmp_path / "out").stdout
    assert f"samples            {PICTURES * 7 // 8 + SUMS}\n" in told
    assert "at most 40" in gristmill("plan", base / "own.toml", "--out", base / "out").stdout


def test_a_new_mixture_can_be_planned_at_once(tmp_path):
    gristmill("new", "mixture", tmp_path / "mine")
    assert "gsm8k-screl" in gristmill("plan", tmp_path / "mine.toml", "--offline").stdout
    assert "already" in gristmill("new", "mixture", tmp_path / "mine.toml", code=2).stderr
    gristmill("new", "mixture", tmp_path / "1st", code=2)


def test_conversations_of_ones_own_need_no_recipe(base, tmp_path):
    (tmp_path / "alone").mkdir()
    shutil.copy(base / "mine.json", tmp_path / "alone")
    words = ["import", tmp_path / "alone" / "mine.json", "--from", "llava", "--workers", 0]
    told = gristmill(*words, "--out", tmp_path / "x", code=3)
    assert f"no_file {PICTURES}" in told.stdout
    with zipfile.ZipFile(base / "pictures.zip") as pictures:
        pictures.extractall(tmp_path / "alone")
    assert "100 % of those chosen were kept" in gristmill(*words, "--out", tmp_path / "z").stdout
    (tmp_path / "set").mkdir()
    (tmp_path / "set/1.jpg").write_bytes(shipped_pictures().get(3, width_px=96).data)
    clean = ("--out", tmp_path / "clean", "--set", f"decontaminate.against={tmp_path}/set")
    assert f"benchmark_picture {PICTURES // 8}" in gristmill(*words, *clean, code=None).stdout
    told = gristmill(
        "import", base / "mine.json", "--from", "llava", "--media", "/none", "--out", tmp_path, code=2
    )
    assert "there is no such file" in told.stderr
    gristmill(
        "import", base / "mine.json", "--from", "llava", "--form", "coyo", "--out", tmp_path / "y", code=2
    )
    gristmill("import", base / "mine.json", "--from", "vila", "--name", "x", "--out", tmp_path / "y", code=2)


def test_a_finished_folder_with_the_keys_of_another_part_is_told_at_once(base, tmp_path):
    text = f"""
        [[part]]
        conversations = "{base}/mine.json"
        media = "{base}/pictures.zip"
        name = "again"
        [[part]]
        folder = "{base}/out/mine"
        """
    (tmp_path / "twice.toml").write_text(text)
    for verb in ("plan", "run"):
        told = gristmill(verb, tmp_path / "twice.toml", "--out", tmp_path / "out", code=2)
        assert 'prefix = "mine-"' in told.stderr
    assert not (tmp_path / "out").exists()
    (tmp_path / "twice.toml").write_text(f'{text}prefix = "mine-"')
    gristmill("run", tmp_path / "twice.toml", "--out", tmp_path / "out", "--workers", 0)


def test_a_finished_part_whose_records_are_gone_is_taken_as_it_lies(base, tmp_path):
    shutil.copytree(base / "out", tmp_path / "out")
    shutil.rmtree(tmp_path / "out/own")
    shutil.rmtree(tmp_path / "out/mine/.gristmill")
    told = gristmill("run", base / "own.toml", "--out", tmp_path / "out", "--workers", 0)
    assert "mine lies there without its records" in told.stderr
    assert json.loads((tmp_path / "out/own/dataset.json").read_text())["complete"]
