"""kill -9 of the whole tree at random instants, over documents, runs and retries; ``make test-kill``."""

import json
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import document_world
import pytest
from document_world import document, last_fates, retry, run_here, samples, write
from small_world import Process, check_final_names, temporaries, totals, tree_of, wait_for

from gristmill.ledger.documents import documents
from gristmill.ledger.funnel import funnel
from gristmill.run.maintenance.reopen import open_dataset

PATIENT = {"settings": {"crawl.tries": "2"}}
"""What is killed and begun anew over and over may meet a connection that is just being closed."""

pytestmark = [pytest.mark.kill, pytest.mark.timeout(300)]


class DocumentProcess(Process):
    """A run of the recipe in a process group of its own."""

    def __init__(self, place: Path, folder: Path, **more: object) -> None:
        given = json.dumps({"place": str(place), "folder": str(folder), **PATIENT, **more})
        self.popen = subprocess.Popen(
            [sys.executable, document_world.__file__, given],
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def ill(web, status):
    for n in range(3):
        web.put(f"/ill/{n}", web.pictures.get(n, "jpg", 200).data if status == 200 else b"", status=status)


@pytest.fixture(scope="module")
def place(shared_web, tmp_path_factory):
    """Two files of 25 documents; some have a dead image, some one that heals, and addresses repeat."""
    rng = random.Random(4)

    def url(n):
        if rng.random() < 0.06:
            return shared_web.url(f"/fault/404/{n}")
        if rng.random() < 0.06:
            return shared_web.url(f"/ill/{n % 3}")
        return shared_web.url(f"/photo/{n % 12}.jpg?w=160&n={n}")

    files = {
        number: [document([url(rng.randrange(150)) for _ in range(rng.randint(1, 6))], n) for n in range(25)]
        for number in (3, 20)
    }
    return write(tmp_path_factory.mktemp("documents"), files)


@pytest.fixture(scope="module")
def undisturbed(shared_web, place, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    ill(shared_web, 500)
    assert run_here(place, folder, **PATIENT)[0].complete
    run, account = tree_of(folder), images(folder)
    ill(shared_web, 200)
    assert retry(place, folder, "http_5xx", **PATIENT)
    assert len(tree_of(folder)) > len(run)
    return run, account, tree_of(folder), images(folder), last_fates(folder)


def images(folder):
    said = documents(totals(folder), funnel(totals(folder), open_dataset(folder).config))
    return said.complete, said.kept, dict(said.images)


def disturb(place, folder, web, rng, most):
    """Kill a run once some more was asked for, perhaps none, perhaps before it began to ask at all."""
    web.latency_s = rng.choice((0, 0.01, 0.03))
    asked = web.hits.total() + rng.randrange(most)
    with DocumentProcess(place, folder, workers=rng.choice((0, 1, 2))) as process:
        with suppress(TimeoutError):
            wait_for(lambda: web.hits.total() >= asked or process.popen.poll() is not None, 4)
        time.sleep(rng.choice((0, rng.random() * 0.05, rng.random() * 0.5)))
        process.kill_all()
    web.latency_s = 0
    check_final_names(folder)


@pytest.mark.parametrize("seed", range(8))
def test_killed_at_a_random_instant_of_the_run_and_of_the_retry(place, undisturbed, web, tmp_path, seed):
    rng, folder = random.Random(seed), tmp_path / "out"
    run, account, whole, account_of_all, fates_of_all = undisturbed
    ill(web, 500)
    for _ in range(rng.choice((1, 2))):
        disturb(place, folder, web, rng, 150)
    assert run_here(place, folder, workers=rng.choice((0, 1)), **PATIENT)[0].complete
    assert tree_of(folder) == run
    assert images(folder) == account
    ill(web, 200)
    kept = samples(folder)
    opened = open_dataset(folder)
    document_world.add_round(
        opened,
        document_world.planner_of(opened, document_world.job(place, folder, **PATIENT).load()),
        ("http_5xx",),
    )
    for _ in range(rng.choice((0, 1, 2))):
        disturb(place, folder, web, rng, 15)
        assert {name: tree_of(folder)[name] for name in run} == run
    assert run_here(place, folder, **PATIENT)[0].complete
    assert last_fates(folder) == fates_of_all  # first, as it names the image over which shards would differ
    assert tree_of(folder) == whole
    assert images(folder) == account_of_all
    assert kept.items() <= samples(folder).items()
    assert temporaries(folder) == []
