"""Runs tasks on a Ray cluster: each worker is a process of the ordinary kind, on whichever node Ray has room for it.

Ray's own part in it is an actor beside each worker, which hands on what is said to it and what it says, byte by byte.
An actor takes a processor, and the memory that the recipe's largest task may hold. Through Ray 2.60.

``RAY_ADDRESS`` says where the cluster is, as for Ray's own commands: ``HOST:6379``, or ``auto`` on one of its nodes;
``local`` starts one of this machine, which ends with the command. Ray's usage statistics are switched off.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import socket
import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from gristmill import __version__
from gristmill.ledger.run_config import RUN_CONFIG
from gristmill.run.executors._executor import Event, Setup
from gristmill.run.executors._liveness import standstill_s
from gristmill.run.executors._placement import Place
from gristmill.run.executors._pool import Ending, Gone, Pool, Worker, ending_of
from gristmill.run.planning.pipeline import Pipeline
from gristmill.run.workers.launch import Launched, launch
from gristmill.run.workers.messages import Failed, Hello
from gristmill.run.workers.stacks import asked_stack
from gristmill.spec.errors import MachineError, Stopped, UsageError
from gristmill.spec.recipe import Recipe
from gristmill.spec.step import Needs
from gristmill.spec.task import Task
from gristmill.storage.store import Store

__all__ = ["EXECUTOR", "OnRay", "Relay", "divided"]

_ADDRESS = "RAY_ADDRESS"
_HANDED_ON = ("GRISTMILL_", "AWS_", "AZURE_", "GOOGLE_", "HF_")
"""Beginnings of the names of variables that workers everywhere get as this command has them."""
_PROXIES = {"http_proxy", "https_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir"}
_HEAR_S = 5.0
_UNHEARD_S = 20.0
"""A worker whose command has not listened for so long ends: it may be cut off, and another has its tasks."""
_CUT_OFF_S = 25.0
"""So long after a worker was last heard its tasks may be given to another, if it is lost and may yet live."""
_ANSWER_S = 10.0
_STILLBORN = 3
"""Workers that may be lost in a row before any was ready, beyond one each."""


class Relay:
    """On a node of the cluster: starts a worker there, and hands on what is said to it and what it says."""

    def __init__(self) -> None:
        self._launched: Launched | None = None
        self._connection: Connection | None = None
        self._heard_at: float | None = time.monotonic()
        threading.Thread(target=self._mind, daemon=True).start()

    def begin(
        self, version: str, folder: str, environment: Mapping[str, str], arrow_pool: str, begun: bytes
    ) -> tuple[str, str, str]:
        """Start the worker.

        Args:
            version: Of Gristmill, where the command was given.
            folder: The one it was given in.
            environment: Variables for the worker.
            arrow_pool: Where Arrow takes its memory from.
            begun: The store, and a digest of the run config in it; pickled.

        Returns:
            Which process it is, the node by Ray's name for it, and a sentence if this node cannot work for us.
        """
        host = socket.gethostname()
        if version != __version__:
            return (
                "",
                "",
                (
                    f"node {host} has Gristmill {__version__}, and this command is {version}: install the same there."
                ),
            )
        os.environ.update(environment)
        with suppress(OSError):  # only what was typed with a relative path needs it; that is found out next
            os.chdir(folder)
        store, digest = pickle.loads(begun)
        if _digest(store) != digest:
            return (
                "",
                "",
                (
                    f"node {host} does not see {store} as we do here. All nodes must have the dataset's folder "
                    "under the same path, on a file system that they share; or give an object store: --out s3://..."
                ),
            )
        self._launched = launch(arrow_pool=arrow_pool)
        self._connection = Connection(self._launched.ours.detach())
        import ray

        node: str = ray.get_runtime_context().get_node_id()
        return f"{host}:{self._launched.process.pid}", node, ""

    def say(self, message: bytes) -> None:
        """Hand on to the worker; what it does not read is lost with it."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.send_bytes(message)

    def hear(self) -> tuple[list[bytes], Ending | None]:
        """Give what the worker said since, and how it ended, if it has; waits a while for anything."""
        self._heard_at = None
        said: list[bytes] = []
        try:
            if self._connection is not None and self._launched is not None:
                try:
                    wait_s = _HEAR_S
                    while self._connection.poll(wait_s):
                        said.append(self._connection.recv_bytes())
                        wait_s = 0
                except (EOFError, OSError):
                    process = self._launched.process
                    process.kill()
                    return said, ending_of(process.wait())
            return said, None
        finally:
            self._heard_at = time.monotonic()

    def stack(self) -> str:
        """Say where the worker's threads stand."""
        return asked_stack(self._launched.process.pid, self._launched.stacks) if self._launched else ""

    def _mind(self) -> None:
        """End, and the worker with us, once nobody has listened for long."""
        while True:
            time.sleep(1)
            heard_at = self._heard_at
            if heard_at is not None and time.monotonic() - heard_at > _UNHEARD_S:
                os._exit(1)


