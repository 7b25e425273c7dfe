"""kill -9 and Ctrl-C of an import and an export at random instants; ``make test-kill``."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_pickles import documents, questions, take, write
from small_world import check_final_names, temporaries, tree_of

pytestmark = pytest.mark.kill
GRISTMILL = str(Path(sys.executable).with_name("gristmill"))


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    lists = [list(questions(start, start + 70)) for start in range(0, 280, 70)]
    return write(tmp_path_factory.mktemp("pickles") / "in", *lists)


def started(*words: object) -> subprocess.Popen:
    return subprocess.Popen(
        [GRISTMILL, *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def ended(process: subprocess.Popen, after_s: float, number: int) -> int:
    """End it (and with kill -9 all below it) after a while, unless it is done by itself."""
    try:
        return process.wait(after_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, number) if number == signal.SIGKILL else process.send_signal(number)
        return process.wait(60)


@pytest.mark.parametrize("seed", range(8))
def test_import_killed_at_random_instants(place, tmp_path, seed):
    rng, out = random.Random(seed), tmp_path / "out"
    settings = ("--shard-samples", 10, "--set", "pickles.part_rows=15", "--workers", rng.choice((0, 1, 2)))
    number = rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT))
    for _ in range(rng.choice((1, 2, 3))):
        ended(started("import", place, "--from", "vila", "--out", out, *settings), rng.random() * 3, number)
        check_final_names(out)
    process = started("import", place, "--from", "vila", "--out", out, *settings)
    assert process.wait(120) == 0
    take(place, tmp_path / "whole")
    assert tree_of(out) == tree_of(tmp_path / "whole")
    assert temporaries(out) == []


@pytest.mark.parametrize("format_", ["vila", "vila-unsharded", "interleaved-parquet"])
@pytest.mark.parametrize("seed", range(1))
def test_export_killed_at_random_instants(place, tmp_path, seed, format_):
    rng = random.Random(f"{seed} {format_}")
    if format_ == "interleaved-parquet":
        place = write(tmp_path / "documents", list(documents(0, 60)), list(documents(60, 120)))
    take(place, tmp_path / "in")
    words = ["export", tmp_path / "in", "--to", format_]
    assert started(*words, "--out", tmp_path / "whole").wait(60) == 0
    for _ in range(3):
        ended(started(*words, "--out", tmp_path / "out"), 0.3 + rng.random() * 0.5, signal.SIGKILL)
    time.sleep(0.05)
    assert started(*words, "--out", tmp_path / "out").wait(60) == 0
    read = {path.name: path.read_bytes() for path in sorted((tmp_path / "out").iterdir())}
    assert read
    assert read == {path.name: path.read_bytes() for path in sorted((tmp_path / "whole").iterdir())}
