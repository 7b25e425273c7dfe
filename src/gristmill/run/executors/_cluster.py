"""Connects to the Ray cluster that ``RAY_ADDRESS`` names, and says what to do where none answers.

It is given as to Ray's own commands: ``HOST:6379``, or ``auto`` on one of its nodes; ``local`` starts one of this
machine, which ends with the command. Ray's usage statistics are switched off.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from typing import Any

from gristmill.spec.errors import MachineError, UsageError
from gristmill.spec.extras import install

__all__ = ["Head", "connected", "most_workers", "named"]

_ADDRESS = "RAY_ADDRESS"
_ANSWER_S = 5.0
_LOOKS_EVERY_S = 5.0
_LOOKS = 5
"""Looks in a row at a head that does not answer, until it is given up; Ray itself waits a minute."""
_SILENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it warns
}
_ONE_TRY = ("RAY_gcs_server_port_wait_time_s", "1")
"""Ray tries twenty times to connect; one takes 40 s where nothing comes back."""
_VERSIONS = re.compile(r"Ray: (\S+)\s+Python: (\S+)")
_HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""Opens a connection as clients of gRPC do, with empty settings. A server answers with its own."""
_HTTP2_FRAME, _HTTP2_SETTINGS = 9, b"\4"


def named() -> str:
    """Give the address of the cluster, once it is known that a head may listen there; takes seconds at most.

    Raises:
        UsageError: Ray is not installed, or nobody said where the cluster is.
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
    try:
        _check_speaks(address)
    except (OSError, OverflowError) as err:
        raise MachineError(_no_cluster(address, str(err))) from err
    if find_spec("ray") is None:
        raise UsageError(f"--on ray needs Ray. Give: {install('ray')}")
    return address


def connected() -> Any:
    """Ray's library, connected to the cluster; signals stay ours.

    Raises:
        UsageError: As :func:`named`.
        MachineError: No cluster answers there, or it does not let us in.
    """
    address = named()
    own: dict[str, Any] = {}
    if address == "local":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        own = {"include_dashboard": False, "_node_ip_address": "127.0.0.1", "num_cpus": cores}
    else:
        os.environ.setdefault(*_ONE_TRY)
    os.environ.update(_SILENT)
    import ray

    try:
        with _signals_kept(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except (ray.exceptions.RayError, OSError, OverflowError, RuntimeError, ValueError) as err:
        raise MachineError(_why_not(address, str(err))) from err
    return ray


def _no_cluster(address: str, why: str) -> str:
    return (
        f"no Ray cluster answers at {_ADDRESS}={address}: {why.strip().splitlines()[0].rstrip('.')}. Look at "
        "`ray status`; `ray start --head` begins a cluster, and says its address. Then give the same command again."
    )


def _why_not(address: str, said: str) -> str:
    """Say in a sentence what Ray says in many lines, or not at all, when it does not connect."""
    token = "copy ~/.ray/auth_token from the head to this machine"
    if len(versions := _VERSIONS.findall(said)) == 2:
        (theirs, their_python), (ours, our_python) = versions
        return (
            f"the Ray cluster at {address} has Ray {theirs} and Python {their_python}, and here are Ray {ours} and "
            f"Python {our_python}: both must be the same. Give: pip install ray=={theirs}, under Python "
            f"{their_python}; then the same command again."
        )
    if "no authentication token" in said:
        return (
            f"RAY_AUTH_MODE=token is set, and here is no token: {token}, then give the same command again. For a "
            "cluster without tokens set RAY_AUTH_MODE=disabled."
        )
    if "Failed to connect" in said:
        return (
            f"what answers at {_ADDRESS}={address} does not let this command in. Either its token is another: "
            f"{token}, set RAY_AUTH_MODE=token and unset RAY_AUTH_TOKEN. Or it is not the head's port for nodes, "
            "which `ray start --head` says (6379 by default). Then give the same command again."
        )
    return _no_cluster(address, said)


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


def _connection(address: str) -> socket.socket | None:
    """Connect to ``HOST:PORT``; None for an address of another shape.

    Raises:
        OSError, OverflowError: Nothing answers there.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return None
    return socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S)


def _check_speaks(address: str) -> None:
    """Find out in a moment what Ray needs minutes for: whether anybody listens there who speaks as a head does.

    Raises:
        OSError, OverflowError: Nobody does.
    """
    with _connection(address) or nullcontext() as connection:
        if connection is None or os.environ.get("RAY_USE_TLS", "0").lower() in {"1", "true"}:
            return
        connection.sendall(_HTTP2_HELLO)
        answer = connection.recv(_HTTP2_FRAME, socket.MSG_WAITALL)
        if answer[3:4] != _HTTP2_SETTINGS:
            raise ConnectionError("a server of another kind listens there")


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
                with _connection(self.address) or nullcontext():
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
