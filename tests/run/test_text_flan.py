"""TextFLAN from a hub to shards: the right rows, the same bytes, no more moved than is needed."""

import json
from itertools import pairwise
from pathlib import Path

import flan_world
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flan_world import REPO, REVISION, SETTINGS, all_rows, facts, run_here, samples_of
from small_world import tree_of
from typed import gristmill

from gristmill.ledger.fates import read_fates
from gristmill.ledger.ledger import Ledger
from gristmill.spec.errors import SourceError
from gristmill.testing.hub import FakeHub
from gristmill.testing.instructions import flan_rows, write_flan

ROWS, SIZE = 2000, 300
POSITIONS = [i * (ROWS - 1) // (SIZE - 1) for i in range(SIZE)]


@pytest.fixture(scope="module")
def flan(tmp_path_factory) -> tuple[Path, list[Path]]:
    folder = tmp_path_factory.mktemp("flan")
    return folder, write_flan(folder, rows=ROWS)


@pytest.fixture
def hub(flan, monkeypatch):
    with FakeHub({REPO: flan[0]}, revision=REVISION) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture(scope="module")
def undisturbed(flan, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "text-flan"
    assert run_here(folder, flan[0]).complete
    return folder


def test_the_shards_hold_the_rows_of_the_published_order(flan, undisturbed):
    rows = all_rows(flan[1])
    samples = {sample["key"]: sample for sample in samples_of(undisturbed)}
    assert list(samples) == sorted(samples)
    lost = set()
    for i, row in enumerate(POSITIONS):
        question, answer = rows[row]
        sample = samples.get(f"text_flan_{i:08d}")
        if sample is None:
            lost.add((question, (answer or "")[:20]))
            continue
        assert sample["upstream"] == {"inputs": question, "targets": answer}
        said = [turn["parts"][0]["text"] for turn in sample["turns"]]
        clean = [t.replace("<image>", "<IMAGE>").replace("\0", "\ufffd") for t in (question, answer)]
        assert said == clean
        assert bool(sample["changes"]) == (clean != [question, answer])
        assert [turn["role"] for turn in sample["turns"]] == ["user", "assistant"]
        assert sample["caption"] is None
    odd = {
        ("", "an answer to nothing"),
        ("A question without an answer?", " \n"),
        (None, "no question at all"),
    }
    assert lost <= odd | {("Repeat the letter.", "a" * 20)}
    assert len(samples) + sum(rows[row][0] in {p[0] for p in lost} for row in POSITIONS) == SIZE


def test_every_row_has_a_fate_and_changes_are_counted(undisturbed):
    fates = pa.Table.from_batches(
        [batch.select(["source", "file", "row", "reason"]).cast(_PLAIN) for batch in _fates(undisturbed)]
    )
    assert fates.num_rows == ROWS
    assert len(set(zip(fates["file"].to_pylist(), fates["row"].to_pylist(), strict=True))) == ROWS
    assert fates["reason"].to_pylist().count("not_sampled") == ROWS - SIZE
    kept = list(samples_of(undisturbed))
    assert fates["reason"].null_count == len(kept)
    counted = {k: v for k, v in facts(undisturbed, "samples").items() if k.startswith("changes.")}
    named = [word for sample in kept for word in sample["changes"]]
    assert counted == {f"changes.{word}": named.count(word) for word in set(named)}
    assert named


_PLAIN = pa.schema(
    [("source", pa.string()), ("file", pa.string()), ("row", pa.int64()), ("reason", pa.string())]
)


def _fates(folder):
    return read_fates(folder / "fates", ["source", "file", "row", "reason"])


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_the_hub_gives_the_same_shards_whatever_the_number_of_workers(hub, undisturbed, tmp_path, workers):
    ended = run_here(tmp_path / "text-flan", workers=workers)
    assert ended.complete
    assert tree_of(tmp_path / "text-flan") == tree_of(undisturbed)
    asked = [request.path for request in hub.log]
    assert not any(path.endswith(".json") for path in asked)
    assert not list((tmp_path / "text-flan" / ".gristmill" / "sources").rglob("*.*ranges"))
    assert not list((tmp_path / "text-flan" / ".gristmill" / "sources").rglob("*.parquet"))
    moved = facts(tmp_path / "text-flan", "prescan", "rows")
    assert moved["requests"] >= 2 * 16
    assert moved["bytes_in"] > 0


def test_job_array_workers_one_after_another(flan, undisturbed, tmp_path):
    """The first surveys all files, for nobody else may ever start; each chooses in its own only."""
    folder = tmp_path / "text-flan"
    ended = run_here(folder, flan[0], span=(0, 5))
    assert not ended.complete
    stages = [record.stage for record in Ledger(folder).records.values()]
    assert (stages.count("prescan"), stages.count("rows")) == (16, 5)
    assert run_here(folder, flan[0], span=(5, 16)).complete
    assert tree_of(folder) == tree_of(undisturbed)
    stages = [record.stage for record in Ledger(folder).records.values()]
    assert stages.count("prescan") == 16


@pytest.mark.slow
def test_job_array_workers_at_once_share_the_surveys(hub, undisturbed, tmp_path):
    runs = [
        flan_world.command(tmp_path, hub.url, "--tasks", span, "--workers", "1") for span in ("0:5", "5:16")
    ]
    said = [process.communicate(timeout=100)[1] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], said
    assert run_here(tmp_path / "text-flan").complete  # whoever came last may have left the last shard
    assert tree_of(tmp_path / "text-flan") == tree_of(undisturbed)


@pytest.mark.parametrize("cuts", [[0, ROWS], [0, 1, 1, 700, 1999, ROWS]])
def test_the_cutting_into_files_and_row_groups_changes_nothing(flan, undisturbed, tmp_path, cuts):
    whole = pa.concat_tables([pq.read_table(path) for path in flan[1]])
    (tmp_path / "x_data").mkdir()
    for number, (start, stop) in enumerate(pairwise(cuts)):
        path = tmp_path / "x_data" / f"part.{number}.parquet"
        pq.write_table(whole.slice(start, stop - start), path, row_group_size=77)
    run_here(tmp_path / "out", tmp_path)
    assert [_without_origin(s) for s in samples_of(tmp_path / "out")] == [
        _without_origin(s) for s in samples_of(undisturbed)
    ]


def _without_origin(sample):
    return {name: value for name, value in sample.items() if name != "origin"}


def test_few_rows_of_large_files_are_read_by_ranges(tmp_path, monkeypatch):
    """Only footers, and the two columns of the row groups that hold chosen rows."""
    noise = np.random.default_rng(1)
    for number in range(6):
        table = flan_rows(2000, first=2000 * number)
        bulk = pa.array([noise.bytes(60).hex() for _ in range(2000)])
        path = tmp_path / "hub" / "x_data" / f"part.{number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.append_column("bulk", bulk), path, row_group_size=100)
    with FakeHub({REPO: tmp_path / "hub"}, revision=REVISION) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.cut("x_data/part.0.parquet", after_bytes=100)
        assert run_here(tmp_path / "out", settings={"sample.size": "4"}).complete
        log = list(hub.log)
    size = sum(path.stat().st_size for path in (tmp_path / "hub").rglob("*.parquet"))
    moved = facts(tmp_path / "out", "prescan", "rows")
    assert moved["bytes_in"] < size / 3
    read = [record for record in Ledger(tmp_path / "out").stage("rows") if record.kept]
    assert len(read) == 4
    # a survey each, and for the four files their footer again and a range
    assert moved["requests"] == 6 + 2 * 4
    assert all("range" in request.headers for request in log if "/resolve/" in request.path)
    rows = all_rows(sorted((tmp_path / "hub" / "x_data").glob("*.parquet")))
    wanted = [rows[i * 11_999 // 3][0] for i in range(4)]
    assert [sample["upstream"]["inputs"] for sample in samples_of(tmp_path / "out")] == wanted


def test_a_hub_that_fails_for_a_while_is_asked_again(hub, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr("gristmill.storage.hub._WAIT_S", 0.0)
    hub.fail("flan_zsopt_data/part.1*", 503, times=2, headers=[("Retry-After", "0")])
    hub.fail("cot_fsopt_data/part.0.parquet", 404, times=1)
    assert run_here(tmp_path / "text-flan").complete
    assert tree_of(tmp_path / "text-flan") == tree_of(undisturbed)


def test_a_hub_that_goes_on_refusing_is_named_with_the_file(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("gristmill.storage.hub._WAIT_S", 0.0)
    hub.fail("cot_fsopt_data/*", 404, times=20)
    with pytest.raises(SourceError, match=r"cot_fsopt_data/part\.0\.parquet: the hub refused Open-Orca/FLAN"):
        run_here(tmp_path / "text-flan")


def test_published_spacing_and_a_small_run_by_the_command(flan, tmp_path):
    program = ["run", "text-flan", "--out", tmp_path]
    given = [w for n, v in {**SETTINGS, "sample.spacing": "published"}.items() for w in ("--set", f"{n}={v}")]
    source = ["--source", f"annotations={flan[0]}", "--only", "2", "--json"]
    said = json.loads(gristmill(*program, *given, *source).stdout)
    assert said["complete"]
    assert said["adds_up"]
    assert said["counts"]["annotated"] == ROWS
    assert said["counts"]["selected"] == 2 * 16
    assert said["dropped"]["not_sampled"] == ROWS - SIZE
    assert "asked" not in said["counts"]
    card = (tmp_path / "text-flan" / "README.md").read_text()
    assert "image-to-text" not in card
    assert "picture" not in card.split("## Known traps")[0]
    assert (tmp_path / "text-flan" / "report.html").stat().st_size > 1000
    gristmill("verify", tmp_path / "text-flan")
