"""Mixtures whose parts lie in an object store, as typed: the same bytes as in a folder."""

import json
import os

import pytest
from small_parts import write_mixture, write_parts
from typed import gristmill

from gristmill.ledger.run_config import RUN_CONFIG
from gristmill.sources import cc3m
from gristmill.storage.local import LocalStore
from gristmill.storage.object import ObjectStore
from gristmill.testing.hub import FakeHub
from gristmill.testing.upstreams.llava_cc3m_595k import write_llava_cc3m

PARTS = {
    "a-sums": 'prefix="p-", where=("upstream.n >= 4",)',
    "b-text": 'weight=1.5, cap=120, subset="random"',
    "c-one": "",
}
SHUFFLE = 'seed=3, shards=8, duplicates="drop"'


@pytest.fixture
def words(either_bucket, tmp_path, monkeypatch):
    """Words that name the server."""
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    return [word for key, value in either_bucket.items() for word in ("--store-option", f"{key}={value}")]


@pytest.fixture
def parts(either_bucket, tmp_path):
    """Finished datasets in a folder, and copies of them in a store."""
    folder = write_parts(tmp_path / "data", {"a-sums": (3, 23), "b-text": (2, 101), "c-one": (1, 7)})
    store = ObjectStore(f"s3://bucket/{tmp_path.name}", either_bucket)
    for one in LocalStore(folder).list():
        store.put(one.name, folder / one.name)
    return folder, store


def made(store, folder="shards"):
    return {one.name: store.read(one.name) for one in store.list(folder) if "_stats" not in one.name}


def test_parts_in_a_store_are_mixed_as_those_in_a_folder(parts, words, either_bucket, tmp_path):
    folder, store = parts
    mixture = write_mixture(tmp_path / "small.py", PARTS, SHUFFLE)
    gristmill("mix", mixture, "--out", folder)
    gristmill("mix", mixture, "--out", store, *words)
    assert made(store / "small") == made(LocalStore(folder / "small")) != {}
    assert not list((store / "small").list(".gristmill/scattered"))
    begun = (store / "small").read(RUN_CONFIG).decode()
    assert f'"path": "{store}/a-sums/shards/00000.tar"' in begun
    assert not [value for value in either_bucket.values() if f'"{value}"' in begun]
    assert "all as recorded" in gristmill("verify", store / "small", *words).stdout
    counted = json.loads(gristmill("status", store / "small", "--json", *words).stdout)
    assert counted["store_requests"]["get"] < 60


@pytest.mark.slow
def test_an_index_over_parts_in_a_store_is_read_through_it(parts, words, tmp_path, monkeypatch):
    monkeypatch.setattr("gristmill.shards.placed._REQUEST_BYTES", 0)  # so that ranges are the cheaper
    folder, store = parts
    mixture, index = write_mixture(tmp_path / "small.py", PARTS), f"{store}/index"
    outer = write_mixture(tmp_path / "outer.py", {"small": ""})
    outer.write_text(outer.read_text().replace('name="small",', 'name="outer",', 1))
    given = ("--source", f"c-one={store}/c-one", "--parts", store, "--index-only")
    gristmill("mix", mixture, "--out", index, *given, *words)
    gristmill("mix", mixture, "--out", tmp_path / "index", "--parts", folder, "--index-only")
    assert made(store / "index" / "small", "references") == made(
        LocalStore(tmp_path / "index" / "small"), "references"
    )
    elsewhere = str(tmp_path / "elsewhere")
    assert "all as recorded" in gristmill("verify", index, *words, GRISTMILL_CACHE=elsewhere).stdout
    assert not [*(tmp_path / "elsewhere").rglob("*.tar")]
    gristmill("mix", outer, "--out", index, *words)
    gristmill("mix", outer, "--out", tmp_path / "index")
    assert made(store / "index" / "outer") == made(LocalStore(tmp_path / "index" / "outer")) != {}
    lost = store / "b-text"
    lost.delete("shards/00001.tar")
    said = gristmill("verify", f"{index}/small", *words, code=None).stdout
    assert f"refers to {lost}/shards/00001.tar, or {index}/b-text/shards/00001.tar: it is gone" in said


def test_a_part_that_is_not_there_or_is_another_than_recorded_is_told_by_its_address(parts, words, tmp_path):
    _, store = parts
    mixture = write_mixture(tmp_path / "small.py", [*PARTS, "d-none"])
    said = gristmill("mix", mixture, "--out", store, *words, code=3).stderr
    assert f"part d-none is not in {store}/d-none. Prepare it: gristmill run d-none --out {store}" in said
    mixture = write_mixture(tmp_path / "small.py", PARTS)
    (store / "c-one").put("shards/00000.tar", b"x")
    said = gristmill("mix", mixture, "--out", store, *words, code=None)
    assert f"{store}/c-one/shards/00000.tar has 1 bytes" in said.stderr
    body = (store / "b-text").read("shards/00000.tar")
    (store / "b-text").put("shards/00000.tar", body[:-2000] + b"x" + body[-1999:])
    mixture = write_mixture(tmp_path / "small.py", ["b-text"])
    said = gristmill("mix", mixture, "--out", store, *words, code=None)
    assert f"{store}/b-text/shards/00000.tar is not what was written" in said.stderr
    assert f"gristmill verify {store}/b-text --repair" in said.stderr


MINE = """
from gristmill.spec.mixture import Mixture, Part
from gristmill.steps.shuffle import Shuffle

MIXTURE = Mixture(
    name="mine",
    version="2026.12.1",
    title="Mine",
    description="Sums, and questions.",
    homepage="https://example.org",
    license="other",
    parts=(
        Part(name="gsm8k-screl"),
        Part(name="asked", command=("import", {records!r}, "--from", "llava", "--name", "asked")),
    ),
    shuffle=Shuffle(seed=1, shards=2),
)
"""


