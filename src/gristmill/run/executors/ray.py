"""Runs tasks on a Ray cluster: each worker is a process of the ordinary kind, on whichever node Ray has room for it.

Ray's own part in it is an actor beside each worker (``_relay``). An actor takes a processor, and the memory that the
recipe's largest task may hold. Through Ray 2.60.
"""

from __future__ import annotations

import os
import pickle
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from gristmill import __version__
from gristmill.ledger.at_work import WorkerAt, by_stage
from gristmill.run.executors._cluster import Head, connected, most_workers, named
from gristmill.run.executors._executor import Setup
from gristmill.run.executors._liveness import standstill_s
from gristmill.run.executors._placement import Place
from gristmill.run.executors._pool import Ending, Gone, Pool, Worker
from gristmill.run.executors._relay import UNHEARD_S, Begun, Relay, config_digest
from gristmill.run.planning.pipeline import Pipeline
from gristmill.run.workers.messages import Hello
from gristmill.spec.errors import MachineError
from gristmill.spec.recipe import Recipe
from gristmill.spec.step import Needs

__all__ = ["EXECUTOR", "OnRay", "divided"]

_HANDED_ON = ("GRISTMILL_", "AWS_", "AZURE_", "GOOGLE_", "HF_")
"""Beginnings of the names of variables that workers everywhere get as this command has them."""
_PROXIES = {"http_proxy", "https_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir"}
_CUT_OFF_S = UNHEARD_S + 5.0
"""So long after a worker was last heard its tasks may be given to another, if it is lost and may yet live."""
_TOLD_S = 30.0
"""So long after no worker was ready, a person is told."""
_ADDRESS = re.compile(r"\bip=([^\s,)]+)")
"""Finds a node's address in what Ray says."""
_STILLBORN = 3
"""Workers that may be lost in a row before they are ready, beyond one each."""


class OnRay(Pool["_Relayed"]):
    """Workers on a Ray cluster: so many as are asked for, or as it has processors; each once there is room for it."""

    @staticmethod
    def check() -> None:
        """See :class:`Executor`."""
        named()

    def __init__(self, setup: Setup) -> None:
        needs = [stage.needs for stage in Pipeline(setup.start.load())]
        cpus, memory_gib = max(1.0, *(one.cpus for one in needs)), max(one.memory_gib for one in needs)
        self._stillborn, self._ready_at, self._told, self._say = 0, time.monotonic(), False, setup.say
        self._ray = connected()
        try:
            self._head = Head(self._ray.get_runtime_context().gcs_address)
            most = most_workers(self._ray, cpus, memory_gib)
            workers = setup.workers or most
            self._made = self._ray.remote(concurrency_groups={"say": 1, "hear": 1, "ask": 1})(Relay).options(
                num_cpus=cpus, memory=int(memory_gib * 2**30), max_restarts=0
            )
            self._begin = (
                __version__,
                os.getcwd(),
                {k: v for k, v in os.environ.items() if k.startswith(_HANDED_ON) or k.lower() in _PROXIES},
                config_digest(setup.start.store),
                pickle.dumps(replace(setup.start, load=partial(divided, setup.start.load, workers))),
            )
            # memory is each node's own affair: see _places
            super().__init__(replace(setup, workers=workers), standstill_s(), float("inf"))
        except BaseException:  # an interruption too; and it is raised on
            self._ray.shutdown()
            raise

    def _new(self) -> _Relayed:
        return _Relayed(self._ray, self._made.remote(), self._begin, self._limit_s)

    def _places(self, needs: Needs) -> Mapping[int, Place]:
        """Workers that are ready, on nodes with so much memory left."""
        ready = {i: worker for i, worker in enumerate(self._workers) if worker.ready}
        held: dict[str, float] = defaultdict(float)
        for worker in ready.values():
            held[worker.at.node] += worker.place.memory_gib
        return {
            i: worker.place
            for i, worker in ready.items()
            if not held[worker.at.node] or held[worker.at.node] + needs.memory_gib <= worker.at.memory_gib
        }

    def _listen(self, timeout_s: float) -> Mapping[int, list[object]]:
        """See :class:`Pool`.

        Raises:
            MachineError: The cluster has no room for any worker, or they end before they are ready, or it is gone.
        """
        self._head.check()
        pending = [worker.pending for worker in self._workers if worker.pending is not None]
        if pending:
            self._ray.wait(pending, num_returns=1, timeout=timeout_s)
            pending, _ = self._ray.wait(pending, num_returns=len(pending), timeout=0)
        else:
            time.sleep(timeout_s)
        came = set(pending)
        said: dict[int, list[object]] = {}
        for i, worker in enumerate(self._workers):
            before = worker.greeted
            if messages := worker.listen(arrived=worker.pending in came):
                said[i] = messages
            if worker.greeted:
                self._stillborn = self._stillborn if before else 0
            elif any(isinstance(message, Gone) for message in messages):
                self._stillborn += 1
                if self._stillborn >= _STILLBORN + len(self._workers):
                    raise MachineError(f"no worker can begin on the Ray cluster: {worker.ending.said}")
        if any(worker.ready for worker in self._workers):
            self._ready_at, self._told = time.monotonic(), False
        elif (lapse_s := time.monotonic() - self._ready_at) > self._limit_s:
            raise MachineError(
                f"for {self._limit_s:g} s the Ray cluster had no room for a worker. Everything finished is kept; see "
                "`ray status`, then give the same command again."
            )
        elif lapse_s > _TOLD_S and not self._told:
            self._told = True
            self._say(
                "no worker has begun on the Ray cluster yet: it may have no room, which `ray status` tells."
            )
        return said

    def elsewhere(self) -> Iterator[WorkerAt]:
        """See :class:`Executor`."""
        for worker in list(self._workers):
            if worker.ready:
                doing = by_stage(worker.tasks)
                yield WorkerAt(host=worker.at.host, pid=worker.at.pid, since=worker.since, tasks=doing)

    def close(self) -> None:
        """See :class:`Executor`."""
        for worker in self._workers:
            worker.kill()
        self._workers.clear()  # nobody is told of them any more
        self._ray.shutdown()


