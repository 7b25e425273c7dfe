"""``--share I/N`` and ``--share slurm``: a job array over one list."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from typed import gristmill

from gristmill.cli import finish
from gristmill.ledger.at_work import Announced
from gristmill.run.driver import run
from gristmill.storage.local import LocalStore
from gristmill.testing import archived
from gristmill.testing.archives import zipped
from gristmill.testing.web import FakeWeb

QUICK = ("--allow-private-addresses", "--workers", "0", "--set", "rows.part_rows=1")


def slurm(
    task: int, least: int = 0, most: int = 2, count: int = 3, step: int | None = None
) -> dict[str, str]:
    """What Slurm sets for a job of an array."""
    given = {"ID": task, "MIN": least, "MAX": most, "COUNT": count, "STEP": step}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in given.items() if value is not None}


def test_a_job_array_divides_one_list_and_the_last_job_ends_it(tmp_path):
    urls = tmp_path / "urls.txt"
    with FakeWeb() as web:
        urls.write_text("\n".join(web.url(f"/photo/{n}.jpg?w=64") for n in range(30)))
        typed = ("crawl", urls, "--out", tmp_path / "out", *QUICK, "--share", "slurm")
        for task in range(2):
            said = gristmill(*typed, **slurm(task))
            assert "not complete yet" in said.stdout
            assert f"Share {task + 1} of 3 is done." in said.stderr
            assert "the same command without --share does the rest" in " ".join(said.stderr.split())
        assert 0 < web.hits.total() < 30
        assert "complete" in gristmill(*typed, **slurm(2)).stdout
        assert set(web.hits.values()) == {1}
        assert len(web.hits) == 30
    gristmill("verify", tmp_path / "out")


def test_one_account_never_says_complete_and_not_complete(tmp_path, monkeypatch):
    """Another command ended the rest between this one's last look and its account."""
    (tmp_path / "urls.txt").write_text("http://127.0.0.1:9/1.jpg")
    typed = ("crawl", tmp_path / "urls.txt", "--out", tmp_path / "out", "--share", "1/1", *QUICK)

    def a_moment_before(*given):
        return replace(run(*given), complete=False)

    monkeypatch.setattr(finish, "run", a_moment_before)
    said = gristmill(*typed, code=3)
    assert "complete" in said.stdout
    assert "Share 1 of 1 is done" not in said.stderr


def test_of_what_is_left_to_be_given_only_what_was_given_is_named(tmp_path):
    (tmp_path / "rows").mkdir()
    for name in "ab":
        (tmp_path / f"rows/{name}.jsonl").write_text(f'{{"id": "{name}", "image": "x.png", "caption": "x"}}')
    zipped(tmp_path / "pictures.zip", {"images/x.png": b""})
    sources = (f"annotations={tmp_path / 'rows'}", f"pictures={tmp_path / 'pictures.zip'}")
    toy = Path(archived.__path__[0]) / "zip.py"
    typed = ("run", toy, "--source", sources[0], "--source", sources[1], "--out", tmp_path / "out")
    for more, rest in (
        (("--tasks", "0:1"), "The same command with the other --tasks does the rest."),
        (("--tasks", "0:1", "--to", "rows"), "with the other --tasks, and without --to, does the rest."),
        (("--to", "rows"), "The same command without --to does the rest."),
        (("--to", "rows", "--share", "1/2"), "the same command without --share and --to does the rest."),
    ):
        said = gristmill(*typed, *more, "--workers", "0").stderr
        assert " ".join(said.split()).endswith(rest)


@pytest.mark.parametrize(
    ("share", "environment", "said"),
    [
        ("0/3", {}, "0/3: expected I/N, this command's number and of how many, as 1/16 to 16/16"),
        ("4/3", {}, "4/3: expected I/N"),
        ("3", {}, "3: expected I/N"),
        ("", {}, "an empty text: expected I/N"),
        ("slurm", {}, "slurm: this command is not in a job array: SLURM_ARRAY_TASK_ID is not set"),
        ("slurm", slurm(6, 5, 8, 4), "this array begins at 5, and nothing says of how many"),
        ("slurm", slurm(6, 5, 8, 4), "as --share 6/16. A whole array begins at 0 or 1"),
        ("slurm", slurm(7, 1, 7, 2), "do not say which of an array without gaps this job is"),
        ("1/2", {}, "--tasks and --share both say what part of the work this command does"),
    ],
)
def test_a_share_that_is_none_is_refused(tmp_path, monkeypatch, share, environment, said):
    for name in slurm(1, step=1):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "urls.txt").write_text("http://a.example/1.jpg\n")
    more = ("--tasks", "0:1") if share == "1/2" else ()
    typed = ("crawl", tmp_path / "urls.txt", "--out", tmp_path / "out", "--share", share, *more)
    assert said in " ".join(gristmill(*typed, code=2, **environment).stderr.split())
    assert not (tmp_path / "out").exists()


def test_verify_says_who_is_at_work_on_what_is_not_complete(tmp_path):
    folder = tmp_path / "out"
    (tmp_path / "urls.txt").write_text("".join(f"http://127.0.0.1:9/{n}.jpg\n" for n in range(30)))
    gristmill("crawl", tmp_path / "urls.txt", "--out", folder, *QUICK, "--share", "1/2")
    store = LocalStore(folder)
    with store.leases("other") as leases, Announced(store, leases, share=(2, 2), span=None):
        (folder / "fates/of-a-task-under-way.parquet").write_bytes(b"")
        said = gristmill("verify", folder).stdout
    assert f"not complete yet; this is what is finished. At work on it: process {os.getpid()} on" in said
    assert "--share 2/2" in said
    assert "At work" not in gristmill("verify", folder).stdout


def test_retry_says_that_it_is_not_divided(tmp_path):
    (tmp_path / "urls.txt").write_text("http://127.0.0.1:9/1.jpg")
    gristmill("crawl", tmp_path / "urls.txt", "--out", tmp_path / "out", *QUICK, code=3)
    said = gristmill("retry", tmp_path / "out", "--share", "slurm", code=2).stderr
    assert "retry is not divided: it is one command, in a job of its own, without --share" in said
    assert "--share" not in gristmill("retry", "--help").stdout


@pytest.mark.parametrize("number", ["nan", "inf", "-1"])
def test_a_grace_is_a_finite_number(number, tmp_path):
    (tmp_path / "urls.txt").write_text("http://127.0.0.1:9/1.jpg")
    typed = ("crawl", tmp_path / "urls.txt", "--out", tmp_path / "out", "--grace", number)
    assert "--grace" in gristmill(*typed, code=2).stderr
    assert not (tmp_path / "out").exists()


def test_an_array_with_a_step_has_as_many_shares_as_jobs(tmp_path):
    (tmp_path / "urls.txt").write_text("http://a.example/1.jpg\n")
    typed = ("run", "vflan", "--out", tmp_path / "out", "--share", "slurm")
    said = gristmill(*typed, code=2, **slurm(4, 0, 8, 3, 4)).stderr
    assert "are for one dataset: give them with each part of vflan" in said
