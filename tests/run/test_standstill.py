"""What counts as getting somewhere: threads that are woken; and where a process stands that is not."""

import os
import re
import subprocess
import sys
import threading
import time

import pytest
from small_world import wait_for

from gristmill.run.executors import standstill
from gristmill.run.executors.standstill import Stirring, asked_stack, new_stack_file, standstill_s
from gristmill.spec.errors import UsageError

WAITS = """
import sys, threading
from gristmill.run.executors.standstill import stacks_into

def wait_for_a_dead_disk():
    print("ready", flush=True)
    threading.Event().wait()

stacks_into(int(sys.argv[1]))
wait_for_a_dead_disk()
"""


@pytest.fixture
def pipe():
    read, write = os.pipe()
    yield read, write
    os.close(read)


@pytest.fixture
def thread():
    """A thread, by its name and what it does again and again until the test ends."""
    over, started = threading.Event(), []

    def start(name, work):
        def go():
            while not over.is_set():
                work()

        started.append(threading.Thread(target=go, name=name, daemon=True))
        started[-1].start()

    yield start
    over.set()
    for one in started:
        one.join(10)


def stirs(stirring) -> bool:
    """Over half a second."""
    return any((time.sleep(0.05), stirring())[1] for _ in range(10))


def test_a_thread_to_which_bytes_come_stirs_and_one_that_waits_for_good_does_not(pipe, thread):
    stirring = Stirring()
    gate, (read, write) = threading.Event(), pipe
    thread("task_0", gate.wait)
    thread("crawl", lambda: time.sleep(0.01))  # wakes up in any case
    wait_for(lambda: not stirs(stirring))  # once they have begun
    thread("task_1", lambda: os.read(read, 1))
    stirring()
    sending = threading.Thread(
        target=lambda: [os.write(write, b"x") and time.sleep(0.05) for _ in range(40)], daemon=True
    )
    sending.start()
    wait_for(lambda: stirs(stirring))
    sending.join()
    gate.set()
    os.close(write)


def test_where_a_process_stands_is_asked_of_itself():
    with new_stack_file() as file:
        fd = file.fileno()
        with subprocess.Popen([sys.executable, "-c", WAITS, str(fd)], pass_fds=[fd], stdout=-1) as process:
            assert process.stdout.readline()
            told = asked_stack(process.pid, file)
            process.kill()
    assert "wait_for_a_dead_disk (<string>:" in told
    with new_stack_file() as file:
        assert asked_stack(process.pid, file) == ""


def test_threads_that_wait_for_others_are_told_last_and_once():
    waits = ["threading.py:327 wait", "_base.py:451 result", "task.py:45 run_task"]
    writes, idle = ["spool.py:90 append", "samples.py:12 store"], ["thread.py:81 _worker"]
    dump = "".join(
        "Thread 0x1 (most recent call first):\n"
        + "".join('  File "/a/{}", line {} in {}\n'.format(*re.split("[: ]", frame)) for frame in stack)
        for stack in (["worker.py:1 _beat"], waits, waits, writes, idle)
    )
    assert standstill._told(dump) == (
        "append (spool.py:90) < store (samples.py:12); wait (threading.py:327) < result (_base.py:451) < run_task "
        "(task.py:45)"
    )


@pytest.mark.parametrize(("text", "limit_s"), [("", 1800.0), ("0.5", 0.5)])
def test_the_limit_may_be_set(text, limit_s, monkeypatch):
    monkeypatch.setenv("GRISTMILL_STANDSTILL_S", text)
    assert standstill_s() == limit_s


@pytest.mark.parametrize("text", ["soon", "-1", "nan"])
def test_a_limit_that_is_none_is_said(text, monkeypatch):
    monkeypatch.setenv("GRISTMILL_STANDSTILL_S", text)
    with pytest.raises(UsageError, match=f"GRISTMILL_STANDSTILL_S={text}: expected a number of seconds"):
        standstill_s()
