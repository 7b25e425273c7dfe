"""kill -9 of a mixture's whole process tree at random instants, then the same command again; ``make test-kill``."""

import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from small_parts import bytes_of, mix_here, mix_in_process, write_mixture, write_parts
from small_world import check_final_names, temporaries, wait_for

from gristmill.ledger.ledger import Ledger
from gristmill.ledger.mixture_parts import parts_account
from gristmill.ledger.run_config import RunConfig

pytestmark = pytest.mark.kill

PARTS = {"a-pictures": (9, 700), "b-text": (5, 2500), "c-one": (1, 40)}
SETTINGS = (
    {},
    {"shuffle.copy": "true"},
    {"shuffle.order": "published"},
    {"shuffle.index_only": "true"},
)


@dataclass
class World:
    parts: Path
    mixture: Path
    seconds: float
    shards: list[dict[str, str]]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    base = tmp_path_factory.mktemp("mix")
    parts = write_parts(base / "parts", PARTS)
    mixture = write_mixture(base / "small.py", list(PARTS), "seed=3, shards=24")
    shards = []
    for n, settings in enumerate(SETTINGS):
        began = time.monotonic()
        process = mix_in_process(mixture, base / f"{n}", parts_in=str(parts), settings=settings)
        assert process.communicate(timeout=100)[1].endswith("complete")
        shards.append(bytes_of(base / f"{n}" / "small"))
        seconds = time.monotonic() - began
    return World(parts, mixture, seconds, shards)


def kill_all(process):
    """kill -9 of all of it: the group, and workers that are groups of their own."""
    tree = []
    with suppress(psutil.NoSuchProcess):
        tree = psutil.Process(process.pid).children(recursive=True)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert not psutil.wait_procs(tree, 10)[1]


@pytest.mark.parametrize("seed", range(12))
def test_killed_at_random_instants(world, tmp_path, seed):
    rng, which = random.Random(seed), seed % len(SETTINGS)
    more = {"parts_in": str(world.parts), "settings": SETTINGS[which]}
    for _ in range(rng.choice((1, 1, 2))):
        runs = [mix_in_process(world.mixture, tmp_path, workers=rng.choice((0, 1, 2)), **more)]
        if rng.random() < 0.3:
            runs.append(mix_in_process(world.mixture, tmp_path, workers=1, **more))
        time.sleep(rng.random() * world.seconds * len(runs) * 1.2)
        for process in rng.sample(runs, len(runs)):
            kill_all(process)
        if (tmp_path / "small" / ".gristmill").is_dir():
            check_final_names(tmp_path / "small")
    more["parts_in"] = world.parts
    ended, _ = mix_here(world.mixture, tmp_path, workers=rng.choice((0, 0, 2)), **more)
    assert ended.complete
    assert bytes_of(tmp_path / "small") == world.shards[which]
    assert temporaries(tmp_path) == []
    accounts = parts_account(RunConfig.read(tmp_path / "small"), Ledger(tmp_path / "small"))
    assert [account.samples for account in accounts] == [700, 2500, 40]
    assert all(account.waiting == 0 for account in accounts)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signalled(world, tmp_path, number):
    process = mix_in_process(world.mixture, tmp_path, workers=1, parts_in=str(world.parts))
    wait_for((tmp_path / "small" / ".gristmill" / "run.json").exists)  # before that nobody handles signals
    time.sleep(world.seconds * 0.3)
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + number or said.endswith("complete"), said
    assert temporaries(tmp_path) == []
    assert mix_here(world.mixture, tmp_path, parts_in=world.parts)[0].complete
    assert bytes_of(tmp_path / "small") == world.shards[0]
