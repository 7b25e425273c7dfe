"""One task, from its inputs to its record."""

from __future__ import annotations

import os
import socket
import time

from gristmill import __version__
from gristmill.run.planning.pipeline import Pipeline
from gristmill.run.state.context import Context, Work
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
    Pipeline(recipe)[task.stage].work(recipe, task, context, work)
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
        shape=work.shape,
    )
