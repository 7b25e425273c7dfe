"""Between scattering and gathering: whether parts of a mixture have keys in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gristmill.ledger.reading import PartShards
from gristmill.run.stages._scatter import bodies_of
from gristmill.run.state.context import Context
from gristmill.shards.extents import key_at
from gristmill.shards.references import ShardOrigin
from gristmill.shards.scattered import read_rows
from gristmill.spec.errors import UsageError
from gristmill.spec.task import Task

__all__ = ["run_keys"]

_AT_ONCE = 1 << 23
"""Keys compared in one pass, at 8 bytes each; more are compared in several, each over another range."""
_LOOKED_UP = 1000


def run_keys(task: Task, context: Context) -> None:
    """Compare the keys of all samples, by 64-bit hashes and, where these agree, by what they are.

    Raises:
        UsageError: Two samples have the same key.
    """
    samples = sum(scattered.samples for scattered in task.inputs)
    passes = max(1, -(-samples // _AT_ONCE))
    for turn in range(passes):
        context.check_stop()
        found = [
            keys[keys % np.uint64(passes) == turn] if passes > 1 else keys
            for keys in (_table(task, n, context)[1]["key"] for n in range(len(task.inputs)))
        ]
        keys = np.sort(np.concatenate(found)) if found else np.empty(0, np.uint64)
        again = np.unique(keys[1:][keys[1:] == keys[:-1]])
        if len(again):
            _refuse_repeats(task, context, again[:_LOOKED_UP])


def _table(task: Task, number: int, context: Context) -> tuple[dict[str, Any], Any]:
    """Rows of one input; further copies get keys of their own."""
    head, rows = read_rows(context.input(task.inputs[number]))
    return head, rows[rows["copy"] == 0]


def _refuse_repeats(task: Task, context: Context, hashes: Any) -> None:
    seen: dict[str, str] = {}
    for key, place in _places(task, context, hashes):
        if key in seen:
            raise UsageError(
                f"key {key} is in {seen[key]} and in {place}: a mixture's keys are unique. Give one of the parts "
                'a prefix in the mixture\'s file, prefix = "x-", and mix into another folder.'
            )
        seen[key] = place


def _places(task: Task, context: Context, hashes: Any) -> Iterator[tuple[str, str]]:
    """Key and place of the samples whose keys have these hashes."""
    parts = PartShards(context.store, context.inputs)
    for number, scattered in enumerate(task.inputs):
        head, rows = _table(task, number, context)
        file = context.inputs[head["input"]]
        for row in rows[np.isin(rows["key"], hashes)]:
            prefix, suffix = head["prefix"], ""
            if head["files"] is None:
                place = bodies_of(scattered, context)
            else:
                origin = ShardOrigin(**head["files"][int(row["file"])])
                place = parts.place(origin.part, origin.shard)
                prefix, suffix = prefix + origin.prefix, origin.suffix
            key = key_at(place, int(row["offset"]))
            yield f"{prefix}{key}{suffix}", f"{file.source} ({file.name})"
