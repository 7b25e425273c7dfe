"""Run one command and measure its whole process tree: wall time, CPU time, peak memory.

``measured(command)`` starts ``python -m bench.measure`` as a supervisor of its own, so that the web server and the
benchmark itself are never counted. The supervisor declares itself the reaper of its descendants (Linux
``PR_SET_CHILD_SUBREAPER``): processes whose parent has gone come back to it, and ``wait4`` on each child gives the
CPU time of everything below it. A second count, from the samples, guards against a tree that discards its
children's times (a parent that ignores SIGCHLD).
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.paths import REPO

PR_SET_CHILD_SUBREAPER = 36
# Resident sizes are cheap to read; finding the tree and its shared pages is not, and shares the measured cores.
SAMPLE_EVERY_S = 0.05
TREE_EVERY_S = 0.25
PSS_EVERY_S = 1.0
TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one run cost. Memory is summed over the tree: RSS counts shared pages once per process, PSS once.

    Attributes:
        written_bytes: Of pages of files that were written to, of files removed since, too.
    """

    returncode: int
    wall_s: float
    cpu_s: float
    cpu_user_s: float
    cpu_system_s: float
    cpu_sampled_s: float
    peak_rss_bytes: int
    peak_pss_bytes: int
    written_bytes: int
    processes: int


def measured(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
    timeout_s: float = 3600,
) -> Measurement:
    """Run ``command`` under a supervisor and return what it cost.

    Args:
        command: Program and arguments.
        env: Variables added to this process's own.
        cwd: Working directory of the command; the repository by default.
        log: File that takes the command's stdout and stderr.
        timeout_s: The tree is killed after this long.

    Raises:
        RuntimeError: If the command fails or runs out of time; the end of its log is in the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        report, job = Path(folder, "report.json"), Path(folder, "job.json")
        log = log or Path(folder, "log")
        job.write_text(
            json.dumps(
                {
                    "command": list(command),
                    "env": dict(env or {}),
                    "cwd": str(cwd or REPO),
                    "log": str(log),
                    "timeout_s": timeout_s,
                }
            )
        )
        subprocess.run([sys.executable, "-m", "bench.measure", str(job), str(report)], cwd=REPO, check=True)
        measurement = Measurement(**json.loads(report.read_text()))
        if measurement.returncode != 0:
            end = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{command[0]} ended with {measurement.returncode}:\n{end}")
    return measurement


@dataclass
class _Sampler:
    """Watches every descendant of this process and keeps the peaks."""

    stop: threading.Event = field(default_factory=threading.Event)
    peak_rss_bytes: int = 0
    peak_pss_bytes: int = 0
    cpu_s: dict[tuple[int, int], float] = field(default_factory=dict)

    def watch(self) -> None:
        next_tree = next_pss = 0.0
        tree: dict[int, tuple[int, float]] = {}
        while not self.stop.wait(SAMPLE_EVERY_S):
            now_s = time.monotonic()
            if now_s >= next_tree:
                next_tree = now_s + TREE_EVERY_S
                tree = _descendants(os.getpid())
                self.cpu_s.update(((pid, start), cpu_s) for pid, (start, cpu_s) in tree.items())
            self.peak_rss_bytes = max(self.peak_rss_bytes, sum(map(_rss_bytes, tree)))
            if now_s >= next_pss:
                next_pss = now_s + PSS_EVERY_S
                self.peak_pss_bytes = max(self.peak_pss_bytes, sum(map(_pss_bytes, tree)))


def _descendants(root: int) -> dict[int, tuple[int, float]]:
    """Process id -> (start time in ticks, CPU seconds so far), for everything below ``root``."""
    parents: dict[int, int] = {}
    facts: dict[int, tuple[int, float]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            stat = Path("/proc", name, "stat").read_bytes()
        except OSError:
            continue
        # The name in parentheses may hold spaces; fields count from behind it (proc(5)).
        fields = stat[stat.rindex(b")") + 2 :].split()
        pid = int(name)
        parents[pid] = int(fields[1])
        facts[pid] = (int(fields[19]), (int(fields[11]) + int(fields[12])) * TICK_S)
    tree: dict[int, tuple[int, float]] = {}
    frontier = {root}
    while frontier:
        frontier = {pid for pid, parent in parents.items() if parent in frontier}
        tree.update((pid, facts[pid]) for pid in frontier)
    return tree


def _rss_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0


def _pss_bytes(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _written_bytes() -> int:
    """By this process and all children that it has waited for: the kernel adds those (proc(5), io)."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["write_bytes"])


def _supervise(job: Mapping[str, object]) -> Measurement:
    """Start the job's command, reap the whole tree, and add everything up."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    command = [str(part) for part in job["command"]]  # type: ignore[attr-defined]
    env = {**os.environ, **job["env"]}  # type: ignore[dict-item]
    sampler = _Sampler()
    written_before = _written_bytes()
    watcher = threading.Thread(target=sampler.watch, daemon=True)
    with Path(str(job["log"])).open("wb") as log:
        started_s = time.monotonic()
        root = subprocess.Popen(
            command, env=env, cwd=str(job["cwd"]), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    watcher.start()
    guard = threading.Timer(float(str(job["timeout_s"])), _kill_tree)
    guard.start()
    user_s, system_s, returncode, wall_s = 0.0, 0.0, 1, 0.0
    while True:
        try:
            pid, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        user_s, system_s = user_s + usage.ru_utime, system_s + usage.ru_stime
        if pid == root.pid:
            returncode, wall_s = os.waitstatus_to_exitcode(status), time.monotonic() - started_s
    guard.cancel()
    sampler.stop.set()
    watcher.join()
    sampled_s = sum(sampler.cpu_s.values())
    return Measurement(
        returncode=returncode,
        wall_s=wall_s,
        cpu_s=max(user_s + system_s, sampled_s),
        cpu_user_s=user_s,
        cpu_system_s=system_s,
        cpu_sampled_s=sampled_s,
        peak_rss_bytes=sampler.peak_rss_bytes,
        peak_pss_bytes=sampler.peak_pss_bytes,
        written_bytes=_written_bytes() - written_before,
        processes=len(sampler.cpu_s),
    )


def _kill_tree() -> None:
    for pid in _descendants(os.getpid()):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def main() -> None:
    job, report = Path(sys.argv[1]), Path(sys.argv[2])
    report.write_text(json.dumps(asdict(_supervise(json.loads(job.read_text())))))


if __name__ == "__main__":
    main()
