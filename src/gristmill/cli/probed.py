"""``gristmill plan NAME --probe``: what is planned, and what a sample came to."""

from __future__ import annotations

import time
from collections.abc import Mapping

import click

from gristmill import mixtures
from gristmill.cli.list_place import is_list, list_recipe
from gristmill.cli.options import circumstances_of, default_workers, recipe_loader, recipes_of
from gristmill.run.inputs.resolve import resolve
from gristmill.run.planning.plan import Planned, plan
from gristmill.run.probing.findings import Probed
from gristmill.run.probing.probe import probe
from gristmill.spec.command import to_type
from gristmill.spec.errors import Stopped, UnknownName, UsageError
from gristmill.spec.recipe import Recipe
from gristmill.storage.store import Place

__all__ = ["probe_named"]

_EVERY_S = 10.0


def probe_named(
    name: str,
    rows: int,
    replaced: Mapping[str, str],
    settings: Mapping[str, str],
    runtime: Mapping[str, str],
    *,
    url_column: str,
    only: int | None,
    out: Place | None,
    workers: int | None,
) -> tuple[Planned, Probed]:
    """Plan the run of a recipe or a list, and ask for a sample of its media.

    Args:
        name: As typed.
        rows: Of the sample.
        replaced: ``--source`` values.
        settings: Of steps, as typed.
        runtime: How to ask.
        url_column: Of a list.
        only: Rows per annotation file of the run that is planned.
        out: Where datasets go, if that is said; of a list its folder.
        workers: Of that run; one per core if None.

    Raises:
        click.Abort: It was stopped before anything was known.
        UsageError: It has several parts, or crawls nothing.
        GristmillError: As :func:`gristmill.run.probing.probe.probe`.
    """
    if name in mixtures.groups() or mixtures.is_mixture(name):
        raise UsageError(_one_part(name))
    if is_list(name):
        return _probe(
            list_recipe(name, url_column, {**settings, **runtime}), replaced, rows, only, out, workers
        )
    if len(members := recipes_of(name)) > 1:
        raise UsageError(f"{name} stands for {', '.join(members)}, and --probe asks for one of them.")
    own = circumstances_of(recipe_loader(name)(), runtime)
    recipe: Recipe = recipe_loader(name, None, {**settings, **own})()
    folder = out / recipe.public_name if out else None
    return _probe(recipe, replaced, rows, only, folder, workers)


def _probe(
    recipe: Recipe,
    replaced: Mapping[str, str],
    rows: int,
    only: int | None,
    folder: Place | None,
    workers: int | None,
) -> tuple[Planned, Probed]:
    _check_crawls(recipe)
    found = resolve(recipe, replaced, folder)
    planned = plan(recipe, replaced, only=only, folder=folder, offline=False, found=found)

    def whole(share: float) -> int | None:
        if planned.rows is None:
            return planned.samples
        chosen = round(planned.rows * share)
        return chosen if only is None else min(chosen, only * planned.files)

    said_at = time.monotonic()

    def done(finished: int) -> None:
        nonlocal said_at
        if time.monotonic() - said_at > _EVERY_S:
            said_at = time.monotonic()
            click.echo(f"{finished:,} rows are finished", err=True)

    try:
        probed = probe(
            recipe,
            found,
            rows=rows,
            workers=default_workers() if workers is None else workers,
            whole=whole,
            whole_is=planned.rows_are,
            tell=lambda text: click.echo(text, err=True),
            done=done,
        )
    except Stopped as err:
        raise click.Abort from err
    return planned, probed


def _one_part(name: str) -> str:
    """Which parts of a mixture, or of a training's stages, can be probed, and how."""
    names = mixtures.groups().get(name, (name,))
    crawled = [part for mixture in names for part in _parts(mixture) if _crawls(part)]
    way = f": {to_type('plan', crawled[0], '--probe')} ..." if crawled else ""
    which = f"those that crawl are {', '.join(dict.fromkeys(crawled))}" if crawled else "none of them crawls"
    return f"{name} has several parts, and --probe asks for one; {which}{way}"


def _parts(mixture: str) -> list[str]:
    """Give what to type for each part: its recipe, its list, or its name."""
    parts = mixtures.find(mixture).parts
    return [part.command[1] if part.command[:1] in (("run",), ("crawl",)) else part.name for part in parts]


def _crawls(part: str) -> bool:
    if is_list(part):
        return True
    try:
        recipes_of(part)
        recipe: Recipe = recipe_loader(part)()
        _check_crawls(recipe)
    except (UnknownName, UsageError):
        return False
    return True


def _check_crawls(recipe: Recipe) -> None:
    if not any(step.name == "crawl" for step in recipe.steps):
        raise UsageError(f"{recipe.public_name} crawls no pictures: there is nothing to --probe.")
