"""The main loop: gives tasks to an executor, commits their records, ends for one reason or another."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

from gristmill.ledger.at_work import Announced
from gristmill.ledger.claim import claim
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.words import count_text
from gristmill.run.begin import (
    Job,
    begin,
    drop_stale,
    look_up,
    restore,
    sweep,
    void_differing,
    void_without_media,
)
from gristmill.run.executors import Executor, NeighbourDied, Setup, WorkerDied, WorkerStood, find
from gristmill.run.inputs.resolve import Resolved
from gristmill.run.inputs.waiting import refuse_while_waiting
from gristmill.run.planning.planner import Planner
from gristmill.run.signals import ending_signals
from gristmill.run.state import layout
from gristmill.run.state.context import Progress
from gristmill.run.workers.launch import Launched
from gristmill.run.workers.messages import Failed, Finished, WorkerStart
from gristmill.spec.errors import (
    Busy,
    GristmillError,
    Interrupted,
    MachineError,
    OursNotTheirs,
    RecipeError,
    Stopped,
    TaskFailed,
    UsageError,
)
from gristmill.spec.recipe import Recipe
from gristmill.spec.task import Task, TaskRecord
from gristmill.storage.arrow import pool_for_columns
from gristmill.storage.files import machine_error
from gristmill.storage.leases import Leases
from gristmill.storage.store import Place, Store, store_at

__all__ = ["Ended", "Watcher", "run"]

_FEWEST_FILES = 128
"""Open files that a crawl's processes need: connections, spools, decoders."""
_POLL_S = 0.5
_TIDYING_S = 2.0
"""Seconds of the grace, half of it at most, in which the signal is heard of and what has come is kept."""
_TRIES = 3
_DEATHS = 24
"""Workers that a task may kill which is searched by portions: each item that does so is found by a few deaths, and
then left out."""
_WAIT_S = 3600.0
_STOPPING = (
    "stopping: what is under way has up to {:g} s to end (--grace). The same signal again ends it at once."
)
_WAITING = "waiting for other runs on this folder: what is to be done here follows from what they are at."


class Watcher(Protocol):
    """Somebody who is told how a run goes."""

    def config(self, recipe: Recipe, config: RunConfig, ledger: Ledger, planner: Planner) -> None:
        """The run begins, or goes on."""

    def progress(self, progress: Progress) -> None:
        """A task got further."""

    def committed(self, record: TaskRecord) -> None:
        """A task is done."""

    def noted(self, record: TaskRecord) -> None:
        """Another run on the same folder has done a task."""

    def say(self, text: str) -> None:
        """Something a person must read."""

    def last_words(self, text: str) -> None:
        """As :meth:`say`, within a signal's handler and right before the process ends: without locks."""


@dataclass(slots=True)
class Ended:
    """Says how a run ended, if it was not stopped.

    Attributes:
        complete: Every shard of the dataset is packed.
    """

    recipe: Recipe
    config: RunConfig
    folder: Place
    complete: bool


@dataclass(slots=True)
class Running:
    """Holds what the loop keeps in mind."""

    planner: Planner
    ledger: Ledger
    leases: Leases
    watcher: Watcher
    announced: Announced
    when_settled: Callable[[], None] | None
    tasks: dict[str, Task] = field(default_factory=dict)
    elsewhere: dict[str, Task] = field(default_factory=dict)
    died: Counter[str] = field(default_factory=Counter)
    failures: list[GristmillError] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    fatal: GristmillError | None = None
    waiting_since: tuple[float, int] | None = None
    """When a wait for other runs last saw something happen, and how many records there were."""


def run(
    job: Job,
    watcher: Watcher,
    ready: list[Launched] | None = None,
    when_settled: Callable[[], None] = lambda: None,
) -> Ended:
    """Work on a dataset until everything that this process may do is done.

    Args:
        job: What to do.
        watcher: Is told how it goes.
        ready: Workers that are launched already; those that are used are taken out of it.
        when_settled: Called once, when nothing but shards is left to be made: this process has time then.

    Raises:
        Interrupted: A signal came; everything finished is kept.
        ByHandSource: A person must fetch a source first; the others are there.
        TaskFailed: Some tasks failed; all others are done.
        Busy: Another run holds what is left.
        MachineError: Disk full and the like.
        GristmillError: Whatever :func:`gristmill.run.begin.look_up` and ``begin`` raise.
    """
    store, stop = store_at(job.folder), Event()
    try:
        recipe, resolved = look_up(job)
        with ending_signals(stop, watcher.last_words, job.grace_s) as signalled:
            refuse_while_waiting(
                recipe, resolved, job.folder, lambda: _raise_if_signalled(signalled), watcher.say
            )
            for said in filter(None, (step.remark() for step in recipe.steps)):
                watcher.say(said)
            _try_conditions(job, store, watcher)
            with store.leases(layout.LEASES) as leases:
                return _run(
                    job, recipe, resolved, store, leases, watcher, signalled, stop, ready, when_settled
                )
    except OSError as err:
        raise machine_error(err, str(store)) from err


