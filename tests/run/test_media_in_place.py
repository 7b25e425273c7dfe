"""Whole runs over media that stay in their archives until they are packed: the same shards, and no second copy."""

import io
import json
import random
import sys
import tracemalloc
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from made import foldered, indexed, tar_gzipped, tarred, zipped
from PIL import Image
from small_world import Watcher, tree_of

from gristmill import recipes
from gristmill.ledger.ledger import Ledger
from gristmill.run.begin import Job
from gristmill.run.driver import Ended, run
from gristmill.run.maintenance.reopen import add_round, open_dataset, planner_of
from gristmill.run.maintenance.verify import verify
from gristmill.run.planning.plan import plan
from gristmill.run.state.context import Context
from gristmill.shards.webdataset import read_samples
from gristmill.spec.errors import DamagedSource
from gristmill.spec.recipe import Expect
from gristmill.steps import transcoders
from gristmill.storage.archives import ArchiveSource
from gristmill.testing import archived

RECIPE = """
from gristmill.spec.locator import Member
from gristmill.spec.recipe import Expect, Recipe, Source
from gristmill.spec.sample import MediaRef, Sample, Show, Text, Turn
from gristmill.steps.lines import TakeLines
from gristmill.steps.media import Media
from gristmill.steps.pack import Pack
from gristmill.steps.shuffle import Shuffle

KEYS = 0


def parse(row):
    names = [f"{n:03d}" for n in range(len(row["media"]))]
    media = {n: MediaRef(kind=row["kind"], at=Member("coco", path)) for n, path in zip(names, row["media"])}
    parts = (*(Show(media=name) for name in names), Text(text=row["text"]))
    return Sample(key="", media=media, turns=(Turn(role="user", parts=parts),))


RECIPE = Recipe(
    name="standing",
    version="2026.12.1",
    title="Pictures in archives",
    description="Made up.",
    homepage="http://a.test",
    license="CC0-1.0",
    citation="",
    redistribution="nothing",
    stages=("sft",),
    sources=(Source(key="rows", by_hand="Made up.", format="jsonl", license="CC0-1.0", access="open"),),
    parse=parse,
    writes=frozenset({"media.at"}),
    key="standing_{row:06d}",
    steps=(TakeLines(part_rows=9), Media(max_body_bytes=1 << 30), LAST),
    expect=Expect(kept_share=0.5, media_per_row=1, stored_bytes=1000),
)
"""


def picture(seed: int) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (100, 120, 3), np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


BODIES = {f"train/{n:04d}.png": picture(n) for n in range(24)}
ARCHIVES = {
    "stored": lambda folder: zipped(folder / "a.zip", BODIES, zipfile.ZIP_STORED),
    "deflated": lambda folder: zipped(folder / "a.zip", BODIES),
    "tar": lambda folder: tarred(folder / "a.tar", BODIES),
    "folder": lambda folder: foldered(folder / "tree", BODIES),
    "tar.gz": lambda folder: tar_gzipped(folder / "a.tar.gz", BODIES),
}


class World:
    """A recipe in a file, its rows, and the archive that they name."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, last: str = "Pack(shard_samples=10)"):
        self.folder, self.sources = folder, {}
        self.recipe = folder / "standing.py"
        self.recipe.write_text(RECIPE.replace("LAST", last))
        names = list(BODIES)
        random.Random(3).shuffle(names)
        rows = [
            {"media": [name, names[n - 1]], "text": f"Row {n}.", "kind": "image"}
            for n, name in enumerate(names)
        ]
        rows.insert(5, {"media": ["train/none.png", names[0]], "text": "lost", "kind": "image"})
        self.write(rows)
        monkeypatch.setattr(Context, "media_source", lambda _, key: self.sources[key])

    def write(self, rows: list[dict]) -> None:
        (self.folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def put(self, path: Path) -> None:
        self.sources["coco"] = ArchiveSource([indexed(path)[1]])

    def run(self, out: Path) -> Ended:
        load = partial(recipes.load, str(self.recipe))
        replaced = {"rows": str(self.folder / "rows.jsonl")}
        return run(Job(load=load, reference=str(self.recipe), folder=out, replaced=replaced), Watcher())


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path, monkeypatch)


def spooled(out: Path) -> int:
    """Bytes that were written besides the shards."""
    return sum(path.stat().st_size for path in (out / ".gristmill" / "crawled").iterdir())


def test_the_same_shards_from_any_archive_and_no_second_copy(world, tmp_path):
    trees, extra = {}, {}
    for kind, make in ARCHIVES.items():
        world.put(make(tmp_path))
        out = tmp_path / f"out-{kind}"
        assert world.run(out).complete
        trees[kind], extra[kind] = tree_of(out), spooled(out)
    first = trees["stored"]
    assert all(tree == first for tree in trees.values())
    shards = [
        s for path in sorted((tmp_path / "out-tar" / "shards").glob("*.tar")) for s in read_samples(path)
    ]
    assert len(shards) == 24
    assert all(s.parts["000.png"] in BODIES.values() for s in shards)
    media = 2 * sum(map(len, BODIES.values()))
    assert extra["tar.gz"] > media  # dear to read at random: copied once, in order
    assert max(extra[kind] for kind in ("stored", "deflated", "tar", "folder")) < media / 5


def test_a_changed_archive_ends_the_run_before_a_shard_and_the_old_one_goes_on(world, tmp_path):
    path = ARCHIVES["tar"](tmp_path)
    world.put(path)
    assert world.run(tmp_path / "whole").complete
    out, good = tmp_path / "out", path.read_bytes()
    last = list(BODIES.values())[-1]
    at = good.index(last) + 100
    real = world.sources["coco"].reopen
    looked_at = []

    def reopen(member):
        if not looked_at:  # the first that is packed
            path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        looked_at.append(member)
        return real(member)

    world.sources["coco"].reopen = reopen
    with pytest.raises(DamagedSource, match="media source 'coco' is not what it was"):
        world.run(out)
    done = list((out / "shards").glob("*.tar")) if (out / "shards").exists() else []
    assert len(done) < len(list((tmp_path / "whole" / "shards").glob("*.tar")))
    path.write_bytes(good)
    world.put(path)
    before = world.sources["coco"].find
    world.sources["coco"].find = pytest.fail  # nothing is looked up again
    assert world.run(out).complete
    world.sources["coco"].find = before
    assert tree_of(out) == tree_of(tmp_path / "whole")


def test_a_shuffle_reads_from_the_archive(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch, last="Shuffle(seed=3, shards=2)")
    for kind in ("deflated", "tar.gz"):
        world.put(ARCHIVES[kind](tmp_path))
        assert world.run(tmp_path / kind).complete
    assert tree_of(tmp_path / "deflated") == tree_of(tmp_path / "tar.gz")
    assert len(tree_of(tmp_path / "deflated"))


def test_a_retry_takes_again_what_an_earlier_round_only_pointed_to(world, tmp_path):
    path = ARCHIVES["stored"](tmp_path)
    world.put(path)
    out = tmp_path / "out"
    assert world.run(out).complete
    path.unlink()
    world.put(tarred(tmp_path / "more.tar", {**BODIES, "train/none.png": picture(99)}))
    opened = open_dataset(out)
    assert add_round(opened, planner_of(opened, recipes.load(str(world.recipe))), ("no_file",))
    opened.ledger.close()
    assert world.run(out).complete
    (late,) = [s for path in sorted((out / "shards").glob("*.tar"))[3:] for s in read_samples(path)]
    assert late.parts["000.png"] == picture(99)
    assert late.parts["001.png"] in BODIES.values()


VIDEO = """
from gristmill.spec.body import size_of
from gristmill.steps.transcoders import StoredMedium


