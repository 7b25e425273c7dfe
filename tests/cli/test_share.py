"""``--share I/N`` and ``--share slurm``: a job array over one list."""

import pytest
from typed import gristmill

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
        assert 0 < web.hits.total() < 30
        assert "complete" in gristmill(*typed, **slurm(2)).stdout
        assert set(web.hits.values()) == {1}
        assert len(web.hits) == 30
    gristmill("verify", tmp_path / "out")


@pytest.mark.parametrize(
    ("share", "environment", "said"),
    [
        ("0/3", {}, "0/3: expected I/N, this command's number and of how many, as 1/16 to 16/16"),
        ("4/3", {}, "4/3: expected I/N"),
        ("3", {}, "3: expected I/N"),
        ("slurm", {}, "do not say which of an array without gaps this job is"),
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


def test_an_array_with_a_step_has_as_many_shares_as_jobs(tmp_path):
    (tmp_path / "urls.txt").write_text("http://a.example/1.jpg\n")
    typed = ("run", "vflan", "--out", tmp_path / "out", "--share", "slurm")
    said = gristmill(*typed, code=2, **slurm(4, 0, 8, 3, 4)).stderr
    assert "are for one dataset: give them with each part of vflan" in said
