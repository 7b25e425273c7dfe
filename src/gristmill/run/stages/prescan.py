"""A survey: what a step over tables must know of one annotation file before it chooses rows in any."""

from __future__ import annotations

from gristmill.run.stages.tables import InputTable
from gristmill.run.state.context import Context, Work
from gristmill.spec.errors import RecipeError
from gristmill.spec.step import PrescanStep, TableStep
from gristmill.spec.task import Task

__all__ = ["run_prescan"]


def run_prescan(step: TableStep, task: Task, context: Context, work: Work) -> None:
    """Look at one annotation file.

    Raises:
        RecipeError: The step surveys nothing.
    """
    if not isinstance(step, PrescanStep):
        raise RecipeError(f"{step.name} surveys nothing; no survey task can stand for it")
    file = InputTable(context.inputs[task.number[1]], task, context, work)
    try:
        with file.read_by_a_step():
            work.found = step.prescan(file)
    finally:
        file.close()
