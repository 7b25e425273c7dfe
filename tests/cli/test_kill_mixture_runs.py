"""kill -9 of ``run`` of a whole mixture at random instants, then the same command: same bytes in every dataset."""

import hashlib
import os
import random
import signal
import subprocess
import time
from contextlib import suppress

import psutil
import pytest
from test_own_mixture import MIX, write_upstream
from typed import GRISTMILL, WIDE

from gristmill.sources import cc3m
from gristmill.testing.hub import FakeHub
from gristmill.testing.upstreams.llava_cc3m_595k import write_llava_cc3m

pytestmark = pytest.mark.kill

PARTS = {"vila-v1.5": ("llava-cc3m-595k", "vila-v1.5-align"), "own": ("gsm8k-screl", "mine", "own")}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The command of each mixture, without where to; how long it takes, and what it leaves where nobody kills it."""
    base = tmp_path_factory.mktemp("killed")
    write_llava_cc3m(base / "hub", 400)
    write_upstream(base)
    (base / "own.toml").write_text(MIX.format(base=base))
    with FakeHub({cc3m.REPOSITORY: base / "hub"}, revision=cc3m.REVISION) as hub:
        environment = {**os.environ, **WIDE, "HF_ENDPOINT": hub.url}
        small = (
            "--set",
            "llava-cc3m-595k.rows.part_rows=50",
            "--set",
            "llava-cc3m-595k.pack.shard_samples=50",
        )
        commands = {
            "vila-v1.5": ("run", "vila-v1.5", "--stage", "align", *small),
            "own": ("run", base / "own.toml"),
        }
        expected = {}
        for name, words in commands.items():
            began = time.monotonic()
            ended = run(words, base / name, environment, workers=1)
            assert ended.wait(100) in (0, 3)
            expected[name] = time.monotonic() - began, left(base / name, name)
        yield commands, environment, expected


def run(words, out, environment, workers):
    typed = [GRISTMILL, *map(str, words), "--out", str(out), "--workers", str(workers)]
    return subprocess.Popen(
        typed, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def left(out, name):
    """SHA-256 of all shards, references and fates of a mixture and its parts."""
    files = [
        path
        for part in PARTS[name]
        for kind in ("shards", "references")
        for path in (out / part / kind).rglob("*")
    ]
    assert files
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.is_file() and not path.name.endswith("_stats.json")
    }


def kill_all(process):
    """All of it: the group, and workers that are groups of their own."""
    tree = []
    with suppress(psutil.NoSuchProcess):
        tree = psutil.Process(process.pid).children(recursive=True)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    assert not psutil.wait_procs(tree, 10)[1]


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_instants(world, tmp_path, name, seed):
    commands, environment, expected = world
    seconds, whole = expected[name]
    rng = random.Random(f"{name} {seed}")
    for _ in range(rng.choice((1, 2, 3))):
        process = run(commands[name], tmp_path, environment, rng.choice((0, 1, 2)))
        time.sleep(rng.random() * seconds)
        kill_all(process)
    last = run(commands[name], tmp_path, environment, rng.choice((0, 2)))
    assert last.wait(100) in (0, 3)
    assert left(tmp_path, name) == whole
    assert not [path for path in tmp_path.rglob(".*") if ".tmp-" in path.name]