def _run(
    job: Job,
    recipe: Recipe,
    resolved: Resolved,
    store: Store,
    leases: Leases,
    watcher: Watcher,
    signalled: list[int],
    stop: Event,
    ready: list[Launched] | None,
    when_settled: Callable[[], None],
) -> Ended:
    if not leases.take("run", shared=True):
        raise Busy(f"{store} is being cleaned; give the same command again when that has ended.")
    with Announced(store, leases, share=job.share, span=job.span) as announced:
        gone = claim(announced, watcher.say, lambda: _raise_if_signalled(signalled))
        config, resolved = begin(job, recipe, resolved, leases)
        announced.take_up(gone)
        return _work(
            job,
            recipe,
            config,
            resolved,
            Ledger(store),
            leases,
            watcher,
            announced,
            signalled,
            stop,
            ready,
            when_settled,
        )


def _work(
    job: Job,
    recipe: Recipe,
    config: RunConfig,
    resolved: Resolved,
    ledger: Ledger,
    leases: Leases,
    watcher: Watcher,
    announced: Announced,
    signalled: list[int],
    stop: Event,
    ready: list[Launched] | None,
    when_settled: Callable[[], None],
) -> Ended:
    store = ledger.store
    if leases.take("restore"):  # one run at a time may judge what an earlier one left
        ledger.merge_left(announced.others)
        for sentence in restore(config, ledger)[:5]:
            watcher.say(sentence)
        leases.release("restore")
    span = range(*job.span) if job.span else range(len(config.inputs))
    planner = Planner(recipe, config, ledger, span, job.last, job.share)
    while void_without_media(planner, ledger):
        watcher.say("a shard is lost and what it was made of was cleaned away: that is made anew first.")
        planner = Planner(recipe, config, ledger, span, job.last, job.share)
    watcher.config(recipe, config, ledger, planner)
    state = Running(planner, ledger, leases, watcher, announced, when_settled)
    announced.in_hand = state.tasks
    crawls = recipe.asks
    if crawls:
        check_open_files()
    start = WorkerStart(
        load=job.load,
        store=store,
        inputs=resolved.inputs,
        remotes=resolved.remotes,
        aux=resolved.aux,
        media=resolved.media,
        only=config.only,
        first=span.start,
        grace_s=max(job.grace_s / 2, job.grace_s - _TIDYING_S),
        arrow_pool="system" if crawls else pool_for_columns(),
    )
    try:
        if not planner.complete:
            executor = find(job.on, job.workers)(
                Setup(
                    start=start,
                    workers=job.workers,
                    needs=lambda task: planner.stage(task).needs,
                    stop=stop,
                    ready=[] if ready is None else ready,
                    say=watcher.say,
                )
            )
            announced.workers = executor.elsewhere
            try:
                _loop(state, executor, signalled, job.grace_s)
            finally:
                executor.close()
        _raise_if_unfinished(state, signalled, alone=job.span is None and job.share is None)
        if planner.complete:
            if said := void_differing(ledger):
                raise Busy(f"{store}: {said[0]} Give the same command again when that one has ended.")
            drop_stale(planner, ledger)
            sweep(store)  # once more: a killed run's workers may have outlived it by a moment
            announced.complete()
    finally:
        ledger.close()
    if planner.complete:  # nobody begins any more who would find much to merge
        ledger.merge_left(announced.others, fewest=2)
    return Ended(recipe, config, job.folder, planner.complete)


def _try_conditions(job: Job, store: Store, watcher: Watcher) -> None:
    """Find out whether a store keeps what is put first, on which several commands on one dataset rely.

    Raises:
        UsageError: It does not, and this is to be one of several.
    """
    if store.keeps_what_is_first():
        return
    told = f"{store} puts a file in the place of another though it is asked not to"
    if job.share is not None:
        raise UsageError(f"{told}, so that no two commands can work there: give one command without --share.")
    watcher.say(
        f"{told}: give no second command on this dataset, from any machine, before this one has ended."
    )


