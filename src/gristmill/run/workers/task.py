"""One task, from its inputs to its record, or to the reason why there is none."""

from __future__ import annotations

import os
import pickle
import socket
import time
import traceback
from pathlib import Path

from gristmill import __version__
from gristmill.run.inputs.media import OpenedMedia, Watch
from gristmill.run.planning.pipeline import Pipeline
from gristmill.run.state.context import Context, Work
from gristmill.run.workers.messages import Failed, Finished
from gristmill.spec.errors import GristmillError, MachineError, Stopped, TaskFailed
from gristmill.spec.recipe import Recipe
from gristmill.spec.task import IN_STORE, Task, TaskRecord
from gristmill.storage.files import machine_error

__all__ = ["outcome_of", "run_task"]

_NO_THREAD = "can't start new thread"
"""All that Python says where the machine lets this process have no further thread; a plain ``RuntimeError``."""
_NO_MORE_THREADS = (
    "the machine lets this process start no further thread: too many run already, or memory is limited (see `ulimit "
    "-u` and `ulimit -v`). Nothing finished is lost: put it right, then give the same command again, perhaps with "
    "fewer --workers."
)


class _Stoppable(Watch):
    """Ends with the run."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def check(self) -> None:
        """See :class:`gristmill.run.inputs.media.Watch`.

        Raises:
            Stopped: The run is to stop.
        """
        self._context.check_stop()


def run_task(recipe: Recipe, task: Task, context: Context) -> TaskRecord:
    """Do a task; its outputs are whole when this returns, and it is done when the record is committed.

    Raises:
        Stopped: The run was asked to stop.
        GristmillError: The task failed, with a sentence.
        OSError: The machine failed.
    """
    started = time.monotonic()
    work = Work()
    if recipe.of_role("media") and not context.media_sources:
        context.media_sources = OpenedMedia(
            recipe,
            context.media,
            context.remotes,
            context.shared,
            _Stoppable(context),
            context.store,
        )
    stage = Pipeline(recipe)[task.stage]
    stage.work(recipe, task, context, work)
    return TaskRecord(
        task_id=task.id,
        stage=task.stage,
        number=task.number,
        outputs=tuple(work.outputs),
        samples_in=work.samples_in,
        kept=work.kept,
        account=stage.account,
        dropped=dict(sorted(work.dropped.items())),
        retried=dict(sorted(work.retried.items())),
        hosts=dict(work.hosts),
        media={fate: n for fate, n in sorted(work.media.items()) if n},
        facts={**work.facts, **{f"{IN_STORE}.{kind}": n for kind, n in context.store.asked().items() if n}},
        notes=tuple(work.notes),
        seconds=round(time.monotonic() - started, 3),
        finished_at=round(time.time(), 3),
        host=f"{socket.gethostname()}:{os.getpid()}",
        code_version=__version__,
        found=work.found,
        shape=work.shape,
    )


def outcome_of(recipe: Recipe, task: Task, context: Context) -> Finished | Failed:
    """Run a task and turn what may go wrong into a message that travels."""
    try:
        if context.stop.is_set():
            raise Stopped("the run was asked to stop")
        record = run_task(recipe, task, context)
        for shard in record.outputs:  # here, where they were made: the command may be on another machine
            if shard.role in ("index", "spool"):
                context.store.settle(shard.path, shard.digest)
        return Finished(task, record)
    except GristmillError as err:
        return Failed(task, _portable(err))
    except OSError as err:
        return Failed(task, machine_error(err, str(context.store)))
    except MemoryError:
        return Failed(task, TaskFailed(f"{task.stage} task {task.id}: memory is used up"))
    except Exception as err:  # noqa: BLE001 - a bug must cost one task and name itself, not hang the run
        if str(err) == _NO_THREAD:
            return Failed(task, MachineError(_NO_MORE_THREADS))
        last = traceback.extract_tb(err.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        text = f"{task.stage} task {task.id}: {type(err).__name__}: {err} ({where}). This is a bug; please report it."
        return Failed(task, TaskFailed(text))


def _portable(err: GristmillError) -> GristmillError:
    """The error itself if it survives pickling, else one of the same words."""
    try:
        pickle.loads(pickle.dumps(err))
    except (pickle.PicklingError, TypeError, AttributeError):
        return TaskFailed(str(err))
    return err
