"""Mixtures as typed: parts from made-up files, mixed, read back, exported; two machines in turn."""

import hashlib
import json
import pickle
import random
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typed import gristmill

from gristmill.cli import prepare
from gristmill.cli.many import SomeFailed
from gristmill.ledger.words import size_text
from gristmill.spec.errors import Busy

MIXTURE = """
from gristmill.spec.mixture import Mixture, Part
from gristmill.steps.shuffle import Shuffle

MIXTURE = Mixture(
    name="mine",
    version="2026.11.1",
    title="Mine",
    description="Mathematics and text.",
    homepage="https://example.org",
    license="other",
    parts=(
        Part(name="text-flan", published="text_flan_1m.pkl"),
        Part(name="gsm8k-screl", published="train_use.pkl"),
    ),
    shuffle=Shuffle(seed=1, shards=5),
)
"""
TEXTS, SUMS = 201, 62


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A mixture's file, and copies of its parts' sources."""
    base = tmp_path_factory.mktemp("mix")
    (base / "mine.py").write_text(MIXTURE)
    lines = [json.dumps({"query": f"{n} + {n}?", "response": f"{2 * n}"}) + "\n" for n in range(SUMS)]
    (base / "train_use.jsonl").write_text("".join(lines))
    for n in range(3):
        folder = base / "flan" / f"{'abc'[n]}_data"
        folder.mkdir(parents=True)
        rows = {"inputs": [f"Q{n} {i}" for i in range(150)], "targets": [f"A{i}" for i in range(150)]}
        pq.write_table(pa.table(rows), folder / "part.0.parquet")
    given = ["--source", f"text-flan.annotations={base / 'flan'}", "--set", f"text-flan.sample.size={TEXTS}"]
    given += ["--source", f"gsm8k-*.annotations={base / 'train_use.jsonl'}", "--workers", "0"]
    gristmill("run", base / "mine.py", "--out", base / "data", *given)
    return base, given


def manifest(folder):
    return json.loads((folder / "dataset.json").read_text())


def shards(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "shards").iterdir()
    }


def test_run_prepares_the_parts_and_mixes_them(world):
    base, given = world
    made = manifest(base / "data" / "mine")
    assert made["complete"]
    assert made["counts"]["packed"] == TEXTS + SUMS
    assert [shard["samples"] for shard in made["shards"]] == [52, 53, 52, 53, 53]
    assert [(part["part"], part["samples"], part["kept"]) for part in made["parts"]] == [
        ("text-flan", TEXTS, TEXTS),
        ("gsm8k-screl", SUMS, SUMS),
    ]
    for part in made["parts"]:
        of = manifest(base / "data" / part["part"])
        assert (part["version"], part["checksum"]) == (of["version"], of["checksum"])
    assert not list((base / "data" / "mine" / ".gristmill").glob("scattered/*"))
    again = gristmill("run", base / "mine.py", "--out", base / "data", *given, "--json")
    assert again.stderr.count("is finished") == 2
    assert json.loads(again.stdout)["complete"]
    assert manifest(base / "data" / "mine")["checksum"] == made["checksum"]


def test_verify_status_report_and_card(world):
    folder = world[0] / "data" / "mine"
    assert f"5 shards, {TEXTS + SUMS} samples" in gristmill("verify", folder).stdout
    said = json.loads(gristmill("status", folder, "--json").stdout)
    assert said["complete"]
    assert "text-flan" in gristmill("status", folder).stdout
    card = (folder / "README.md").read_text()
    assert f"| `gsm8k-screl` 2026.11.2 | {SUMS} |" in re.sub(r"2026\.\d+\.\d+", "2026.11.2", card)
    assert "gristmill mix mine.py --out DIR" in card
    assert "Mine" in (folder / "report.html").read_text()
    for part in ("text-flan", "gsm8k-screl"):  # nobody was asked, so nobody gave no answer
        page = (world[0] / "data" / part / "report.html").read_text()
        assert "All of it may be passed on" in page
        assert "Who answered" not in page
        assert "no answer" not in page
    assert json.loads((folder / "croissant.json").read_text())["name"]
    gristmill("clean", folder)


def test_export_in_the_published_order(world, tmp_path):
    """The pickles that VILA's own scripts would make of the parts' pickles."""
    base, _ = world
    sources = [f"--source={name}={base / 'data' / name}" for name in ("text-flan", "gsm8k-screl")]
    done = gristmill(
        "mix",
        base / "mine.py",
        "--out",
        tmp_path,
        *sources,
        "--set",
        "shuffle.order=published",
        "--workers",
        "0",
    )
    assert "leaves out the 3 that are over" in done.stderr
    items = {}
    for name in ("text-flan", "gsm8k-screl"):
        gristmill("export", base / "data" / name, "--to", "vila", "--out", tmp_path / name)
        items[name] = [
            item
            for path in sorted((tmp_path / name).glob("*.pkl"))
            for item in pickle.loads(path.read_bytes())
        ]
    everything = [*items["text-flan"], *items["gsm8k-screl"]]
    random.seed(1)
    random.shuffle(everything)
    gristmill("export", tmp_path / "mine", "--to", "vila", "--out", tmp_path / "pkl")
    parts = [pickle.loads(path.read_bytes()) for path in sorted((tmp_path / "pkl").glob("*.pkl"))]
    assert parts == [everything[n * 52 : (n + 1) * 52] for n in range(5)]


def test_pickles_of_a_folder_are_those_of_the_parts_alone(world, tmp_path):
    done = gristmill("export", world[0] / "data", "--to", "vila-unsharded", "--out", tmp_path / "x")
    assert "is a mixture" in done.stderr
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["gsm8k_screl.pkl", "text_flan_1m.pkl"]


def test_parts_of_another_folder(world, tmp_path):
    base, _ = world
    gristmill("mix", base / "mine.py", "--out", tmp_path, "--parts", base / "data", "--workers", "1")
    assert shards(tmp_path / "mine") == shards(base / "data" / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_index_over_the_parts_is_exported_as_the_shuffled_mixture_is(world, tmp_path):
    base, _ = world
    data, folder = base / "data", tmp_path / "mine"
    done = gristmill(
        "mix", base / "mine.py", "--out", tmp_path, "--parts", data, "--index-only", "--workers", "0"
    )
    assert f"{TEXTS + SUMS:,}" in done.stdout
    assert sorted(path.name for path in folder.iterdir()) == [
        *(".gristmill", "README.md", "croissant.json", "dataset.json", "references", "report.html")
    ]
    assert not list(folder.glob(".gristmill/scattered/*"))
    assert "all as recorded" in gristmill("verify", folder).stdout
    assert json.loads(gristmill("status", folder, "--json").stdout)["complete"]
    assert "references/*.parquet" in (folder / "README.md").read_text()
    assert "--set shuffle.index_only=true" in (folder / "README.md").read_text()
    for name, place in (("index", folder), ("shuffled", data / "mine")):
        gristmill("export", place, "--to", "vila", "--out", tmp_path / name)
    read = [
        [pickle.loads(path.read_bytes()) for path in sorted((tmp_path / name).glob("*.pkl"))]
        for name in ("index", "shuffled")
    ]
    assert read[0] == read[1]
    assert sum(map(len, read[0])) == TEXTS + SUMS
    gristmill("export", folder, "--to", "webdataset-index", "--out", tmp_path / "wids")
    index = json.loads((tmp_path / "wids" / "wids-meta.json").read_text())
    assert sum(shard["nsamples"] for shard in index["shardlist"]) == TEXTS + SUMS
    assert all((tmp_path / "wids" / shard["url"]).is_file() for shard in index["shardlist"])


def test_another_order_in_the_same_folder_is_refused_with_the_way_out(world):
    base, _ = world
    done = gristmill(
        "mix", base / "mine.py", "--out", base / "data", "--set", "shuffle.order=published", code=2
    )
    assert "shuffle.order" in done.stderr
    assert f"--parts {base / 'data'}" in done.stderr


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("shards/00000.tar", None, "is missing"),
        ("shards/00000.tar", b"short", "has 5 bytes"),
    ],
)
def test_a_damaged_part_is_named_with_what_makes_it_anew(world, tmp_path, name, body, told):
    shutil.copytree(world[0] / "data", tmp_path / "data", ignore=shutil.ignore_patterns("mine"))
    path = tmp_path / "data" / "gsm8k-screl" / name
    path.unlink()
    if body is not None:
        path.write_bytes(body)
    done = gristmill("mix", world[0] / "mine.py", "--out", tmp_path / "data", code=1)
    assert f"{path} {told}" in done.stderr


@pytest.mark.parametrize("body", [b"[]", b'{"half', None])
def test_a_damaged_manifest_of_a_part_is_made_anew(world, tmp_path, body):
    shutil.copytree(world[0] / "data", tmp_path / "data", ignore=shutil.ignore_patterns("mine"))
    path = tmp_path / "data" / "gsm8k-screl" / "dataset.json"
    before = path.read_bytes()
    path.unlink()
    if body is not None:
        path.write_bytes(body)
    done = gristmill("mix", world[0] / "mine.py", "--out", tmp_path / "data", "--workers", "0")
    assert f"{path.parent}: dataset.json and the files beside it are behind the records" in done.stderr
    assert path.read_bytes() == before
    assert shards(tmp_path / "data" / "mine") == shards(world[0] / "data" / "mine")


def test_two_machines_in_turn(world, tmp_path):
    base, _ = world
    words = ["mix", base / "mine.py", "--out", tmp_path, "--workers", "0"]
    words += [f"--source={name}={base / 'data' / name}" for name in ("text-flan", "gsm8k-screl")]
    first = gristmill(*words, "--tasks", "1:2")
    assert "1 of 2 shards of the parts are scattered" in first.stderr
    gristmill(*words, "--tasks", "0:1")
    assert shards(tmp_path / "mine") == shards(base / "data" / "mine")
    assert (
        "mine has 2 input shards; all of them are --tasks 0:2"
        in gristmill(*words, "--tasks", "1:3", code=2).stderr
    )


def test_a_part_that_cannot_be_prepared_does_not_stop_the_others(world, tmp_path):
    base, given = world
    given = ["--source", "text-flan.annotations=/nowhere", *given[4:]]
    done = gristmill("run", base / "mine.py", "--out", tmp_path, *given, code=2)
    assert "text-flan: --source annotations=/nowhere" in done.stderr.splitlines()[-1]
    assert manifest(tmp_path / "gsm8k-screl")["complete"]
    assert not (tmp_path / "mine").exists()


def test_a_finished_part_below_what_is_expected_is_said_each_time(world, tmp_path):
    base, given = world
    sums = tmp_path / "train_use.jsonl"
    lines = [json.dumps({"query": f"{n}?", "response": "" if n % 4 else "0"}) + "\n" for n in range(40)]
    sums.write_text("".join(lines))
    given = [word.replace(str(base / "train_use.jsonl"), str(sums)) for word in given]
    short = "gsm8k-screl: 25.0 % of 40 samples were kept, fewer than the 99 % that are expected (--min-kept)"
    for again in (False, True):
        done = gristmill("run", base / "mine.py", "--out", tmp_path, *given, code=3)
        assert ("gsm8k-screl 2026.11.1 is finished: 10 samples" in done.stderr) is again
        assert "all is mixed, but:" in done.stderr
        assert short in done.stderr
        assert "gristmill retry" not in done.stderr
        assert manifest(tmp_path / "mine")["counts"]["packed"] == TEXTS + 10
        assert done.stderr.count(short) == 1
    assert short in gristmill("mix", base / "mine.py", "--out", tmp_path, "--workers", "0", code=3).stderr
    finished = [f"--source={name}={tmp_path / name}" for name in ("text-flan", "gsm8k-screl")]
    elsewhere = gristmill("run", base / "mine.py", "--out", tmp_path / "more", *finished, code=3)
    assert short in elsewhere.stderr
    alone = ("run", "gsm8k-screl", "--out", tmp_path, "--source", f"annotations={sums}", "--workers", "0")
    assert short in gristmill(*alone, code=3).stderr


def test_what_another_run_held_and_has_finished_is_mixed(world, tmp_path, monkeypatch):
    def held(*given):
        raise Busy("another run holds it")

    monkeypatch.setattr(prepare, "_prepare", held)
    typed = prepare.Typed(sources={}, settings={}, runtime={}, workers=1)
    prepare.prepare_and_mix(str(world[0] / "mine.py"), world[0] / "data", typed, as_json=False)
    with pytest.raises(SomeFailed) as caught:
        prepare.prepare_and_mix(str(world[0] / "mine.py"), tmp_path, typed, as_json=False)
    assert caught.value.exit_code == 75


PLANNED = ("text-flan", "m3it-docvqa")


def test_list_show_and_plan(world):
    base, _ = world
    listed = gristmill("list").stdout
    assert "vflan" in listed
    assert max(map(len, listed.splitlines())) < 100
    known = {one["name"]: one for one in json.loads(gristmill("list", "--json").stdout)}
    assert "vflan" in known
    assert (known["vatex"]["rows"], known["text-flan"]["rows"]) == (None, 377_759_274)  # of VATEX nobody says
    assert re.search(r"^vatex +sft +\? ", listed, re.MULTILINE)
    assert "text_flan_1m.pkl" in gristmill("show", "vflan").stdout
    assert len(json.loads(gristmill("show", "vflan", "--json").stdout)["parts"]) == 15
    told = gristmill("plan", "vflan").stdout
    assert "15 parts" in told
    for word in ("open: no account needed", "requests", "annotations  ", "disk, at most  "):
        assert word in told
    planned = json.loads(gristmill("plan", base / "mine.py", "--out", base / "data", "--json").stdout)
    assert planned["samples"] == TEXTS + SUMS
    assert (planned["counted"], planned["fetch_bytes"]) == (True, 0)
    mine = base / "mine.py"  # a file of one's own is to be named again, not the mixture in it
    assert f"all by gristmill run {mine} --out {base / 'new'};" in (
        gristmill("plan", mine, "--out", base / "new").stdout
    )
    whole = json.loads(gristmill("plan", "vflan", "--json").stdout)
    alone = {name: json.loads(gristmill("plan", name, "--offline", "--json").stdout) for name in PLANNED}
    of_parts = {part["part"]: part["plan"] for part in whole["parts"]}
    assert [alone[name] for name in PLANNED] == [
        {**of_parts[name], "disk_free_bytes": None} for name in PLANNED
    ]
    assert whole["fetch_bytes"] == sum(part["fetch_bytes"] for part in of_parts.values()) > 400e9
    assert whole["disk_bytes"] > whole["shard_bytes"] + 2 * sum(part["bytes"] for part in whole["parts"])
    fewer = json.loads(gristmill("plan", "vflan", "--set", "text-flan.sample.size=1000", "--json").stdout)
    assert whole["samples"] - fewer["samples"] == 949_050
    assert "no part is called so" in gristmill("plan", "vflan", "--set", "flan.sample.size=1", code=2).stderr
    assert "no setting of shuffle" in gristmill("plan", "vflan", "--set", "shuffle.x=1", code=2).stderr


def test_a_mixture_that_comes_with_gristmill_is_a_part_like_any_other(tmp_path):
    parts = r"    parts=\(.*?\n    \),"
    outer = tmp_path / "outer.py"
    outer.write_text(re.sub(parts, '    parts=(Part(name="vflan", weight=0.5),),', MIXTURE, flags=re.DOTALL))
    planned = json.loads(gristmill("plan", outer, "--json").stdout)
    alone = json.loads(gristmill("plan", "vflan", "--json").stdout)
    assert planned["samples"] == (alone["samples"] + 1) // 2
    assert planned["fetch_bytes"] == alone["fetch_bytes"]
    given = ("--set", "vflan.text-flan.sample.size=1000")
    fewer = json.loads(gristmill("plan", outer, "--json", *given).stdout)
    assert fewer["samples"] < planned["samples"]


def test_plan_counts_media_of_the_parts_once_and_says_what_waits(tmp_path):
    parts = r"    parts=\(.*?\n    \),"
    both = '    parts=(Part(name="llava-v1.5-mix665k"), Part(name="sharegpt4v-pretrain")),'
    (mine := tmp_path / "both.py").write_text(re.sub(parts, both, MIXTURE, flags=re.DOTALL))
    planned = json.loads(gristmill("plan", mine, "--json").stdout)
    media = {one["key"]: one["fetch_bytes"] for one in planned["media"]}
    assert media["coco"] > 19e9  # both parts have it
    assert len(media) == len(planned["media"])
    annotations = max(part["plan"]["fetch_bytes"] for part in planned["parts"])
    shards = planned["shard_bytes"] + 2 * sum(part["bytes"] for part in planned["parts"])
    assert planned["disk_bytes"] <= shards + sum(media.values()) + annotations
    assert planned["disk_bytes"] >= shards + sum(media.values())
    told = gristmill("plan", mine).stdout
    assert "media  sam         WAITS FOR YOU" in told
    assert f"all media          {size_text(sum(media.values()))} to fetch" in told
    alone = gristmill("plan", "llava-v1.5-mix665k", "--offline").stdout
    assert "archive (train2017/000000000009.jpg)" in alone


def test_wrong_words(world, tmp_path):
    mine = world[0] / "mine.py"
    assert "gristmill run text-flan" in gristmill("mix", mine, "--out", tmp_path, code=3).stderr
    assert "no part 'flan'" in gristmill("mix", mine, "--out", tmp_path, "--source", "flan=x", code=2).stderr
    assert (
        "no setting of shuffle"
        in gristmill("mix", mine, "--out", tmp_path, "--set", "shuffle.x=1", code=2).stderr
    )
    out = ("run", mine, "--out", tmp_path)
    assert "no part is called so" in gristmill(*out, "--set", "m3it.sample.size=1", code=2).stderr
    assert "no part is called so" in gristmill(*out, "--source", "m3it-*.annotations=x", code=2).stderr
    assert "its name comes in front" in gristmill(*out, "--set", "sample.size=1", code=2).stderr
    done = gristmill(*out, "--source", "*=x", "--source", "text-flan=y", code=2)
    assert "stands for one part" in done.stderr
    done = gristmill(*out, "--source", "text-flan=/nowhere", code=3)  # before the other part is prepared
    assert "part text-flan is not in /nowhere" in done.stderr
    assert "for one dataset" in gristmill(*out, "--tasks", "0:1", code=2).stderr
    assert "did you mean" in gristmill("mix", "vflam", "--out", tmp_path, code=2).stderr.lower()
    assert not list(tmp_path.iterdir())
