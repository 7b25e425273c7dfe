"""kill -9 of the whole tree, and signals, at random instants; ``make test-kill``, a few minutes."""

import random
import signal
import time

import pytest
from small_world import (
    ONE_BY_ONE,
    ROWS,
    UNFINISHED,
    Process,
    check_final_names,
    run_here,
    temporaries,
    totals,
    tree_of,
    wait_for,
    write_list,
)

from gristmill.ledger.ledger import Ledger

pytestmark = pytest.mark.kill


def interrupt(process: Process, web, rng: random.Random) -> None:
    """Wait until some more was asked for, and then a little; anywhere from before the start to after the end."""
    asked = web.hits.total() + rng.randrange(ROWS + 10)
    wait_for(lambda: web.hits.total() >= min(asked, ROWS) or process.popen.poll() is not None)
    time.sleep(rng.choice((0, rng.random() * 0.05, rng.random() * 0.5)))


@pytest.mark.parametrize("seed", range(40))
def test_killed_at_a_random_instant(small, web, tmp_path, seed):
    rng, folder, most_twice = random.Random(seed), tmp_path / "out", 0
    for _ in range(rng.choice((1, 1, 2))):
        workers = rng.choice((0, 1, 2, 3))
        web.latency_s = rng.choice((0, 0.01, 0.03))
        with Process(small.place, folder, workers=workers, settings=ONE_BY_ONE) as process:
            interrupt(process, web, rng)
            process.kill_all()
        most_twice += max(1, workers) * UNFINISHED
        check_final_names(folder)
    web.latency_s = 0
    ended, _ = run_here(small.place, folder, workers=rng.choice((0, 0, 1, 2)), settings=ONE_BY_ONE)
    assert ended.complete
    assert tree_of(folder) == small.shards
    assert temporaries(folder) == []
    assert sum(hits - 1 for hits in web.hits.values()) <= most_twice
    assert totals(folder).stage("samples").samples_in == ROWS


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signalled_at_a_random_instant(small, web, tmp_path, seed, number):
    rng, folder = random.Random(f"{seed} {number}"), tmp_path / "out"
    web.latency_s = 0.02
    with Process(small.place, folder, workers=rng.choice((0, 1, 2))) as process:
        wait_for((folder / ".gristmill" / "run.json").exists)
        interrupt(process, web, rng)
        process.popen.send_signal(number)
        code, said = process.end(60)
    assert code == 128 + number or (code in (0, -number) and said.endswith("complete")), said
    assert temporaries(folder) == []
    check_final_names(folder)
    assert run_here(small.place, folder)[0].complete
    assert tree_of(folder) == small.shards


@pytest.mark.parametrize("seed", range(8))
def test_killed_around_statistics(web, tmp_path, seed):
    """Counting, screening and packing, interrupted after a random number of finished tasks."""
    rng, folder = random.Random(f"statistics {seed}"), tmp_path / "out"
    urls = [
        web.url(f"/fault/placeholder/{n}", n) if n % 4 == 1 else web.url(f"/photo/{n}.jpg?w=64", n)
        for n in range(60)
    ]
    place = write_list(tmp_path / "list.parquet", urls)
    settings = {"same_picture.drop": "true", "same_picture.min_urls": "10", "rows.part_rows": "6"}
    assert run_here(place, tmp_path / "whole", settings=settings)[0].complete
    for _ in range(3):
        wanted = len(Ledger(folder).records) + rng.randrange(1, 9)
        with Process(place, folder, settings=settings, workers=rng.choice((0, 1, 2))) as process:
            wait_for(
                lambda wanted=wanted, process=process: (
                    len(Ledger(folder).records) >= wanted or process.popen.poll() is not None
                )
            )
            time.sleep(rng.choice((0, rng.random() * 0.1)))
            process.kill_all()
        check_final_names(folder)
    assert run_here(place, folder, settings=settings)[0].complete
    assert tree_of(folder) == tree_of(tmp_path / "whole")
    assert temporaries(folder) == []
    assert totals(folder).stage("screen").dropped == {"same_picture": 15}
