"""SeaweedFS as the tests start it; its program is played by one that only waits."""

import signal
import subprocess
import sys

import psutil
import pytest

pytest.importorskip("obstore")

STARTS = """
import sys
from pathlib import Path
from gristmill.testing import seaweed

seaweed.program = lambda: sys.argv[1]
with seaweed.seaweed(Path(sys.argv[2])):
    pass
"""


@pytest.mark.slow
def test_a_server_does_not_outlive_who_started_it(tmp_path):
    weed, told = tmp_path / "weed", tmp_path / "pid"
    weed.write_text(f"#!/bin/sh\necho $$ > {told}.new\nmv {told}.new {told}\nexec sleep 60\n")
    weed.chmod(0o755)
    with subprocess.Popen([sys.executable, "-c", STARTS, str(weed), str(tmp_path)]) as starter:
        while not told.exists():
            assert starter.poll() is None
        server = psutil.Process(int(told.read_text()))
        starter.send_signal(signal.SIGTERM)
    assert not psutil.wait_procs([server], 10)[1]
