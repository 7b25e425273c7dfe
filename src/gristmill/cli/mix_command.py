"""``gristmill mix NAME --out DIR``."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click

from gristmill.cli.options import (
    DatasetPlace,
    default_workers,
    grace_option,
    json_option,
    on_option,
    pairs,
    parse_span,
    recipe_loader,
    store_option,
    workers_option,
)
from gristmill.cli.share_option import share_option
from gristmill.spec.errors import Busy, DriftError, Incomplete
from gristmill.spec.place import path_here
from gristmill.spec.recipe import Recipe
from gristmill.storage.store import Place

__all__ = ["command", "mix"]


@click.command("mix")
@click.argument("name")
@click.option(
    "--out",
    required=True,
    type=DatasetPlace(file_okay=False),
    help="Where to; parts are looked for there.",
)
@click.option(
    "--parts",
    type=DatasetPlace(exists=True, file_okay=False, beside=True),
    help="Where the parts are, if not in --out.",
)
@click.option(
    "--source", "sources", multiple=True, metavar="PART=PLACE", help="A part that lies somewhere else."
)
@click.option("--tasks", metavar="A:B", help="Scatter only the parts' shards A to B-1, by position.")
@share_option
@workers_option
@on_option
@grace_option
@click.option(
    "--set", "settings", multiple=True, metavar="STEP.FIELD=VALUE", help="For example shuffle.shards=64."
)
@click.option(
    "--index-only",
    is_flag=True,
    help="Write where each sample lies in the parts, and copy none: the parts stay what is read.",
)
@store_option
@json_option
def command(
    name: str,
    out: Place,
    parts: Place | None,
    sources: tuple[str, ...],
    tasks: str | None,
    share: tuple[int, int] | None,
    workers: int | None,
    on: str,
    settings: tuple[str, ...],
    index_only: bool,
    as_json: bool,
) -> None:
    """Shuffle the finished datasets that mixture NAME names into one, DIR/NAME.

    Each part is looked for in DIR, or that of --parts, under its name, and must be finished. NAME may be the path
    of a file of your own that ends in MIXTURE = Mixture(...). `gristmill run NAME` prepares the parts first.

    \b
    Example:
      gristmill mix vflan --out data
      gristmill mix vflan --out data --source text-flan=/mnt/text-flan
      gristmill mix vflan --out published --parts data --set shuffle.order=published
      gristmill mix vflan --out index --parts data --index-only
      gristmill mix vflan --out s3://bucket/data
    """
    mix(
        name,
        out,
        parts_in=parts,
        replaced=pairs("--source", sources),
        settings={**pairs("--set", settings), **({"shuffle.index_only": "true"} if index_only else {})},
        span=parse_span(tasks, share),
        share=share,
        workers=workers,
        on=on,
        as_json=as_json,
    )


def mix(
    name: str,
    out: Place,
    *,
    parts_in: Place | None = None,
    replaced: Mapping[str, str],
    settings: Mapping[str, str],
    span: tuple[int, int] | None = None,
    share: tuple[int, int] | None = None,
    workers: int | None = None,
    on: str = "",
    as_json: bool = False,
    among: Collection[str] | None = None,
) -> None:
    """Mix the parts that are there, and remove what was only scattered for it.

    Args:
        name: Of the mixture, or the path of its file.
        out: Where to.
        parts_in: Where the parts are; ``out`` if None.
        replaced: Part to its folder or address, where one lies elsewhere.
        settings: ``STEP.FIELD`` to value, as typed.
        span: Positions of the parts' shards to scatter.
        share: Which of how many commands this is.
        workers: Processes; one per core if None.
        on: The executor.
        as_json: Print the result as JSON.
        among: Only these of the mixture's parts, for a demonstration.

    Raises:
        Incomplete: All is mixed, and a part kept less than its recipe expects.
        GristmillError: A part is missing or unfinished; or whatever a run raises.
    """
    from gristmill import mixtures
    from gristmill.cli.finish import run_and_tell
    from gristmill.cli.left_out import without_left_out
    from gristmill.cli.metadata_files import bring_up
    from gristmill.ledger.run_config import RunConfig
    from gristmill.run.begin import Job
    from gristmill.run.inputs.mixture_parts import find_parts, place_of
    from gristmill.run.maintenance.reopen import open_dataset

    mixture = mixtures.find(name)
    if among is not None:
        mixture = replace(mixture, parts=tuple(part for part in mixture.parts if part.name in among))
    load = recipe_loader(name, None, dict(settings))
    load()  # a wrong setting shows before a part is looked for
    parts_in = out if parts_in is None else parts_in
    for part in mixture.parts:
        place = place_of(part, parts_in, replaced)
        if RunConfig.lies_in(place):
            bring_up(open_dataset(place))
    parts = find_parts(mixture, parts_in, replaced, typed=name)
    folder = out / mixture.public_name
    parts = without_left_out(load().steps[-1], mixture, parts, folder)
    job = Job(
        load=load,
        reference=str(Path(path_here(name)).resolve()) if name.endswith((".py", ".toml")) else name,
        folder=folder,
        settings=settings,
        span=span,
        share=share,
        workers=default_workers(on) if workers is None else workers,
        on=on,
        resolved=parts.resolved,
        parts=parts.said,
    )
    try:
        run_and_tell(job, as_json=as_json)
    except DriftError as err:
        err.hint = f" Its parts are found with --parts {shlex.quote(str(parts_in))}, of gristmill mix."
        raise
    if _tidy(folder, load()):
        _check_parts([*parts.places.values()])


def _check_parts(folders: Sequence[Place]) -> None:
    """What parts lack is said each time they are mixed.

    Raises:
        Incomplete: A part kept less than its recipe expects.
    """
    from gristmill.cli.expected import shortfall

    if short := [said for folder in folders if (said := shortfall(folder)) is not None]:
        raise Incomplete("all is mixed, but:\n" + "\n".join(short))


def _tidy(folder: Place, recipe: Recipe) -> bool:
    """Remove what was scattered, once all is gathered; whether it is."""
    from gristmill.run.maintenance.clean import clean
    from gristmill.run.maintenance.reopen import open_dataset, planner_of

    opened = open_dataset(folder)
    planner = planner_of(opened, recipe)
    if planner.complete:
        with suppress(Busy):  # another run on the folder is at its end: it does that, or `gristmill clean`
            clean(folder, opened.config, opened.ledger, dry_run=False)
    return planner.complete