def check_open_files() -> None:
    """Refuse to crawl where a process may have so few files open that requests only fail for want of one.

    Raises:
        MachineError: It is so.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < _FEWEST_FILES:
        raise MachineError(
            f"a process may have {most} files open here (`ulimit -n`), and a crawl needs at least {_FEWEST_FILES}. "
            f"Give: ulimit -n {_FEWEST_FILES * 8}, then the same command again. Nothing was asked for."
        )


def _loop(state: Running, executor: Executor, signalled: list[int], grace_s: float) -> None:
    stopping_since: float | None = None
    while True:
        if stopping_since is None and (signalled or state.fatal):
            stopping_since = time.monotonic()
            executor.stop()
            if signalled:
                state.watcher.say(_STOPPING.format(grace_s))
        crowded = stopping_since is None and _submit(state, executor)
        settled = stopping_since is None and state.planner.settled and state.tasks
        if settled and state.when_settled is not None:
            state.when_settled()
            state.when_settled = None
        if not state.tasks and not crowded:
            if stopping_since is not None:
                return
            if _waits_for_others(state):
                time.sleep(_POLL_S)
            elif not _take_note(state, now=True):  # the one that ends last must see what all others did
                return
            continue
        if stopping_since is not None and time.monotonic() - stopping_since > grace_s:
            return  # closing the executor ends what does not end by itself
        for event in executor.events(_POLL_S):
            if isinstance(event, Finished):
                _commit(state, event)
            elif isinstance(event, Failed):
                _fail(state, event)
            else:
                state.watcher.progress(event)


def _submit(state: Running, executor: Executor) -> bool:
    """Give out tasks while there is room, leaving those that another run holds; whether one waits for room."""
    _look_around(state)
    while (task := state.planner.pop()) is not None:
        if not executor.room(task):
            state.planner.push(task)
            return True
        if not state.leases.take(task.id):
            state.elsewhere[task.id] = task
            continue
        # it may have been done between our last look and the lease
        _look_around(state, now=state.planner.may_be_done_twice(task))
        if task.id in state.ledger.records:
            state.leases.release(task.id)
            continue
        state.tasks[task.id] = task
        executor.submit(task)
    return False


def _look_around(state: Running, *, now: bool = False) -> None:
    """Take note of what other runs on the same folder did; try again for what they have let go."""
    _take_note(state, now=now)
    for task in list(state.elsewhere.values()):
        if state.leases.take(task.id):
            state.leases.release(task.id)
            del state.elsewhere[task.id]
            state.planner.push(task)


def _take_note(state: Running, *, now: bool = False) -> bool:
    """Take in what other runs have done since the last time; whether there was anything."""
    new = state.ledger.refresh(now=now)
    for record in new:
        state.elsewhere.pop(record.task_id, None)
        state.watcher.noted(record)
        state.planner.absorb(record)
    return bool(new)


def _waits_for_others(state: Running) -> bool:
    """Whether to wait: there is nothing to do here before other runs have done what they are at.

    Each of theirs ends, or its lease does; runs in which nothing is done at all are not waited for.
    """
    if not state.planner.hangs_on(state.elsewhere.values()):
        state.waiting_since = None
        return False
    known = len(state.ledger.records)
    if state.waiting_since is None and _WAITING not in state.told:
        state.told.add(_WAITING)
        state.watcher.say(_WAITING)
    if state.waiting_since is None or state.waiting_since[1] != known:
        state.waiting_since = (time.monotonic(), known)
    return time.monotonic() - state.waiting_since[0] < _WAIT_S


def _commit(state: Running, event: Finished) -> None:
    task, record = event.task, event.record
    try:
        state.announced.check()
        state.ledger.commit(record)
    except (OSError, MachineError, Busy) as err:
        state.fatal = machine_error(err, str(state.ledger.store)) if isinstance(err, OSError) else err
        del state.tasks[task.id]
        return
    del state.tasks[task.id]
    state.leases.release(task.id)
    state.watcher.committed(record)
    state.planner.absorb(record)
    if (name := state.planner.spent(record)) is not None:
        _release_source(name, state.ledger.store)


def _release_source(name: str, store: Store) -> None:
    """Remove a fetched annotation file whose rows all have their place: disk need not hold all of them."""
    for folder in store.work(layout.SOURCES).glob("*"):
        with suppress(FileNotFoundError):
            (folder / name).unlink()


def _fail(state: Running, event: Failed) -> None:
    task, error = event.task, event.error
    del state.tasks[task.id]
    state.leases.release(task.id)
    if isinstance(error, Stopped):
        return
    if isinstance(error, WorkerDied):
        state.died[task.id] += not isinstance(error, NeighbourDied)
        searched = state.planner.stage(task).by_portions and not isinstance(error, WorkerStood)
        if state.died[task.id] < (_DEATHS if searched else _TRIES):
            state.watcher.say(f"{error}; it is tried again.")
            state.planner.push(task)
            return
    if isinstance(error, (MachineError, OursNotTheirs, RecipeError)):
        state.fatal = error
    else:
        if str(error) not in state.told:  # a hub that lets nobody in says so of each file
            state.told.add(str(error))
            state.watcher.say(str(error))
        error.told = "a task failed; why, and what to do, is said above."
        state.failures.append(error)


def _raise_if_signalled(signalled: list[int]) -> None:
    if signalled:
        raise Interrupted(signalled[0])


def _raise_if_unfinished(state: Running, signalled: list[int], *, alone: bool) -> None:
    _raise_if_signalled(signalled)
    if state.fatal:
        raise state.fatal
    if len(state.failures) == 1:
        raise state.failures[0]
    if state.failures:
        many = f"{count_text(len(state.failures), 'task')} failed, all others are done."
        then = "Put it right, then give the same command again: only they are done anew."
        failed = TaskFailed(f"{many} The first: {state.failures[0]}\n{then}")
        failed.told = f"{many} Why is said above. {then}"
        raise failed
    hangs = state.planner.hangs_on(state.elsewhere.values())
    if state.elsewhere and (alone or hangs):
        rest = "all that is left follows from that" if hangs else "all that can be done beside that is done"
        raise Busy(
            f"another run on this folder holds {count_text(len(state.elsewhere), 'task')} still to be done; {rest}. "
            "It will finish that; or give the same command again when it has ended."
        )
