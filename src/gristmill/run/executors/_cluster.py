"""Connects to the Ray cluster that ``RAY_ADDRESS`` names, and says what to do where none answers.

It is given as to Ray's own commands: ``HOST:6379``, or ``auto`` on one of its nodes; ``local`` starts one of this
machine, which ends with the command. Ray's usage statistics are switched off.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gristmill.spec.errors import MachineError, UsageError
from gristmill.spec.extras import install

__all__ = ["Head", "connected", "most_workers"]

_ADDRESS = "RAY_ADDRESS"
_ANSWER_S = 5.0
_LOOKS_EVERY_S = 5.0
_LOOKS = 5
"""Looks in a row at a head that does not answer, until it is given up; Ray itself waits a minute."""
_SILENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it warns
}


def connected() -> Any:
    """Ray's library, connected to the cluster; signals stay ours.

    Raises:
        UsageError: It is not installed, or nobody said where the cluster is.
        MachineError: No cluster answers there.
    """
    address = os.environ.get(_ADDRESS)
    if not address:
        raise UsageError(
            f"--on ray: nothing says where the cluster is. Give {_ADDRESS}=HOST:6379 of its head "
            f"(`ray start --head` says it), {_ADDRESS}=auto on one of its nodes, or {_ADDRESS}=local for one of this "
            "machine alone."
        )
    if "://" in address:
        raise UsageError(
            f"{_ADDRESS}={address}: give HOST:6379, the address of the head for nodes, from a machine of "
            "the cluster's network; the address for Ray's own client is another."
        )
    own: dict[str, Any] = {}
    if address == "local":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        own = {"include_dashboard": False, "_node_ip_address": "127.0.0.1", "num_cpus": cores}
    os.environ.update(_SILENT)
    try:
        _check_answers(address)
        import ray

        with _signals_kept(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except ImportError as err:
        raise UsageError(f"--on ray needs Ray. Give: {install('ray')}") from err
    except (OSError, OverflowError, RuntimeError, ValueError) as err:
        raise MachineError(
            f"no Ray cluster answers at {_ADDRESS}={address}: {str(err).strip().splitlines()[0].rstrip('.')}. "
            "Look at `ray status`; `ray start --head` begins one. If the cluster wants a token, set "
            "RAY_AUTH_MODE=token and have the head's in ~/.ray/auth_token (`ray get-auth-token` there says it). Then "
            "give the same command again."
        ) from err
    return ray


def most_workers(ray: Any, cpus: float, memory_gib: float) -> int:
    """Say how many workers the cluster has room for, were nothing else on it.

    Raises:
        MachineError: No node has enough for one.
    """
    nodes = [
        (node["Resources"].get("CPU", 0.0), node["Resources"].get("memory", 0.0) / 2**30)
        for node in ray.nodes()
        if node["Alive"]
    ]
    most = sum(int(has_cpus // cpus) for has_cpus, has_gib in nodes if has_gib >= memory_gib)
    if not most:
        told = ", ".join(sorted({f"{has_cpus:g} CPU, {has_gib:.2g} GiB" for has_cpus, has_gib in nodes})[:4])
        raise MachineError(
            f"a worker needs {cpus:g} CPU and {memory_gib:g} GiB of memory on one node, and no node of the Ray "
            f"cluster has them ({told}). See `ray status`; add a node (`ray start --address=...`), then give the "
            "same command again."
        )
    return most


def _check_answers(address: str) -> None:
    """Find out in a moment what Ray needs minutes for.

    Raises:
        OSError, OverflowError: Nothing answers at ``HOST:PORT``.
    """
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()


class Head:
    """Looks now and then, in a thread of its own, whether the cluster's head answers.

    Without it, Ray ends this process after a minute, without a word that helps.
    """

    def __init__(self, address: str) -> None:
        self.address, self._unanswered = address, 0
        threading.Thread(target=self._look, name="head", daemon=True).start()

    def _look(self) -> None:
        while True:
            try:
                _check_answers(self.address)
                self._unanswered = 0
            except OSError:
                self._unanswered += 1
            time.sleep(_LOOKS_EVERY_S)

    def check(self) -> None:
        """See that it still answers.

        Raises:
            MachineError: It has not, for long.
        """
        if self._unanswered > _LOOKS:
            raise MachineError(
                f"the head of the Ray cluster, {self.address}, does not answer any more. Everything finished is "
                "kept: begin the cluster anew (`ray start --head`), then give the same command again."
            )


@contextmanager
def _signals_kept() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)
