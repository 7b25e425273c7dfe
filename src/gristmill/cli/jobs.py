"""Makes of what a person typed the job of one recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gristmill.cli.evaluation_lists import with_lists
from gristmill.cli.options import circumstances_of, default_workers, recipe_loader
from gristmill.run.begin import Job
from gristmill.spec.place import path_here
from gristmill.storage.store import Place

__all__ = ["recipe_job"]


def recipe_job(
    name: str,
    out: Place,
    *,
    sources: Mapping[str, str],
    settings: Mapping[str, str],
    runtime: Mapping[str, str],
    only: int | None = None,
    workers: int | None = None,
    span: tuple[int, int] | None = None,
    share: tuple[int, int] | None = None,
    on: str = "",
) -> Job:
    """The job of preparing one recipe under ``out``.

    Args:
        name: Of the recipe, or the path of its file.
        out: Where datasets go; this one into a folder of its own name.
        sources: Source key to a copy or mirror.
        settings: ``STEP.FIELD`` to value, as typed.
        runtime: Settings that say how; those of steps that the recipe does not have are left out.
        only: So many rows of each file.
        workers: Processes; one per core if None.
        span: Positions of annotation files.
        share: Which of how many commands this is.
        on: The executor.

    Raises:
        UnknownName: No such recipe, step or setting.
        UsageError: A setting has a wrong value.
    """
    own = circumstances_of(recipe_loader(name)(), runtime)
    recipe = recipe_loader(name, None, {**settings, **own})()
    folder = out / recipe.public_name
    settings = with_lists(recipe, settings, folder)
    return Job(
        load=recipe_loader(name, None, {**settings, **own}),
        reference=str(Path(path_here(name)).resolve()) if name.endswith((".py", ".toml")) else name,
        folder=folder,
        settings=settings,
        runtime=own,
        replaced=sources,
        only=only,
        span=span,
        share=share,
        on=on,
        workers=default_workers(on) if workers is None else workers,
    )
