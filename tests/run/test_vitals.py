"""A process that computes without an end is told from one that waits, and from one that reads or writes."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import psutil
import pytest
from small_world import wait_for

from gristmill.run.executors.vitals import Vitals

PATIENCE_S = 0.1
LOOPS = "while True: pass"
WAITS = "import time; time.sleep(60)"
WRITES = "f = open('/dev/null', 'wb', 0)\nwhile True: f.write(bytes(1_000_000))"


def computed_s(process: psutil.Process) -> float:
    """Seconds on a processor: the clock of one that computes all the time, however busy the machine is."""
    return sum(process.cpu_times()[:2])


@pytest.fixture
def started():
    processes = []

    def start(code: str, **more: float) -> tuple[Vitals, Callable[[], float]]:
        processes.append(subprocess.Popen([sys.executable, "-S", "-c", code]))
        clock = partial(computed_s, psutil.Process(processes[-1].pid)) if code != WAITS else time.monotonic
        return Vitals(processes[-1].pid, PATIENCE_S, clock, **more), clock

    yield start
    for process in processes:
        process.kill()
        process.wait()


def watched(clock: Callable[[], float]) -> Iterator[None]:
    """Looks, often, for three times the patience."""
    until = clock() + 3 * PATIENCE_S
    while clock() < until:
        yield
        time.sleep(0.01)


def test_one_that_loops_is_lost(started):
    vitals, clock = started(LOOPS)
    config = clock()
    wait_for(vitals.lost)
    assert clock() - config > PATIENCE_S


@pytest.mark.parametrize("code", [WAITS, WRITES])
def test_one_that_waits_or_writes_is_not(started, code):
    vitals, clock = started(code)
    assert not any(vitals.lost() for _ in watched(clock))


def test_one_that_says_how_far_it_is_is_not(started):
    vitals, clock = started(LOOPS)
    for _ in watched(clock):
        vitals.advanced()
        assert not vitals.lost()


def test_of_one_that_is_gone_nothing_is_known():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    vitals = Vitals(process.pid, 0.01)
    time.sleep(0.05)
    assert not vitals.lost()


def test_one_that_waits_for_good_stands(started):
    vitals, clock = started(WAITS, standing_s=PATIENCE_S)
    config = clock()
    wait_for(vitals.stands)
    assert clock() - config > PATIENCE_S


@pytest.mark.parametrize("code", [LOOPS, WRITES])
def test_one_that_computes_or_writes_does_not_stand(started, code):
    vitals, clock = started(code, standing_s=PATIENCE_S)
    assert not any(vitals.stands() for _ in watched(clock))


def test_one_that_stirs_does_not_stand(started):
    vitals, clock = started(WAITS, standing_s=PATIENCE_S)
    for _ in watched(clock):
        vitals.stirred()
        assert not vitals.stands()
