"""kill -9 while files are prescanned, rows chosen and shards packed; ``make test-kill``."""

import os
import random
import signal
import time

import pytest
from flan_world import REPO, REVISION, command, run_here
from small_world import check_final_names, temporaries, totals, tree_of

from gristmill.testing.hub import FakeHub
from gristmill.testing.instructions import write_flan

pytestmark = pytest.mark.kill


@pytest.fixture(scope="module")
def flan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flan")
    write_flan(folder, rows=2000)
    out = tmp_path_factory.mktemp("undisturbed") / "text-flan"
    run_here(out, folder)
    return folder, tree_of(out)


@pytest.mark.parametrize("seed", range(8))
def test_killed_at_a_random_instant(flan, tmp_path, monkeypatch, seed):
    rng, folder = random.Random(seed), tmp_path / "text-flan"
    with FakeHub({REPO: flan[0]}, revision=REVISION) as hub:
        for _ in range(rng.choice((1, 2, 3))):
            process = command(tmp_path, hub.url, "--workers", rng.choice(("1", "2")))
            try:
                time.sleep(0.8 + 3 * rng.random())
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate(timeout=20)
            time.sleep(0.3)  # workers die with their parent
            check_final_names(folder)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert run_here(folder, workers=rng.choice((0, 2))).complete
    assert tree_of(folder) == flan[1]
    assert temporaries(folder) == []
    assert totals(folder).stage("rows").samples_in == 2000
    assert totals(folder).stage("prescan").tasks == 16
