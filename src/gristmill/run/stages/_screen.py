"""Screening: the samples of one task without the media on the blocklist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.ledger.fates import fates_table
from gristmill.run.stages._changed_index import write_changed
from gristmill.run.state import layout
from gristmill.run.state.context import Context, Work
from gristmill.shards.samples import decode_sample, encode_sample
from gristmill.spec.barrier import GlobalFilter
from gristmill.spec.fate import DOCUMENT_LOST, KEPT, Fate, fate_of
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, Sample
from gristmill.spec.step import SampleStep, ShardStep
from gristmill.spec.task import Task

__all__ = ["run_screen"]

Line = dict[str, Any]


def run_screen(
    step: GlobalFilter,
    steps: Sequence[SampleStep | ShardStep],
    task: Task,
    context: Context,
    work: Work,
) -> None:
    """Take media on the blocklist from the samples of one task; where there are any, write a new index.

    Media stay in the spool. Fates that change are written once more; the later fate of a medium holds.
    """
    index = task.inputs[0]
    work.samples_in = work.kept = index.samples
    blocklist = _blocklist(context.input(task.inputs[1]))
    if task.number[0] == 0:  # a retry's samples have media of earlier rounds too
        beside = context.store.fetch(layout.fates_beside(index))
        fates = pq.read_table(beside, columns=list(step.columns))
        if not step.flagged(fates, blocklist).any():
            return
    lines = pq.read_table(context.input(index)).to_pylist()
    drop = Drop(reason=Reason(min(step.drops)), detail="many addresses answered with this picture")
    told: list[Fate] = []
    for line, sample, lost in _condemned(lines, step, blocklist, drop, attempt=task.number[0]):
        context.check_stop()
        _change(line, sample, lost, _keeper(steps), drop, work)
        told += lost
    if told:
        write_changed(lines, told, task, context, work)


@lru_cache(maxsize=2)
def _blocklist(path: Path) -> pa.Table:
    """One blocklist serves all tasks of its round."""
    return pq.read_table(path)


def _keeper(steps: Sequence[SampleStep | ShardStep]) -> ShardStep | None:
    """The step that brought the media, and so knows what a sample is without some."""
    return next((step for step in reversed(steps) if isinstance(step, ShardStep)), None)


def _condemned(
    lines: Sequence[Line], step: GlobalFilter, blocklist: pa.Table, drop: Drop, *, attempt: int
) -> Iterator[tuple[Line, Sample, list[Fate]]]:
    """Kept samples with media on the blocklist, and the new fates of these."""
    kept = [(line, decode_sample(line["sample"])) for line in lines if line["reason"] is None]
    fates = [fate_of(sample, name, attempt=attempt) for _, sample in kept for name in sample.media]
    mask = step.flagged(fates_table(fates, source="", file=""), blocklist)
    of_row: dict[int, list[Fate]] = {}
    for place in np.flatnonzero(mask).tolist():
        lost = replace(fates[place], reason=drop.reason, detail=drop.detail)
        of_row.setdefault(lost.row, []).append(lost)
    for line, sample in kept:
        if line["row"] in of_row:
            yield line, sample, of_row[line["row"]]


def _change(
    line: Line, sample: Sample, lost: Sequence[Fate], keeper: ShardStep | None, drop: Drop, work: Work
) -> None:
    """Change a sample's line in the index, and account for it."""
    names = [fate.medium for fate in lost]
    media: Counter[str] = Counter({str(drop.reason): len(names), KEPT: -len(names)})
    outcome = keeper.without(sample, names, drop) if keeper else drop
    if isinstance(outcome, Drop):
        work.kept -= 1
        work.dropped[str(outcome.reason)] += 1
        left_behind = len(sample.media) - len(names)
        media.update({DOCUMENT_LOST: left_behind, KEPT: -left_behind})
        line.update(reason=str(outcome.reason), media=[])
    else:
        body = encode_sample(outcome)
        left = [medium for medium in line["media"] if medium["name"] in outcome.media]
        line.update(sample=body, media=left, size_bytes=len(body) + sum(medium["size"] for medium in left))
    if sample.may_have_several:  # whose media are counted too
        lacked = bool(sample.columns.get("missing_media"))
        work.facts["incomplete"] += (not isinstance(outcome, Drop)) - lacked
        work.media.update(media)
