"""ScienceQA from Parquet with the pictures within, and from problems.json with a zip: the same conversations."""

import json
import zipfile
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typed import gristmill

from gristmill.recipes.scienceqa import HUB
from gristmill.shards.webdataset import read_samples
from gristmill.testing.hub import FakeHub
from gristmill.testing.pictures import shipped_pictures

TEXTS = [
    "question",
    "choices",
    "answer",
    "hint",
    "task",
    "grade",
    "subject",
    "topic",
    "category",
    "skill",
    "lecture",
    "solution",
]
PARQUET = "train-00000-of-00001-1028f23e353fbe3e.parquet"


def picture(number: int) -> bytes:
    return shipped_pictures().get(number, "png", 128).data


@pytest.fixture
def problems(tmp_path) -> dict[str, dict]:
    """Some problems, of which 3 and 4 are equal in question and choices; their file, a zip and Parquet."""
    made = {
        str(n): dict.fromkeys(TEXTS, "x")
        | {
            "question": f"Which one?\nOf {3 if n == 4 else n}",
            "choices": ["ice", "steam"],
            "answer": n % 2,
            "image": "image.png" if n % 2 else None,
            "split": "val" if n % 5 == 0 else "train",
        }
        for n in range(1, 13)
    }
    (tmp_path / "problems.json").write_text(json.dumps(made, indent=4))
    with zipfile.ZipFile(tmp_path / "train.zip", "w") as out:
        for n in range(1, 13, 2):
            out.writestr(f"train/{n}/image.png", picture(n))
    write_parquet(tmp_path / PARQUET, made)
    return made


def write_parquet(path, made, order=sorted) -> None:
    rows = [
        {
            "image": {"bytes": picture(int(n)), "path": "image.png"} if made[n]["image"] else None,
            **{name: made[n][name] for name in TEXTS},
        }
        for n in order(made, key=int)
        if made[n]["split"] == "train"
    ]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=3)


def run(out, code=0, **sources):
    given = [word for key, path in sources.items() for word in ("--source", f"{key}={path}")]
    return gristmill("run", "scienceqa", "--out", out, "--workers", 0, *given, code=code)


def samples(out) -> list[tuple]:
    (shard,) = (out / "scienceqa" / "shards").glob("*.tar")
    return [
        (sample["json"]["id"], sample["json"]["turns"], sample.get("000.png"))
        for sample in map(opened, read_samples(shard))
    ]


def opened(sample):
    parts = dict(sample.parts)
    return {**parts, "json": json.loads(parts["json"])}


def test_parquet_and_problems_come_to_the_same(tmp_path, problems):
    run(tmp_path / "a", annotations=tmp_path / PARQUET, problems=tmp_path / "problems.json")
    run(tmp_path / "b", annotations=tmp_path / "problems.json", scienceqa=tmp_path / "train.zip")
    from_parquet, from_problems = samples(tmp_path / "a"), samples(tmp_path / "b")
    assert [one[0] for one in from_parquet] == [n for n in problems if problems[n]["split"] == "train"]
    assert from_parquet == from_problems
    assert [body for _, _, body in from_parquet if body] == [picture(n) for n in (1, 3, 7, 9, 11)]
    parts = list((tmp_path / "a" / "scienceqa" / ".gristmill" / "parts").glob("*.parquet"))
    assert sum(part.stat().st_size for part in parts) < len(picture(1))  # pictures stay in their file


def test_parquet_alone_gives_no_ids_and_asks_for_no_zip(tmp_path, problems):
    run(tmp_path / "a", annotations=tmp_path / PARQUET)
    assert [one[0] for one in samples(tmp_path / "a")] == [None] * 10
    gristmill("verify", tmp_path / "a" / "scienceqa")
    waiting = run(tmp_path / "b", 3, annotations=tmp_path / "problems.json")
    assert "train.zip" in waiting.stderr


def test_by_default_parquet_comes_from_the_hub_and_nothing_by_hand(tmp_path, problems):
    files = {f"data/{PARQUET}": tmp_path / PARQUET, "data/test-0.parquet": b"not asked for"}
    with FakeHub({HUB: files}) as hub:
        out = tmp_path / "out"
        planned = gristmill("plan", "scienceqa", "--out", out, HF_ENDPOINT=hub.url)
        assert "train.zip" not in planned.stdout + planned.stderr
        gristmill("run", "scienceqa", "--out", out, "--workers", 0, HF_ENDPOINT=hub.url)
        assert not any("test-0" in request.path for request in hub.log if "resolve" in request.path)
    assert [body for _, _, body in samples(out) if body] == [picture(n) for n in (1, 3, 7, 9, 11)]


def test_rows_in_another_order_get_no_ids(tmp_path, problems):
    write_parquet(tmp_path / PARQUET, problems, lambda made, key: sorted(made, key=key, reverse=True))
    told = run(tmp_path / "a", 1, annotations=tmp_path / PARQUET, problems=tmp_path / "problems.json")
    assert f"{PARQUET}: its rows are not found in their order" in told.stderr
    assert "row 0) among the 10 train records of problems.json" in told.stderr


@pytest.mark.parametrize("cuts", [(0, 4, 10), (0, 7, 8, 10)])
def test_a_split_in_several_files_gets_the_ids_of_the_whole(tmp_path, problems, cuts):
    """Of which two rows are equal, and any file may be given alone."""
    whole = pq.read_table(tmp_path / PARQUET)
    (tmp_path / PARQUET).unlink()
    for n, (low, high) in enumerate(pairwise(cuts)):
        path = tmp_path / f"train-{n:05d}-of-{len(cuts) - 1:05d}.parquet"
        pq.write_table(whole.slice(low, high - low), path)
    run(tmp_path / "all", annotations=tmp_path, problems=tmp_path / "problems.json")
    ids = [n for n in problems if problems[n]["split"] == "train"]
    assert [one[0] for one in samples(tmp_path / "all")] == ids
    run(tmp_path / "last", annotations=path, problems=tmp_path / "problems.json")
    assert [one[0] for one in samples(tmp_path / "last")] == ids[cuts[-2] :]


def test_a_file_that_may_stand_at_several_places_gets_no_ids(tmp_path, problems):
    part = tmp_path / "train-00000-of-00004.parquet"
    pq.write_table(pq.read_table(tmp_path / PARQUET).slice(2, 1), part)
    told = run(tmp_path / "a", 1, annotations=part, problems=tmp_path / "problems.json")
    assert f"{part.name}: its rows are found at 2 places among the 10 train records" in told.stderr
