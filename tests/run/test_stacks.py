"""Where a worker process stands."""

import re
import subprocess
import sys

from gristmill.run.workers.stacks import asked_stack, busy_stacks, new_stack_file

WAITS = """
import sys, threading
from gristmill.run.workers.stacks import stacks_into

def wait_for_a_dead_disk():
    print("ready", flush=True)
    threading.Event().wait()

stacks_into(int(sys.argv[1]))
wait_for_a_dead_disk()
"""


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
        for stack in (["worker.py:1 keep_beating"], waits, waits, writes, idle)
    )
    assert busy_stacks(dump) == (
        "append (spool.py:90) < store (samples.py:12); wait (threading.py:327) < result (_base.py:451) < run_task "
        "(task.py:45)"
    )