class OnRay(Pool["_Relayed"]):
    """Workers on a Ray cluster: so many as are asked for, or as it has processors; each once there is room for it."""

    def __init__(self, setup: Setup) -> None:
        recipe = setup.start.load()
        needs = [stage.needs for stage in Pipeline(recipe)]
        self._cpus = max([1.0, *(one.cpus for one in needs)])
        self._memory_gib = max(one.memory_gib for one in needs)
        self._waiting: list[Task] = []
        self._stillborn, self._idle_since = 0, time.monotonic()
        self._ray = _connected()
        try:
            self._nodes = self._alive()
            most = self._most_workers()
            workers = setup.workers or most
            self._start = replace(setup.start, load=partial(divided, setup.start.load, workers))
            self._begin = (
                __version__,
                os.getcwd(),
                {k: v for k, v in os.environ.items() if k.startswith(_HANDED_ON) or k.lower() in _PROXIES},
                setup.start.arrow_pool,
                pickle.dumps((setup.start.store, _digest(setup.start.store))),
            )
            # memory is each node's own affair: see _places
            super().__init__(replace(setup, workers=workers), standstill_s(), float("inf"))
        except BaseException:  # an interruption too; and it is raised on
            self._ray.shutdown()
            raise

    def _alive(self) -> dict[str, tuple[float, float]]:
        """Processors and memory (GiB) of each node, by Ray's name for it."""
        return {
            node["NodeID"]: (
                node["Resources"].get("CPU", 0.0),
                node["Resources"].get("memory", 0.0) / 2**30,
            )
            for node in self._ray.nodes()
            if node["Alive"]
        }

    def _most_workers(self) -> int:
        """Say how many workers the cluster has room for, were nothing else on it.

        Raises:
            MachineError: No node has enough for one.
        """
        alive = self._nodes
        fit = {key: has for key, has in alive.items() if has[0] >= self._cpus and has[1] >= self._memory_gib}
        if not fit:
            told = ", ".join(sorted({f"{cpus:g} CPU, {gib:.2g} GiB" for cpus, gib in alive.values()})[:4])
            raise MachineError(
                f"a worker needs {self._cpus:g} CPU and {self._memory_gib:g} GiB of memory on one node, and no node "
                f"of the Ray cluster has them ({told}). See `ray status`; add a node (`ray start --address=...`), "
                "then give the same command again."
            )
        return sum(int(cpus // self._cpus) for cpus, _ in fit.values())

    def _new(self) -> _Relayed:
        made = self._ray.remote(concurrency_groups={"say": 1, "hear": 1, "ask": 1})(Relay)
        actor = made.options(
            num_cpus=self._cpus,
            memory=int(self._memory_gib * 2**30),
            max_restarts=0,
        )
        return _Relayed(self._ray, actor.remote(), self._begin, pickle.dumps(self._start), self._limit_s)

    def _places(self, needs: Needs) -> Mapping[int, Place]:
        """Workers that are ready, on nodes with so much memory left."""
        held: dict[str, float] = defaultdict(float)
        for worker in self._workers:
            held[worker.node] += worker.place.memory_gib
        return {
            i: worker.place
            for i, worker in enumerate(self._workers)
            if worker.ready
            and (
                not held[worker.node] or held[worker.node] + needs.memory_gib <= self._memory_of(worker.node)
            )
        }

    def _memory_of(self, node: str) -> float:
        if node not in self._nodes:  # it came later
            self._nodes = self._alive()
        return self._nodes.get(node, (0.0, 0.0))[1]

    def _none_ready(self) -> bool:
        return not any(worker.ready for worker in self._workers)

    def room(self, task: Task) -> bool:
        """See :class:`Executor`. While no worker is ready, one task waits for the first."""
        return super().room(task) or (self._none_ready() and not self._waiting)

    def submit(self, task: Task) -> None:
        """See :class:`Executor`."""
        if self._none_ready():
            self._waiting.append(task)
        else:
            super().submit(task)

    def events(self, timeout_s: float) -> Iterator[Event]:
        """See :class:`Executor`.

        Raises:
            MachineError: The cluster has no room for any worker, or they end before they are ready.
        """
        yield from super().events(timeout_s)
        if not self._none_ready():
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since > self._limit_s:
            raise MachineError(
                f"for {self._limit_s:g} s the Ray cluster had no room for a worker ({self._cpus:g} CPU, "
                f"{self._memory_gib:g} GiB). Everything finished is kept; see `ray status`, then give the same "
                "command again."
            )
        while self._waiting and (self._stopping or self.room(self._waiting[0])):
            task = self._waiting.pop()
            if self._stopping:
                yield Failed(task, Stopped("the run was asked to stop"))
            else:
                self.submit(task)

    def _listen(self, timeout_s: float) -> Mapping[int, list[object]]:
        pending = [worker.pending for worker in self._workers if worker.pending is not None]
        if pending:
            self._ray.wait(pending, num_returns=1, timeout=timeout_s)
            came = set(self._ray.wait(pending, num_returns=len(pending), timeout=0)[0])
        else:
            time.sleep(timeout_s)
            came = set()
        said: dict[int, list[object]] = {}
        for i, worker in enumerate(self._workers):
            was_ready = worker.ready
            if messages := worker.listen(arrived=worker.pending in came):
                said[i] = messages
            if worker.ready and not was_ready:
                self._stillborn = 0
            elif not was_ready and any(isinstance(message, Gone) for message in messages):
                self._stillborn += 1
                if self._stillborn >= _STILLBORN + len(self._workers):
                    raise MachineError(f"no worker can begin on the Ray cluster: {worker.ending.said}")
        return said

    def close(self) -> None:
        """See :class:`Executor`."""
        for worker in self._workers:
            worker.kill()
        self._ray.shutdown()


class _Relayed(Worker):
    """A worker process on some node, and the actor through which it is spoken to.

    Attributes:
        pending: What we wait for: that it begins, then what it says; None once it is lost.
        ready: It has loaded what it works with.
        node: Where it is.
        ending: How it ended, once it has.
    """

    def __init__(self, ray: Any, actor: Any, begin: tuple[Any, ...], start: bytes, limit_s: float) -> None:
        super().__init__(limit_s)
        self._ray, self._actor, self._start = ray, actor, start
        self.pending = actor.begin.options(concurrency_group="say").remote(*begin)
        self.ready, self.node, self.ending = False, "", Ending("was lost")
        self._process, self._gone_at, self._heard_at = "", 0.0, 0.0

    @property
    def pid(self) -> str:
        """See :class:`Worker`."""
        return self._process

    def send(self, message: object) -> None:
        """See :class:`Worker`."""
        self._say(pickle.dumps(message))

    def _say(self, message: bytes) -> None:
        self._actor.say.options(concurrency_group="say").remote(message)

    def stack(self) -> str:
        """See :class:`Worker`."""
        with suppress(self._ray.exceptions.RayError):
            said: str = self._ray.get(self._actor.stack.options(concurrency_group="ask").remote(), timeout=5)
            return said
        return ""

    def kill(self) -> None:
        """See :class:`Worker`."""
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._actor)

    def end(self, deadline: float | None = None) -> Ending:
        """See :class:`Worker`."""
        self.kill()
        return self.ending

    def listen(self, *, arrived: bool) -> list[object]:
        """Give what it said, if that for which we wait is there; or that it is gone.

        Raises:
            MachineError: Its node cannot work for this command.
        """
        if self.pending is None:
            return [Gone()] if time.monotonic() >= self._gone_at else []
        if not arrived:
            if not self.ready:
                self.liveness.heard()  # it waits for room, or loads
            return []
        try:
            answer = self._ray.get(self.pending)
        except self._ray.exceptions.RayError as err:
            last = str(err).strip().splitlines()[-1:]
            self.ending = Ending(f"was lost with its actor ({''.join(last)})", blameless=True)
            self.pending, self._gone_at = None, self._heard_at + _CUT_OFF_S
            return []
        self._heard_at = time.monotonic()
        if not self._process:
            self._process, self.node, complaint = answer
            if complaint:
                raise MachineError(complaint)
            self._say(self._start)
            self._hear()
            return []
        messages, ending = answer
        said: list[object] = [pickle.loads(message) for message in messages]
        if ending is None:
            self._hear()
        else:
            self.ending = ending
            said.append(Gone())
        self.ready = self.ready or any(isinstance(message, Hello) for message in said)
        return said

    def _hear(self) -> None:
        self.pending = self._actor.hear.options(concurrency_group="hear").remote()


def _connected() -> Any:
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
    _check_answers(address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns
    own: dict[str, Any] = {}
    if address == "local":
        own = {"include_dashboard": False, "_node_ip_address": "127.0.0.1", "num_cpus": _cores()}
    try:
        import ray
        import ray.exceptions
    except ImportError as err:
        raise UsageError("--on ray needs Ray. Give: pip install 'gristmill[ray]'") from err
    main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except (OSError, RuntimeError, ValueError) as err:
        raise MachineError(
            f"no Ray cluster answers at {_ADDRESS}={address}: {str(err).strip().splitlines()[0]} "
            "Look at `ray status`. If the cluster wants a token, as Ray's do by default, set RAY_AUTH_MODE=token and "
            "have the head's in ~/.ray/auth_token (`ray get-auth-token` there says it). Then give the same command "
            "again."
        ) from err
    finally:
        if main:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return ray


def _check_answers(address: str) -> None:
    """Find out in a moment what Ray needs minutes for.

    Raises:
        MachineError: Nothing answers at ``HOST:PORT``.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except (OSError, OverflowError) as err:
        raise MachineError(
            f"no Ray cluster answers at {_ADDRESS}={address}: {err}. Start one with `ray start --head`, or put the "
            "address right, then give the same command again."
        ) from err


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _digest(store: Store) -> str:
    """Of the run config that lies there; empty where there is none."""
    try:
        return hashlib.sha256(store.read(RUN_CONFIG)).hexdigest()
    except OSError:
        return ""


def divided(load: Callable[[], Recipe], workers: int) -> Recipe:
    """Load a recipe for one of so many workers: what its steps may ask of one host is divided by them.

    Args:
        load: As in :class:`gristmill.run.workers.messages.WorkerStart`.
        workers: On the whole cluster.
    """
    recipe = load()
    return replace(recipe, steps=tuple(step.divided(workers) for step in recipe.steps))


EXECUTOR = OnRay
