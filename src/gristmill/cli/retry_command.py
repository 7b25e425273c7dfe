"""``gristmill retry DIR``."""

from __future__ import annotations

import click

from gristmill.cli.options import (
    DatasetPlace,
    default_workers,
    grace_option,
    json_option,
    on_option,
    pairs,
    politeness_options,
    runtime_options,
    store_option,
    workers_option,
)
from gristmill.cli.share_option import no_share_option
from gristmill.storage.store import Place


@click.command("retry")
@click.argument("folder", type=DatasetPlace(exists=True, file_okay=False))
@click.option(
    "--reason",
    "reason",
    multiple=True,
    default=("transient",),
    show_default="transient",
    metavar="R,...",
    help="Which failures: reasons as `gristmill status` names them, `timeout`, or `transient`.",
)
@click.option("--recipe", metavar="PATH", help="The recipe, where it is a file of your own.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="KEY=PATH",
    help="Where annotation files of yours lie, if they are still to be read.",
)
@click.option(
    "--set",
    "manner",
    multiple=True,
    metavar="STEP.FIELD=VALUE",
    help="How to ask, not what: clip.ask_sites=true, clip.cookies=FILE.",
)
@click.option(
    "--without-permissions",
    is_flag=True,
    help="Go on without what the folder was begun with: private addresses, any certificate.",
)
@workers_option
@on_option
@grace_option
@no_share_option
@politeness_options
@store_option
@json_option
def command(
    folder: Place,
    reason: tuple[str, ...],
    recipe: str | None,
    sources: tuple[str, ...],
    manner: tuple[str, ...],
    without_permissions: bool,
    workers: int | None,
    on: str,
    contact: str | None,
    allow_private_addresses: bool,
    proxy: str | None,
    no_verify_tls: bool,
    in_flight: int | None,
    per_host: int | None,
    min_kept: float | None,
    as_json: bool,
) -> None:
    """Ask again for what failed for these reasons, and for nothing else.

    What comes this time goes into additional shards; finished shards stay as they are, byte for byte. What was
    allowed for an earlier command (private addresses, any certificate) is not allowed for this one.

    \b
    Example:
      gristmill retry data/coyo-700m
      gristmill retry data/coyo-700m --reason http_5xx,timeout
    """
    from gristmill.cli.again import asked_again, nothing_to_ask
    from gristmill.cli.finish import run_and_tell
    from gristmill.cli.metadata_files import bring_up
    from gristmill.cli.named import check_permissions, loader_of, settings_of, sources_of
    from gristmill.ledger.run_config import datasets_in
    from gristmill.ledger.totals import failing
    from gristmill.run.begin import Job
    from gristmill.run.maintenance.reopen import add_round, open_dataset, planner_of, reasons_from

    reasons = reasons_from(",".join(reason))
    runtime = pairs("--set", manner) | runtime_options(
        contact, allow_private_addresses, no_verify_tls, in_flight, per_host, min_kept, proxy
    )
    for dataset in datasets_in(folder):
        opened = open_dataset(dataset)
        settings = {**settings_of(opened, loader_of(opened, {}, recipe)()), **runtime}
        load = loader_of(opened, settings, recipe)
        built = load()
        planner = planner_of(opened, built)
        resolved = None
        if not planner.complete or failing(opened.ledger.of("making")).keys() & set(reasons):
            if not without_permissions:
                check_permissions(opened, runtime)
            resolved = sources_of(opened, built, pairs("--source", sources))
        if not add_round(opened, planner, reasons, resolved.media if resolved else ()):
            bring_up(opened, built)
            click.echo(nothing_to_ask(opened, built, reasons), err=True)
            continue
        click.echo(asked_again(opened, built, reasons), err=True)
        job = Job(
            load=load,
            reference=opened.reference,
            folder=dataset,
            arguments=opened.config.arguments,
            settings=settings,
            resolved=resolved,
            only=opened.config.only,
            workers=default_workers(on) if workers is None else workers,
            on=on,
        )
        del opened, planner  # the run reads the records anew: they may be many
        run_and_tell(job, as_json=as_json)
