"""Annotation files that are damaged: what is said, and how a mended one goes on in the same folder."""

import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from flan_world import REPO, REVISION, run_here
from made_pickles import captions, job, take, write
from small_world import Watcher, totals, tree_of

from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RUN_CONFIG, RunConfig
from gristmill.run.driver import run
from gristmill.spec.errors import DamagedSource, DriftError, UsageError
from gristmill.testing.hub import FakeHub
from gristmill.testing.instructions import write_flan

_SHARES = """
import sys
from pathlib import Path

from gristmill.run.state.layout import LEASES
from gristmill.storage.leases import Leases

with Leases(Path(sys.argv[1]) / LEASES) as leases:
    assert leases.take("run", shared=True)
    print("taken", flush=True)
    sys.stdin.read()
"""
MENDED = "0123456789abcdef"


@pytest.fixture
def flan(tmp_path):
    return tmp_path / "up", write_flan(tmp_path / "up", rows=600)


def cut(path):
    body = path.read_bytes()
    path.write_bytes(body[: len(body) // 2])
    return body


def broken_within(path):
    """The footer is whole, the pages are not."""
    body = path.read_bytes()
    path.write_bytes(body[:4] + bytes(len(body) // 2) + body[4 + len(body) // 2 :])
    return body


def test_a_pickle_is_replaced_by_a_good_one(tmp_path):
    place = write(tmp_path / "in", list(captions(0, 20)), list(captions(20, 26)))
    take(place, tmp_path / "undisturbed")
    body = cut(place / "part-00000.pkl")
    said = r"part-00000\.pkl.*cut off.* is your own copy, of [\d,]+ bytes\. Put a good one in its place, then give"
    for _ in range(2):
        with pytest.raises(DamagedSource, match=said):
            run(job(place, tmp_path / "out"), Watcher())
    (place / "part-00000.pkl").write_bytes(body)
    take(place, tmp_path / "out")
    assert tree_of(tmp_path / "out") == tree_of(tmp_path / "undisturbed")
    (note,) = totals(tmp_path / "out").notes
    assert (
        f"that the folder was begun with could not be read; this is another, of {len(body):,} bytes" in note
    )
    take(place, tmp_path / "out")  # and it is what the folder holds to from now on
    cut(place / "part-00000.pkl")
    with pytest.raises(DriftError, match=r"part-00000\.pkl"):
        run(job(place, tmp_path / "out"), Watcher())


def test_a_file_of_which_something_was_made_is_not_replaced(tmp_path):
    place = write(tmp_path / "in", list(captions(0, 20)), list(captions(20, 26)))
    cut(place / "part-00000.pkl")
    with pytest.raises(DamagedSource):
        run(job(place, tmp_path / "out"), Watcher())
    write(tmp_path / "other", list(captions(0, 20)), list(captions(30, 36)))
    shutil.copytree(tmp_path / "other", place, dirs_exist_ok=True)
    before = (tmp_path / "out" / RUN_CONFIG).read_bytes()
    with pytest.raises(DriftError) as caught:
        run(job(place, tmp_path / "out"), Watcher())
    assert [field for field, _, _ in caught.value.differences] == ["input.pickles/part-00001.pkl"]
    assert (tmp_path / "out" / RUN_CONFIG).read_bytes() == before


def test_upstream_mends_a_file_in_another_revision(flan, tmp_path, monkeypatch):
    folder, paths = flan
    assert run_here(tmp_path / "undisturbed", folder).complete
    body = cut(paths[1])
    with FakeHub({REPO: folder}, revision=REVISION) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with pytest.raises(
            DamagedSource, match=rf"{paths[1].name} .*upstream's\. .*hf://datasets/{REPO}@REV"
        ):
            run_here(tmp_path / "out")
    paths[1].write_bytes(body)
    with FakeHub({REPO: folder}, revision=MENDED) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert run_here(tmp_path / "out", f"hf://datasets/{REPO}@{MENDED}").complete
    assert tree_of(tmp_path / "out") == tree_of(tmp_path / "undisturbed")
    assert RunConfig.read(tmp_path / "out").sources["annotations"] == f"{REPO}@{MENDED}"


def test_a_file_by_whose_rows_all_were_chosen_is_mended(flan, tmp_path):
    folder, paths = flan
    assert run_here(tmp_path / "undisturbed", folder).complete
    body = broken_within(paths[1])
    with pytest.raises(DamagedSource, match=r"is your own copy.*: the good one must have as many\.$"):
        run_here(tmp_path / "out", folder)
    chosen = {r.task_id for r in Ledger(tmp_path / "out").stage("rows")}
    assert len(chosen) == len(paths) - 1
    pq.write_table(pq.read_table(paths[0]).slice(0, 7), paths[1])
    with pytest.raises(UsageError, match=r"is not the same mended: 7 rows where the first had \d+ rows"):
        run_here(tmp_path / "out", folder)
    paths[1].write_bytes(body)
    assert run_here(tmp_path / "out", folder).complete
    assert tree_of(tmp_path / "out") == tree_of(tmp_path / "undisturbed")
    records = Ledger(tmp_path / "out")
    assert chosen < {r.task_id for r in records.stage("rows")}  # nothing of the others was done anew
    assert len(records.stage("prescan")) == len(paths)


def test_a_folder_in_which_nothing_was_made_holds_nobody(tmp_path):
    place, out = write(tmp_path / "in", list(captions(0, 20))), tmp_path / "out"
    take(place, tmp_path / "undisturbed")
    body = (place / "part-00000.pkl").read_bytes()
    (place / "part-00000.pkl").rename(place / "part-00007.pkl")
    cut(place / "part-00007.pkl")
    with pytest.raises(DamagedSource):
        run(job(place, out), Watcher())
    (place / "part-00007.pkl").unlink()
    (place / "part-00000.pkl").write_bytes(body)
    with subprocess.Popen([sys.executable, "-c", _SHARES, str(out)], stdout=-1, stdin=-1) as other:
        assert other.stdout.readline()
        with pytest.raises(DriftError):  # as long as another run is on it
            run(job(place, out), Watcher())
        other.communicate(timeout=60)
    take(place, out)
    assert tree_of(out) == tree_of(tmp_path / "undisturbed")
    (place / "part-00000.pkl").rename(place / "part-00007.pkl")
    with pytest.raises(DriftError):
        run(job(place, out), Watcher())


def test_what_keeps_us_from_a_file_is_no_damage(flan, tmp_path, monkeypatch):
    with FakeHub({REPO: flan[0]}, revision=REVISION) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setattr("gristmill.run.stages._tables.read_range", refuse)
        with pytest.raises(Exception, match="refused") as caught:
            run_here(tmp_path / "out")
    assert not isinstance(caught.value, DamagedSource)
    assert not (tmp_path / "out" / ".gristmill" / "unreadable").exists()


def refuse(*given):
    from gristmill.spec.errors import SourceError

    raise SourceError("refused")
