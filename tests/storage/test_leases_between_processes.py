import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gristmill.storage.leases import Leases

_TAKES = """
import sys
from pathlib import Path
from gristmill.storage.leases import Leases
leases = Leases(Path(sys.argv[1]))
for line in sys.stdin:
    verb, name = line.split()
    print(getattr(leases, verb)(name), flush=True)
"""


class Other:
    """Another process with leases on the same file."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def __call__(self, verb: str, name: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{verb} {name}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@contextmanager
def other(path: Path) -> Iterator[Other]:
    with subprocess.Popen(
        [sys.executable, "-c", _TAKES, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Other(process)
        finally:
            process.kill()


def test_one_process_holds_a_lease_until_it_gives_it_back_or_dies(tmp_path):
    path = tmp_path / "state" / "leases"
    with Leases(path) as ours, other(path) as theirs:
        assert theirs("take", "task-1") == "True"
        assert not ours.take("task-1")
        assert ours.take("task-2")
        assert ours.take("task-2")
        assert theirs("take", "task-2") == "False"

        theirs("release", "task-1")
        assert ours.take("task-1")
        assert theirs("take", "task-1") == "False"
        ours.release("task-1")
        ours.release("task-1")
        ours.release("never taken")
        assert theirs("take", "task-1") == "True"

        theirs.process.send_signal(signal.SIGKILL)
        theirs.process.wait(10)
        assert ours.take("task-1")


def test_closing_gives_all_back_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "leases"
    with other(path) as theirs:
        with Leases(path) as ours:
            assert all(ours.take(f"{n:016x}") for n in range(200))
            assert theirs("take", f"{7:016x}") == "False"
        assert all(theirs("take", f"{n:016x}") == "True" for n in range(200))
    assert [p.name for p in tmp_path.iterdir()] == ["leases"]
    assert path.stat().st_size == 0
