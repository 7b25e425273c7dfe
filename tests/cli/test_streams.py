"""Streams that are closed, full, or read by nobody: the work goes on, and what is lost is said."""

import errno
import io
import os
import signal
import subprocess
import sys
from unittest import mock

import pytest

from gristmill.cli import main as entry
from gristmill.cli.start import unloaded
from gristmill.cli.streams import nobody_reads, unfailing_stream, unfailing_streams, unprinted

TYPES = f"{sys.executable} -c 'from gristmill.cli.start import main; main()'"


@pytest.fixture
def onto(monkeypatch):
    """Standard output that goes to a descriptor, made as for the process's own."""

    def put(fd: int) -> None:
        monkeypatch.setattr(sys, "stdout", unfailing_stream(fd))

    return put


def test_a_pipe_that_nobody_reads_takes_everything(onto):
    read, write = os.pipe()
    os.close(read)
    onto(write)
    for n in range(1000):
        sys.stdout.write(f"line {n}\n" * 100)
    assert unprinted() is None
    assert nobody_reads()
    os.close(write)


def test_a_full_disk_is_remembered(onto):
    full = os.open("/dev/full", os.O_WRONLY)
    onto(full)
    sys.stdout.write("é \udce9\n" * 10_000)
    assert unprinted().errno == errno.ENOSPC
    assert not nobody_reads()
    os.close(full)


def test_what_can_be_written_is_written_whole(onto, tmp_path):
    with open(tmp_path / "out", "wb") as out:
        onto(out.fileno())
        sys.stdout.write("é \udce9\n" * 10_000)
        assert unprinted() is None
    assert (tmp_path / "out").read_text() == "é \\udce9\n" * 10_000


def test_streams_of_somebody_else_stay():
    with mock.patch.object(sys, "stdout", io.StringIO()), mock.patch.object(sys, "stderr", io.StringIO()):
        mine = sys.stdout, sys.stderr
        unfailing_streams()
        assert (sys.stdout, sys.stderr) == mine


@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [
        (">&- 2>&- <&-", 0, ""),
        (">/dev/full", 1, "gristmill: standard output: No space left on device. Only what was to be printed"),
        ("2>&1 | true; exit ${PIPESTATUS[0]}", 0, ""),
    ],
)
def test_commands_with_odd_streams(redirected, code, said):
    done = subprocess.run(
        ["bash", "-c", f"{TYPES} list {redirected}"], stderr=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stderr[: len(said)]) == (code, said)


def test_what_is_started_has_all_streams_too():
    """A decoder of which the socket is number 2 would lose it, and every picture with it."""
    script = """
import subprocess, sys
from gristmill.cli.streams import unfailing_streams
unfailing_streams()
sys.exit(subprocess.call([sys.executable, "-c", "import os; [os.fstat(fd) for fd in (0, 1, 2)]"]))
"""
    done = subprocess.run(
        ["bash", "-c", '"$@" <&- >&- 2>&-', "bash", sys.executable, "-c", script], check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "gristmill: Cannot allocate memory."),
        (RuntimeError("can't start new thread"), "gristmill: this process may start no further thread"),
        (ImportError("libarrow.so: failed to map segment from shared object"), "gristmill: libarrow.so"),
        (SyntaxError(r"\N escapes not supported (can't load unicodedata module)"), r"gristmill: \N escapes"),
    ],
)
def test_what_a_narrow_process_runs_into_is_a_sentence(error, said, monkeypatch, capsys):
    monkeypatch.setattr(entry.cli, "main", mock.Mock(side_effect=error))
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(said)


def test_what_is_a_bug_stays_one(monkeypatch):
    assert unloaded(ModuleNotFoundError("No module named 'gristmill.nonsense'")) is None
    for error in (RuntimeError("odd"), ImportError("cannot import name 'x'"), SyntaxError("invalid syntax")):
        monkeypatch.setattr(entry.cli, "main", mock.Mock(side_effect=error))
        with pytest.raises(type(error)):
            entry.main()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("twice", [False, True])
def test_ctrl_c_before_anything_is_loaded_is_a_sentence(twice, number):
    """While a module is loaded; the second comes while the first is being answered."""
    script = """
import os, sys
class Loads:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            try:
                os.kill(os.getpid(), {number})
            finally:
                if {twice}:
                    os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Loads())
from gristmill.cli.start import main
main()
"""
    script = script.format(twice=twice, number=int(number))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + number
    assert done.stderr == ("" if twice else "gristmill: Stopped.\n")
