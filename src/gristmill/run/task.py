"""One task, from its inputs to its record."""

from __future__ import annotations

import os
import socket
import time

from gristmill import __version__
from gristmill.run.context import Context, Work
from gristmill.run.pipeline import CENSUS, KEYS, PACK, ROWS, SCATTER, SIFT, SURVEY, Stages, stages_of
from gristmill.run.stages.census import run_census
from gristmill.run.stages.gather import run_gather
from gristmill.run.stages.keys import run_keys
from gristmill.run.stages.pack import run_pack
from gristmill.run.stages.rows import run_rows
from gristmill.run.stages.samples import run_samples
from gristmill.run.stages.scatter import run_scatter
from gristmill.run.stages.sift import run_sift
from gristmill.run.stages.survey import run_survey
from gristmill.spec.barrier import Barrier
from gristmill.spec.recipe import Recipe
from gristmill.spec.task import Task, TaskRecord

__all__ = ["run_task"]


def run_task(recipe: Recipe, task: Task, context: Context) -> TaskRecord:
    """Do a task; its outputs are whole when this returns, and it is done when the record is committed.

    Raises:
        Stopped: The run was asked to stop.
        GristmillError: The task failed, with a sentence.
        OSError: The machine failed.
    """
    started = time.monotonic()
    work = Work()
    _work_on(recipe, stages_of(recipe), task, context, work)
    return TaskRecord(
        task_id=task.id,
        stage=task.stage,
        number=task.number,
        outputs=tuple(work.outputs),
        samples_in=work.samples_in,
        kept=work.kept,
        dropped=dict(sorted(work.dropped.items())),
        retried=dict(sorted(work.retried.items())),
        hosts=dict(work.hosts),
        media={fate: n for fate, n in sorted(work.media.items()) if n},
        facts=dict(work.facts),
        notes=tuple(work.notes),
        seconds=round(time.monotonic() - started, 3),
        finished_at=round(time.time(), 3),
        host=f"{socket.gethostname()}:{os.getpid()}",
        code_version=__version__,
        found=work.found,
    )


def _work_on(recipe: Recipe, stages: Stages, task: Task, context: Context, work: Work) -> None:
    if task.stage == ROWS and stages.table is not None:
        run_rows(stages.table, task, context, work)
    elif task.stage == SURVEY and stages.table is not None:
        run_survey(stages.table, task, context, work)
    elif task.stage == CENSUS:
        run_census(stages, task, context, work)
    elif task.stage == SIFT:
        run_sift(stages, task, context, work)
    elif task.stage == SCATTER and stages.exchange is not None:
        run_scatter(stages.exchange, task, context, work)
    elif task.stage == KEYS:
        run_keys(task, context)
    elif task.stage == PACK and isinstance(stages.barrier, Barrier):
        run_pack(stages.barrier, task, context, work)
    elif task.stage == PACK:
        run_gather(task, context, work)
    else:
        run_samples(stages.samples, recipe, task, context, work)
