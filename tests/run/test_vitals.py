"""A process that computes without an end is told from one that waits, and from one that reads or writes."""

import subprocess
import sys
import time

import pytest
from small_world import wait_for

from gristmill.run.vitals import Vitals

PATIENCE_S = 0.6
LOOPS = "while True: pass"
WAITS = "import time; time.sleep(60)"
WRITES = "f = open('/dev/null', 'wb', 0)\nwhile True: f.write(bytes(1_000_000))"


@pytest.fixture
def started():
    processes = []

    def start(code: str) -> Vitals:
        processes.append(subprocess.Popen([sys.executable, "-c", code]))
        return Vitals(processes[-1].pid, PATIENCE_S)

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_one_that_loops_is_lost(started):
    vitals = started(LOOPS)
    begun = time.monotonic()
    wait_for(vitals.lost)
    assert time.monotonic() - begun > PATIENCE_S


@pytest.mark.parametrize("code", [WAITS, WRITES])
def test_one_that_waits_or_writes_is_not(started, code):
    vitals = started(code)
    until = time.monotonic() + 4 * PATIENCE_S
    while time.monotonic() < until:
        assert not vitals.lost()
        time.sleep(0.02)


def test_one_that_says_how_far_it_is_is_not(started):
    vitals = started(LOOPS)
    until = time.monotonic() + 4 * PATIENCE_S
    while time.monotonic() < until:
        vitals.advanced()
        assert not vitals.lost()
        time.sleep(0.02)


def test_of_one_that_is_gone_nothing_is_known():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    vitals = Vitals(process.pid, 0.01)
    time.sleep(0.05)
    assert not vitals.lost()
