"""The samples of one crawl task without those whose keys an earlier one has."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.run.stages._changed_index import write_changed
from gristmill.run.stages.unique import UniqueDecision
from gristmill.run.state import layout
from gristmill.run.state.context import Context, Work
from gristmill.shards.samples import decode_sample
from gristmill.spec.errors import DamagedOutput
from gristmill.spec.fate import DOCUMENT_LOST, KEPT, Fate
from gristmill.spec.reasons import Reason
from gristmill.spec.task import Task

__all__ = ["run_unique"]

_DIGEST = np.dtype("S16")
_DIGEST_BYTES = _DIGEST.itemsize
Digests = Any


def run_unique(task: Task, decision: UniqueDecision, context: Context, work: Work) -> None:
    """Drop what repeats a key, in a new index if there is any; write the keys that are new, sorted.

    The first input is the crawl task's index, the others are runs: the keys of all tasks before it.
    """
    index = task.inputs[0]
    lines = pq.read_table(context.input(index), columns=["key", "reason"])
    kept = np.flatnonzero(lines["reason"].is_null().to_numpy())
    keys = lines["key"].take(pa.array(kept)).to_pylist()
    own = np.array([_digest(key) for key in keys], dtype=_DIGEST)
    runs = [_read(context.input(run), run.samples) for run in task.inputs[1:]]
    again = np.zeros(len(own), dtype=bool)
    for run in runs:
        context.check_stop()
        again |= run[np.minimum(np.searchsorted(run, own), len(run) - 1)] == own
    work.samples_in, work.kept = index.samples, index.samples - int(again.sum())
    if again.any():
        work.dropped[str(Reason.DUPLICATE_KEY)] = int(again.sum())
        _drop(kept[again].tolist(), task, context, work)
    merged = [own[~again], *runs[len(runs) - decision.merge :]]
    new = np.sort(np.concatenate(merged))
    with context.output("keys", layout.decision(task, ".keys"), samples=len(new)) as out:
        out.stream.write(new.tobytes())
    work.outputs.append(out.info)


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=_DIGEST_BYTES).digest()


def _read(path: Path, keys: int) -> Digests:
    try:
        return np.memmap(path, dtype=_DIGEST, mode="r", shape=(keys,))
    except (OSError, ValueError) as err:
        raise DamagedOutput(
            f"{path} does not hold the {keys:,} keys of its record: {err}. Remove it."
        ) from err


def _drop(positions: Sequence[int], task: Task, context: Context, work: Work) -> None:
    """Write the index without these lines' samples, and their fates."""
    lines = pq.read_table(context.input(task.inputs[0])).to_pylist()
    fates = []
    for position in positions:
        line = lines[position]
        sample = decode_sample(line["sample"])
        if sample.may_have_several:  # whose media are counted too
            work.facts["incomplete"] -= bool(sample.columns.get("missing_media"))
            work.media.update({DOCUMENT_LOST: len(sample.media), KEPT: -len(sample.media)})
        line.update(reason=str(Reason.DUPLICATE_KEY), media=[])
        fates.append(
            Fate(
                row=line["row"],
                key=line["key"],
                reason=Reason.DUPLICATE_KEY,
                detail="in an earlier task",
                attempt=task.number[0],
            )
        )
    write_changed(lines, fates, task, context, work)
