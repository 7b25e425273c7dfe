"""The script of ``docs/how-to/many-machines.md`` on a real Slurm: arrays that end, are killed, begun again."""

import os
import re
import signal
from pathlib import Path

import made_slurm
import pytest
from small_world import tree_of, url, wait_for
from typed import GRISTMILL, gristmill

from gristmill.ledger.at_work import at_work
from gristmill.ledger.ledger import Ledger
from gristmill.storage.local import LocalStore
from gristmill.storage.object import ObjectStore

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "many-machines.md"
ROWS, JOBS = 120, 4
QUICK = (
    "--allow-private-addresses",
    "--workers",
    "1",
    "--set",
    "rows.part_rows=4",
    "--set",
    "pack.shard_samples=40",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(made_slurm.why_not()), reason=made_slurm.why_not() or "it is there"),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with made_slurm.Slurm(tmp_path_factory.mktemp("slurm")) as slurm:
        yield slurm


@pytest.fixture
def place(web, tmp_path):
    """A list in one file, the script beside it, and what one command makes of the list."""
    (tmp_path / "urls.txt").write_text("\n".join(url(web, n) for n in range(ROWS)))
    (script,) = re.findall(r"```sh\n(#!/bin/bash\n.*?)```", HOW_TO.read_text(), re.DOTALL)
    (tmp_path / "gristmill.sh").write_text(script)
    gristmill("crawl", tmp_path / "urls.txt", "--out", tmp_path / "whole", *QUICK)
    assert len(tree_of(tmp_path / "whole")) > 6
    web.forget()
    return tmp_path


def submit(slurm, place, out, **environment) -> str:
    """The array, as somebody types it there; its number."""
    path = f"{Path(GRISTMILL).parent}:{os.environ['PATH']}"
    words = ("gristmill.sh", "crawl", "urls.txt", "--out", out, *QUICK)
    return slurm.says(
        "sbatch", "--parsable", f"--array=1-{JOBS}", *words, cwd=place, PATH=path, **environment
    )


def said(place, job: str) -> list[str]:
    return [(place / f"slurm-{job}_{task}.out").read_text() for task in range(1, JOBS + 1)]


ALL_DONE = {str(task): ("COMPLETED", 0) for task in range(1, JOBS + 1)}


def test_an_array_over_one_file_ends_with_the_bytes_of_one_command(slurm, place, web):
    web.latency_s = 0.02
    job = submit(slurm, place, "out")
    assert slurm.ends(job, JOBS) == ALL_DONE, said(place, job)
    assert tree_of(place / "out") == tree_of(place / "whole")
    assert set(web.hits.values()) == {1}
    ledger = Ledger(place / "out")
    assert len({record.host for record in ledger.stage("samples")}) == JOBS
    ledger.close()
    again = submit(slurm, place, "out")
    assert slurm.ends(again, JOBS) == ALL_DONE, said(place, again)
    assert set(web.hits.values()) == {1}


def test_jobs_killed_cancelled_and_requeued_and_the_array_submitted_again(slurm, place, web):
    web.latency_s = 0.5
    folder = place / "out"
    job = submit(slurm, place, "out")

    def working() -> dict[tuple[int, int], int]:
        found = at_work(LocalStore(folder))
        return {one.share: one.pid for one in found if one.share and one.job == f"{job}_{one.share[0]}"}

    wait_for(lambda: len(working()) == JOBS and web.hits.total() > 20)
    os.kill(working()[1, JOBS], signal.SIGKILL)
    slurm.says("scontrol", "requeue", f"{job}_2")
    slurm.says("scancel", "--batch", "--signal=TERM", f"{job}_3")
    web.latency_s = 0
    assert slurm.ends(job, JOBS) == {
        "1": ("FAILED", 0),  # by a signal
        "2": ("COMPLETED", 0),
        "3": ("FAILED", 143),
        "4": ("COMPLETED", 0),
    }, said(place, job)
    assert (
        "The same command continues" in said(place, job)[2]
        or "the same command continues" in said(place, job)[2]
    )
    told = gristmill("status", folder).stdout
    assert f"job {job}_1, --share 1/{JOBS}" in told
    assert re.search(rf"ended with exit code 143: .*, job {job}_3, --share 3/{JOBS}, since", told)
    assert re.search(
        rf"the same command with --share [13]/{JOBS} and --share [13]/{JOBS} does the rest", told
    )
    again = submit(slurm, place, "out")
    assert slurm.ends(again, JOBS) == ALL_DONE, said(place, again)
    assert tree_of(folder) == tree_of(place / "whole")
    assert at_work(LocalStore(folder)) == []


def test_an_array_into_an_object_store(slurm, place, web, bucket):
    names = {"endpoint": "AWS_ENDPOINT_URL", "access_key_id": "AWS_ACCESS_KEY_ID"}
    names |= {"secret_access_key": "AWS_SECRET_ACCESS_KEY", "region": "AWS_REGION"}
    given = {names[key]: value for key, value in bucket.items()}
    out = f"s3://bucket/{place.name}"
    job = submit(
        slurm, place, out, GRISTMILL_CACHE=str(place / "cache"), AWS_ENDPOINT=bucket["endpoint"], **given
    )
    assert slurm.ends(job, JOBS) == ALL_DONE, said(place, job)
    store = ObjectStore(out, bucket)
    for shard in (place / "whole" / "shards").glob("*.tar"):
        assert store.read(f"shards/{shard.name}") == shard.read_bytes()
    assert at_work(store) == []
