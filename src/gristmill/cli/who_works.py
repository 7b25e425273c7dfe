"""Writes the lines of ``gristmill status`` about the commands that work on a dataset."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from gristmill.ledger.at_work import AtWork, WorkerAt
from gristmill.ledger.words import count_text, duration_text
from gristmill.run.planning.pipeline import verbs
from gristmill.spec.command import printable
from gristmill.spec.sample import Json

__all__ = ["who_works", "who_works_json"]

_LONGEST = 60
_LONGEST_SAID = 240
_MOST_HOSTS = 20


def who_works(found: Sequence[AtWork]) -> Iterator[str]:
    """Say it, a line for each command, and at the end what is to be typed where one has not done all."""
    now = time.time()
    for one in found:
        ago = f"{duration_text(max(0, now - one.seen))} ago"
        if one.exit_code is not None:
            said = printable(one.said)[:_LONGEST_SAID]
            yield f"ended with exit code {one.exit_code}: {one.title}; {ago} it said: {said}"
            continue
        state = "gone" if one.gone else "at work"
        state += ", if its clock is right" if one.lives is None else ""
        yield f"{state}: {one.title}; {ago} it had {_in_hand(one.tasks)} in hand"
        yield from _workers(one.workers, now)
    if not (gone := [one for one in found if one.gone]):
        return
    alone = "Nobody works on it now. " if len(gone) == len(found) else ""
    missing = " and ".join(dict.fromkeys(one.options for one in gone if one.options))
    given = f" with {missing}" if missing else ""
    whose = "it" if len(gone) == 1 else "they"
    yield f"{alone}What {whose} had finished is kept; the same command{given} does the rest."


def _in_hand(tasks: Mapping[str, int]) -> str:
    known = verbs()
    doing = [(known.get(stage, printable(stage)[:_LONGEST]), n) for stage, n in sorted(tasks.items())]
    return ", ".join(count_text(n, f"{verb} task") for verb, n in doing) or "nothing"


def _workers(found: Sequence[WorkerAt], now: float) -> Iterator[str]:
    """Say what a command's workers on other machines have in hand, a line a machine."""
    hosts: dict[str, list[WorkerAt]] = {}
    for one in found:
        hosts.setdefault(one.host, []).append(one)
    for host, there in sorted(hosts.items())[:_MOST_HOSTS]:
        doing: Counter[str] = Counter()
        for one in there:
            doing.update(one.tasks)
        lived = duration_text(max(0, now - min(one.since for one in there)))
        workers = f"{count_text(len(there), 'worker')}, for {lived}"
        yield f"  on {printable(host)[:_LONGEST]}: {workers}, with {_in_hand(doing)} in hand"
    if len(hosts) > _MOST_HOSTS:
        yield f"  and on {len(hosts) - _MOST_HOSTS:,} more; --json tells of all"


def _worker_json(one: WorkerAt) -> Json:
    return {"host": one.host, "pid": one.pid, "since": one.since, "tasks": dict(one.tasks)}


def who_works_json(found: Sequence[AtWork]) -> list[Json]:
    """The same as plain data."""
    return [
        {
            "host": one.host,
            "pid": one.pid,
            "job": one.job,
            "share": list(one.share) if one.share else None,
            "tasks_option": list(one.span) if one.span else None,
            "since": one.since,
            "seen": one.seen,
            "tasks": dict(one.tasks),
            "workers": [_worker_json(worker) for worker in one.workers],
            "exit_code": one.exit_code,
            "said": one.said,
            "lives": one.lives,
            "gone": one.gone,
        }
        for one in found
    ]