class Videos:
    async def take(self, body, sha256, cuts, box):
        assert not isinstance(body, bytes)
        assert cuts == [None]
        assert box.scratch().is_dir()
        facts = {"duration_s": 2.0, "fps": 25.0, "frames": 50}
        yield None, StoredMedium(body=None, format="mp4", facts=facts)

    async def close(self):
        pass


def transcoder(step):
    return Videos()
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["packed", "shuffled"])
def test_large_media_are_never_whole_in_memory(world, tmp_path, monkeypatch, how):
    clip = random.Random(5).randbytes(1 << 20) * 24
    foldered(tmp_path / "more", {"video.py": VIDEO.encode()})
    monkeypatch.setattr(transcoders, "__path__", [str(tmp_path / "more"), *transcoders.__path__])
    videos = ModuleType(f"{transcoders.__name__}.video")  # so that no other test finds it imported
    exec(VIDEO, videos.__dict__)
    monkeypatch.setitem(sys.modules, videos.__name__, videos)
    if how == "shuffled":
        world = World(tmp_path, monkeypatch, last="Shuffle(seed=3, shards=1)")
    world.write([{"media": ["a.mp4"], "text": "a", "kind": "video"}])
    trees = []
    for kind in ("folder", "deflated", "tar.gz") if how == "packed" else ("deflated",):
        make = {
            "folder": lambda: foldered(tmp_path / "tree", {"a.mp4": clip}),
            "deflated": lambda: zipped(tmp_path / "a.zip", {"a.mp4": clip}),
            "tar.gz": lambda: tar_gzipped(tmp_path / "a.tar.gz", {"a.mp4": clip}),
        }[kind]
        world.put(make())
        tracemalloc.start()
        assert world.run(tmp_path / kind).complete
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < len(clip)
        assert not list((tmp_path / kind).rglob("scratch/*"))
        trees.append(tree_of(tmp_path / kind))
    assert trees == trees[:1] * len(trees)
    ledger = Ledger(tmp_path / "deflated")
    tracemalloc.start()
    found = verify(ledger, threads=1, decode=False, tell=lambda so_far: None)  # there is nothing to see in it
    assert tracemalloc.get_traced_memory()[1] < len(clip)
    tracemalloc.stop()
    ledger.close()
    assert (found.problems, found.samples) == ([], 1)
    (shard,) = read_samples(tmp_path / "deflated" / "shards" / "00000.tar")
    assert shard.parts["000.mp4"] == clip
    assert json.loads(shard.parts["json"])["media"]["000.mp4"]["duration_s"] == 2.0


TIMES = {"zip": 1, "tar": 1, "folder": 1, "tar_gz": 2, "parquet_column": 2}


@pytest.mark.parametrize(("kind", "times"), TIMES.items())
def test_plan_counts_media_twice_only_where_they_are_copied(kind, times):
    made = recipes.load(str(Path(archived.__path__[0]) / f"{kind}.py"))
    sources = tuple(replace(s, files=1, rows=7) if s.role == "rows" else s for s in made.sources)
    made = replace(made, sources=sources, expect=Expect(kept_share=1, stored_bytes=1000))
    planned = plan(made, {}, offline=True, only=7, folder=None)
    assert planned.shard_bytes == 7000
    assert planned.disk_bytes == times * planned.shard_bytes
