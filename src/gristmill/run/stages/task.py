"""One task, from its inputs to its record."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from gristmill import __version__
from gristmill.run.planning.pipeline import (
    GATHER,
    KEYS,
    PACK,
    PRESCAN,
    ROWS,
    SAMPLES,
    SCATTER,
    SCREEN,
    STATISTICS,
    UNIQUE,
    Stages,
    stages_of,
)
from gristmill.run.state.context import Context, Work
from gristmill.spec.errors import RecipeError
from gristmill.spec.recipe import Recipe
from gristmill.spec.task import Task, TaskRecord

__all__ = ["run_task"]

Kind = TypeVar("Kind")


def run_task(recipe: Recipe, task: Task, context: Context) -> TaskRecord:
    """Do a task; its outputs are whole when this returns, and it is done when the record is committed.

    Raises:
        Stopped: The run was asked to stop.
        GristmillError: The task failed, with a sentence.
        OSError: The machine failed.
    """
    started = time.monotonic()
    work = Work()
    _DOING[task.stage](recipe, stages_of(recipe), task, context, work)
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


_Doing = Callable[[Recipe, Stages, Task, Context, Work], None]


# Each stage's code is loaded with its first task: many a run has few stages, and the driver does none.


def _prescan(recipe: Recipe, stages: Stages, task: Task, context: Context, work: Work) -> None:
    from gristmill.run.stages.prescan import run_prescan

    run_prescan(_need(stages.table), task, context, work)


def _rows(recipe: Recipe, stages: Stages, task: Task, context: Context, work: Work) -> None:
    from gristmill.run.stages.rows import run_rows

    run_rows(_need(stages.table), recipe, task, context, work)


def _samples(recipe: Recipe, stages: Stages, task: Task, context: Context, work: Work) -> None:
    from gristmill.run.stages.samples import run_samples

    run_samples(stages.samples, recipe, task, context, work)


def _filter(recipe: Recipe, stages: Stages, task: Task, context: Context, work: Work) -> None:
    from gristmill.run.stages.statistics import run_statistics

    run_statistics(stages, task, context, work)


def _apply_blocklist(recipe: Recipe, stages: Stages, task: Task, context: Context, work: Work) -> None:
    from gristmill.run.stages.screen import run_screen

    run_screen(stages, task, context, work)


def _unique(recipe: Recipe, stages: Stages, task: Task, context: Context, work: Work) -> None:
    from gristmill.run.stages.unique import run_unique

    run_unique(task, context, work)


def _scatter(recipe: Recipe, stages: Stages, task: Task, context: Context, work: Work) -> None:
    from gristmill.run.stages.scatter import run_scatter

    run_scatter(_need(stages.shuffle), task, context, work)


def _keys(recipe: Recipe, stages: Stages, task: Task, context: Context, work: Work) -> None:
    from gristmill.run.stages.keys import run_keys

    run_keys(task, context)


def _gather(recipe: Recipe, stages: Stages, task: Task, context: Context, work: Work) -> None:
    from gristmill.run.stages.gather import run_gather

    run_gather(task, context, work)


def _pack(recipe: Recipe, stages: Stages, task: Task, context: Context, work: Work) -> None:
    from gristmill.run.stages.pack import run_pack

    run_pack(_need(stages.packer), task, context, work)


_DOING: Mapping[str, _Doing] = {
    PRESCAN: _prescan,
    ROWS: _rows,
    SAMPLES: _samples,
    STATISTICS: _filter,
    SCREEN: _apply_blocklist,
    UNIQUE: _unique,
    SCATTER: _scatter,
    KEYS: _keys,
    GATHER: _gather,
    PACK: _pack,
}
"""What does a task, by its stage."""


def _need(step: Kind | None) -> Kind:
    if step is None:
        raise RecipeError("the recipe has no step for this task; whoever planned it had another recipe")
    return step
