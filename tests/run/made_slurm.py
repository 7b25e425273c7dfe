"""A Slurm of one node on the loopback: its daemons with a configuration, a key and a state of their own."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1
MpiDefault=none
ReturnToService=2
KillWait=15
NodeName={host} NodeAddr=127.0.0.1 CPUs=64 RealMemory=1000000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
"""slurm.conf(5). What a job asks for is granted, whatever this machine has. Requeued jobs begin within seconds."""


def why_not() -> str:
    """What is missing for it on this machine; an empty text if nothing is."""
    missing = [name for name in (*DAEMONS, "sbatch") if _program(name) is None]
    if missing:
        return f"{', '.join(missing)} missing: apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "slurmd starts jobs as root alone"


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Slurm:
    """The daemons, as long as this is open.

    Args:
        folder: For all that they keep.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, host = folder, socket.gethostname().partition(".")[0]
        for name in ("state", "spool"):
            (folder / name).mkdir()
        (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
        (folder / "munge.key").chmod(0o600)
        self._configuration = folder / "slurm.conf"
        self._configuration.write_text(CONFIGURATION.format(host=host, ports=_free_ports(), folder=folder))
        self.environment = {**os.environ, "SLURM_CONF": str(self._configuration)}
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Slurm:
        own = [f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        socket_path = self.folder / "munge.socket"
        self._start("munged", "--foreground", "--force", f"--socket={socket_path}", *own)
        _wait_for(socket_path.exists)
        self._start("slurmctld", "-D", "-c", "-f", self._configuration)
        self._start("slurmd", "-D", "-f", self._configuration)
        _wait_for(lambda: "idle" in self.says("sinfo", "-h", "-o", "%T"))
        return self

    def _start(self, name: str, *words: object) -> None:
        with (self.folder / f"{name}.out").open("wb") as said:
            self._daemons.append(
                subprocess.Popen(
                    [str(_program(name)), *map(str, words)], env=self.environment, stdout=said, stderr=said
                )
            )

    def says(self, *words: object, cwd: Path | None = None, **environment: str) -> str:
        """What a command of Slurm's prints; nothing where it fails, as it does until the daemons answer."""
        done = subprocess.run(
            [*map(str, words)],
            env={**self.environment, **environment},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout.strip()

    def states(self, job: str) -> dict[str, tuple[str, int]]:
        """State and exit code of each task of a job array, by its number."""
        lines = self.says("scontrol", "-o", "show", "job", job).splitlines()
        found = (dict(word.partition("=")[::2] for word in line.split()) for line in lines)
        return {
            one["ArrayTaskId"]: (one["JobState"], int(one["ExitCode"].partition(":")[0]))
            for one in found
            if one.get("ArrayTaskId", "").isdecimal()
        }

    def ends(self, job: str, tasks: int, timeout_s: float = 250) -> dict[str, tuple[str, int]]:
        """Wait until all tasks of a job array have ended: state and exit code of each."""
        going = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED", "SUSPENDED"}

        def over() -> bool:
            states = self.states(job)
            return len(states) == tasks and not any(state in going for state, _ in states.values())

        _wait_for(over, timeout_s)
        return self.states(job)

    def __exit__(self, *_: object) -> None:
        self.says("scancel", "-u", "root")
        with suppress(TimeoutError):
            _wait_for(lambda: not self.says("squeue", "-h", "-t", "running,completing"), 30)
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _free_ports() -> list[int]:
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in (one, two)]


def _wait_for(condition, timeout_s: float = 200) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.3)