class _Relayed(Worker):
    """A worker process on some node, and the actor through which it is spoken to.

    Attributes:
        pending: What we wait for: that it begins, then what it says; None once it is lost.
        at: Where it is, once it has begun.
        since: When it had, in Unix time.
        greeted: It has loaded what it works with.
        ending: How it ended, once it has.
    """

    def __init__(self, ray: Any, actor: Any, begin: tuple[Any, ...], limit_s: float) -> None:
        super().__init__(limit_s)
        self._ray, self._actor = ray, actor
        self.pending = self._call("say", actor.begin, *begin)
        self.at, self.since, self.greeted, self.ending = Begun(), 0.0, False, Ending("was lost")
        self._gone_at = self._heard_at = 0.0

    @staticmethod
    def _call(group: str, method: Any, *args: Any) -> Any:
        return method.options(concurrency_group=group).remote(*args)

    @property
    def ready(self) -> bool:
        """Say whether it may be given tasks."""
        return self.greeted and self.pending is not None

    @property
    def pid(self) -> str:
        """See :class:`Worker`."""
        return f"{self.at.host}:{self.at.pid}"

    def send(self, message: object) -> None:
        """See :class:`Worker`."""
        self._call("say", self._actor.say, pickle.dumps(message))

    def stack(self) -> str:
        """See :class:`Worker`."""
        with suppress(self._ray.exceptions.RayError):
            said: str = self._ray.get(self._call("ask", self._actor.stack), timeout=5)
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
            if not self.greeted:
                self.liveness.heard()  # it waits for room, or loads
            return []
        try:
            answer = self._ray.get(self.pending)
        except self._ray.exceptions.RayError as err:
            if isinstance(cause := getattr(err, "cause", None), MachineError):
                raise cause from None
            if "No module named 'gristmill" in str(err):
                at = _ADDRESS.search(str(err))
                raise MachineError(
                    f"{f'node {at[1]}' if at else 'a node'} of the Ray cluster has no Gristmill, or another version "
                    f"of it, in the Python that Ray runs in. Install {__version__} there with the extra `ray`, as on "
                    "this machine; then give the same command again."
                ) from None
            last = str(err).strip().splitlines()[-1:]
            self.ending = Ending(f"was lost with its actor ({''.join(last)})", blameless=True)
            self.pending, self._gone_at = None, self._heard_at + _CUT_OFF_S
            return []
        self._heard_at = time.monotonic()
        said: list[object] = []
        if isinstance(answer, Begun):
            self.at, self.since = answer, time.time()
        else:
            messages, ending = answer
            said += map(pickle.loads, messages)
            self.greeted = self.greeted or any(isinstance(message, Hello) for message in said)
            if ending is not None:
                self.ending = ending
                return [*said, Gone()]
        self.pending = self._call("hear", self._actor.hear)
        return said


def divided(load: Callable[[], Recipe], workers: int) -> Recipe:
    """Load a recipe for one of so many workers: what its steps may ask of one host is divided by them.

    Args:
        load: As in :class:`gristmill.run.workers.messages.WorkerStart`.
        workers: On the whole cluster.
    """
    recipe = load()
    return replace(recipe, steps=tuple(step.divided(workers) for step in recipe.steps))


EXECUTOR = OnRay