def test_a_mixture_is_run_there_looked_at_and_gone_on_with(either_bucket, words, tmp_path):
    store = ObjectStore(f"s3://bucket/{tmp_path.name}", either_bucket)
    records = [
        {
            "id": f"r{n}",
            "conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": f"{n}"}],
        }
        for n in range(9)
    ]
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "asked.json").write_text(json.dumps(records))
    sums = [json.dumps({"query": f"{n} + {n}?", "response": f"{2 * n}"}) + "\n" for n in range(12)]
    (tmp_path / "sums.jsonl").write_text("".join(sums))
    mixture = tmp_path / "mine.py"
    mixture.write_text(MINE.format(records=str(tmp_path / "records" / "asked.json")))
    given = ("--source", f"gsm8k-screl.annotations={tmp_path / 'sums.jsonl'}", "--workers", 0)
    gristmill("run", mixture, "--out", tmp_path / "local", *given)
    asked = ("run", mixture, "--out", store, *given, *words)
    first = gristmill(*asked)
    typed = next(line for line in first.stderr.splitlines() if line.startswith("gristmill import"))
    assert typed.endswith(f"--name asked --out {store}/asked --workers 0")
    assert made(store / "mine") == made(LocalStore(tmp_path / "local" / "mine")) != {}
    (store / "mine").delete("shards/00001.tar")
    again = gristmill(*asked)
    assert "gsm8k-screl" in again.stderr
    assert "asked is finished" in again.stderr
    assert made(store / "mine") == made(LocalStore(tmp_path / "local" / "mine"))
    said = gristmill("status", store, *words).stdout
    assert [line.split()[0] for line in said.splitlines()[-3:]] == ["asked", "gsm8k-screl", "mine"]
    assert "all as recorded" in gristmill("verify", store, *words).stdout
    assert gristmill("clean", store, *words).stdout.count("removed") >= 3
    gristmill("export", store / "mine", "--to", "llava", "--out", tmp_path / "export", *words)
    assert len(json.loads((tmp_path / "export" / "train.json").read_text())) == 21


def test_a_training_with_stages_is_run_there(either_bucket, words, tmp_path):
    store = ObjectStore(f"s3://bucket/{tmp_path.name}", either_bucket)
    write_llava_cc3m(tmp_path / "upstream", 20)
    with FakeHub({cc3m.REPOSITORY: tmp_path / "upstream"}, revision=cc3m.REVISION) as hub:
        stage = ("run", "vila-v1.5", "--stage", "align", "--workers", 0)
        said = gristmill(*stage, "--out", store, *words, HF_ENDPOINT=hub.url)
        local = gristmill(*stage, "--out", tmp_path / "local", HF_ENDPOINT=hub.url)
    assert f"The same as a page: {store}/vila-v1.5.html" in said.stdout
    lines = said.stdout.replace(str(store), str(tmp_path / "local")).splitlines()
    assert lines[-3:] == local.stdout.splitlines()[-3:]
    assert 'href="llava-cc3m-595k/report.html"' in store.read("vila-v1.5.html").decode()
    align = "vila-v1.5-align"
    assert (
        made(store / align, "references") == made(LocalStore(tmp_path / "local" / align), "references") != {}
    )
    assert "vila-v1.5-align" in gristmill("status", store, *words).stdout.splitlines()[-1]
    assert "all as recorded" in gristmill("verify", store, *words).stdout


def test_shards_in_a_store_are_named_by_their_addresses_where_a_loader_takes_them(parts, words, tmp_path):
    _, store = parts
    mixture = write_mixture(tmp_path / "small.py", ["a-sums", "c-one"])
    asked = ("--parts", store, *words)
    for name, more, places in (
        (
            "whole",
            ("--index-only",),
            [f"a-sums/shards/0000{n}.tar" for n in range(3)] + ["c-one/shards/00000.tar"],
        ),
        ("copied", (), [f"copied/small/shards/0000{n}.tar" for n in range(8)]),
    ):
        gristmill("mix", mixture, "--out", store / name, *asked, *more)
        out, dataset = tmp_path / name, f"{store / name}/small"
        said = gristmill("export", dataset, "--to", "webdataset-index", "--out", out, *words)
        assert "`aws s3 cp`" in said.stdout + said.stderr
        listed = json.loads((out / "wids-meta.json").read_text())["shardlist"]
        assert [one["url"] for one in listed] == [f"{store}/{place}" for place in places]
        assert sum(one["nsamples"] for one in listed) == 30
        assert not any("md5sum" in one for one in listed)
        said = gristmill("export", dataset, "--to", "energon", "--out", tmp_path / "e", *words, code=2)
        assert (
            "is no folder, and links are made to its shards. Copy it first: aws s3 sync s3://" in said.stderr
        )


def test_samples_that_are_large_are_copied_one_by_one(parts, words, tmp_path, monkeypatch):
    _, store = parts
    mixture = write_mixture(tmp_path / "small.py", ["a-sums", "c-one"])
    gristmill("mix", mixture, "--out", store, "--index-only", *words)
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setattr("gristmill.shards.placed._REQUEST_BYTES", 0)
    monkeypatch.setattr("gristmill.shards.placed._WINDOW_BYTES", 1024)
    left = (store / "a-sums").work("pieces/0")
    left.parent.mkdir(parents=True)
    left.touch()
    os.utime(left, (1.0, 1.0))
    assert "all as recorded" in gristmill("verify", store / "small", *words).stdout
    assert left.parent.is_dir()
    assert not [*left.parent.iterdir()]
