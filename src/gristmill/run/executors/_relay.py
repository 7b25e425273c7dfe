"""Runs on a node of a Ray cluster, in an actor: starts a worker there, and hands on bytes both ways."""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from gristmill import __version__
from gristmill.ledger.run_config import RUN_CONFIG
from gristmill.run.executors._pool import Ending, ending_of
from gristmill.run.workers.launch import Launched, launch
from gristmill.run.workers.messages import WorkerStart
from gristmill.run.workers.stacks import asked_stack
from gristmill.spec.errors import MachineError
from gristmill.storage.store import Store

__all__ = ["UNHEARD_S", "Begun", "Relay", "config_digest", "lacking"]

_HEAR_S = 5.0
UNHEARD_S = 20.0
"""A worker whose command has not listened for so long ends: it may be cut off, and another has its tasks."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Says of a worker where it is.

    Attributes:
        host, pid: Which process it is.
        node: Ray's name of the node.
        memory_gib: What the node has.
    """

    host: str = ""
    pid: int = 0
    node: str = ""
    memory_gib: float = 0.0


class Relay:
    """Starts a worker, and hands on what is said to it and what it says."""

    _launched: Launched
    _connection: Connection

    def __init__(self) -> None:
        self._heard_at: float | None = time.monotonic()
        threading.Thread(target=self._mind, daemon=True).start()

    def begin(
        self, version: str, folder: str, environment: Mapping[str, str], digest: str, start: bytes
    ) -> Begun:
        """Start the worker.

        Args:
            version: Of Gristmill, where the command was given.
            folder: The one it was given in.
            environment: Variables for the worker.
            digest: Of the run config in the store.
            start: What is said to the worker first, a :class:`WorkerStart`; pickled.

        Raises:
            MachineError: This node cannot work for that command.
        """
        host = socket.gethostname()
        if version != __version__:
            raise MachineError(
                f"node {host} has Gristmill {__version__}, and this command is {version}: install the same there."
            )
        os.environ.update(environment)
        with suppress(OSError):  # only what was typed with a relative path needs it; that is found out next
            os.chdir(folder)
        told: WorkerStart = pickle.loads(start)
        if config_digest(told.store) != digest:
            raise MachineError(
                f"node {host} does not see {told.store} as we do here. All nodes must have the dataset's folder "
                "under the same path, on a file system that they share; or give an object store: --out s3://..."
            )
        if missing := lacking(told):
            raise MachineError(
                f"node {host} does not have {missing}. All nodes must have what is read under the same path, on a "
                "file system that they share; or name what lies in an object store."
            )
        self._launched = launch(arrow_pool=told.arrow_pool)
        self._connection = Connection(self._launched.ours.detach())
        self.say(start)
        import ray

        node: str = ray.get_runtime_context().get_node_id()
        memory = next(one["Resources"].get("memory", 0.0) for one in ray.nodes() if one["NodeID"] == node)
        return Begun(host, self._launched.process.pid, node, memory / 2**30)

    def say(self, message: bytes) -> None:
        """Hand on to the worker; what it does not read is lost with it."""
        with suppress(OSError):
            self._connection.send_bytes(message)

    def hear(self) -> tuple[list[bytes], Ending | None]:
        """Give what the worker said since, and how it ended, if it has; waits a while for anything."""
        self._heard_at = None
        said: list[bytes] = []
        try:
            while self._connection.poll(0 if said else _HEAR_S):
                said.append(self._connection.recv_bytes())
            return said, None
        except (EOFError, OSError):
            self._launched.process.kill()
            return said, ending_of(self._launched.process.wait())
        finally:
            self._heard_at = time.monotonic()

    def stack(self) -> str:
        """Say where the worker's threads stand."""
        return asked_stack(self._launched.process.pid, self._launched.stacks)

    def _mind(self) -> None:
        """End, and the worker with us, once nobody has listened for long."""
        while True:
            time.sleep(1)
            heard_at = self._heard_at
            if heard_at is not None and time.monotonic() - heard_at > UNHEARD_S:
                os._exit(1)


def lacking(start: WorkerStart) -> str | None:
    """Name a file of a person's that is not on this machine; only the first of each kind is looked at."""
    for file in (*start.inputs[:1], *start.aux[:1], *start.media[:1]):
        if file.path is not None and "://" not in file.path and not os.path.exists(file.path):
            return file.path
    return None


def config_digest(store: Store) -> str:
    """Give the digest of the run config that lies there; empty where there is none."""
    try:
        return hashlib.sha256(store.read(RUN_CONFIG)).hexdigest()
    except OSError:
        return ""
