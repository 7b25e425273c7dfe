"""``gristmill run NAME --out DIR``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import click

from gristmill.cli.options import (
    DatasetPlace,
    copies_of,
    json_option,
    pairs,
    parse_span,
    politeness_options,
    recipes_of,
    run_options,
    runtime_options,
    stage_option,
    store_option,
)
from gristmill.spec.command import to_type
from gristmill.spec.errors import UsageError
from gristmill.storage.store import Place


@click.command("run")
@click.argument("name")
@click.option("--out", required=True, type=DatasetPlace(file_okay=False), help="Where to.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="KEY=PATH_OR_URL",
    help="A copy or mirror of a source; of pictures also a folder, an archive, or several: give it again.",
)
@click.option("--to", "to_step", metavar="STEP", help="Stop after this step.")
@click.option(
    "--have",
    "have",
    multiple=True,
    metavar="PART=PLACE",
    help="Of a mixture, a part that is finished elsewhere.",
)
@stage_option
@run_options
@politeness_options
@store_option
@json_option
def command(
    name: str,
    out: Place,
    sources: tuple[str, ...],
    to_step: str | None,
    have: tuple[str, ...],
    stage: str | None,
    only: int | None,
    tasks: str | None,
    share: tuple[int, int] | None,
    workers: int | None,
    on: str,
    settings: tuple[str, ...],
    contact: str | None,
    allow_private_addresses: bool,
    proxy: str | None,
    no_verify_tls: bool,
    in_flight: int | None,
    per_host: int | None,
    min_kept: float | None,
    as_json: bool,
) -> None:
    """Prepare the dataset NAME under DIR/NAME. The same command continues what was interrupted.

    Where NAME is a mixture, its parts are prepared first, each under DIR, then mixed. Then --source and --set take
    a part's name in front (a pattern will do): --source 'm3it-*.annotations=PATH', --set text-flan.STEP.FIELD=VALUE;
    --have PART=FOLDER names a dataset that is finished already. Where NAME stands for the stages of a training, as
    vila-v1.5, each is a mixture of its own, and what waits for you does not stop the rest.

    \b
    Example:
      gristmill run coyo-700m --out data --tasks 0:1 --only 1000 --contact me@example.org
      gristmill run coyo-700m --out data --source annotations=/mnt/coyo --set select.share=0.1
      gristmill run vila-v1.5 --out data --stage align

    NAME may be a group of recipes (`gristmill list` names them): each is prepared under DIR in turn, and one
    that cannot be does not stop the others.

    Several commands with different --share or --tasks, on one machine or many, may work on one DIR.
    """
    from gristmill import mixtures, recipes
    from gristmill.cli.finish import run_and_tell
    from gristmill.cli.jobs import recipe_job
    from gristmill.cli.many import for_each
    from gristmill.cli.mixture_group import run_group
    from gristmill.cli.prepare import Typed, prepare_and_mix
    from gristmill.run.planning.pipeline import Pipeline

    if name in recipes.commands():
        typed = to_type(*recipes.built_by(name).command, "--out", "DIR")
        raise UsageError(f"{name} is a command of its own: {typed}")
    given = pairs("--set", settings)
    runtime = runtime_options(
        contact, allow_private_addresses, no_verify_tls, in_flight, per_host, min_kept, proxy
    )
    replaced = {**pairs("--source", sources), **pairs("--have", have)}
    grouped = name in mixtures.groups()
    if stage and not grouped:
        raise UsageError(
            f"--stage {stage}: {name} has no stages; those that have: {', '.join(mixtures.groups())}"
        )
    if grouped or mixtures.is_mixture(name):
        if tasks or share or to_step:
            raise UsageError(
                f"--tasks, --share and --to are for one dataset: give them with each part of {name}, then: "
                f"{to_type('run' if grouped else 'mix', name)}"
            )
        prepare = partial(run_group, name, stage) if grouped else partial(prepare_and_mix, name)
        words = Typed(sources=replaced, settings=given, runtime=runtime, only=only, workers=workers, on=on)
        prepare(out, words, as_json=as_json)
        return
    if have:
        raise UsageError(f"--have {have[0]}: {name} is no mixture, and has no parts")

    members = recipes_of(name)
    copies = copies_of(name, members, replaced)

    def run_one(name: str) -> None:
        job = recipe_job(
            name,
            out,
            sources=copies[name],
            settings=given,
            runtime=runtime,
            only=only,
            workers=workers,
            span=parse_span(tasks, share),
            share=share,
            on=on,
        )
        if to_step is not None:
            job = replace(job, last=Pipeline(job.load()).ending_with(to_step).name)
        run_and_tell(job, as_json=as_json)

    for_each(members, run_one, as_json=as_json)
