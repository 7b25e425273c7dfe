"""``gristmill retry DIR``."""

from __future__ import annotations

from pathlib import Path

import click

from gristmill.cli.options import (
    LocalPath,
    circumstances,
    default_workers,
    json_option,
    manner_options,
    recipe_loader,
    workers_option,
)


@click.command("retry")
@click.argument("folder", type=LocalPath(exists=True, file_okay=False))
@click.option(
    "--reason",
    "reason",
    default="transient",
    show_default=True,
    metavar="R,...",
    help="Which failures: reasons as `gristmill status` names them, `timeout`, or `transient`.",
)
@workers_option
@manner_options
@json_option
def command(
    folder: Path,
    reason: str,
    workers: int | None,
    contact: str | None,
    allow_private_addresses: bool,
    no_verify_tls: bool,
    in_flight: int | None,
    per_host: int | None,
    as_json: bool,
) -> None:
    """Ask again for what failed for these reasons, and for nothing else.

    What comes this time goes into additional shards; finished shards stay as they are, byte for byte.

    \b
    Example:
      gristmill retry data/coyo-700m
      gristmill retry data/coyo-700m --reason http_5xx,timeout
    """
    from gristmill.cli.again import asked_again, nothing_to_ask
    from gristmill.cli.finish import run_and_tell
    from gristmill.cli.papers import bring_up
    from gristmill.ledger.begun import datasets_in
    from gristmill.run.begin import Job
    from gristmill.run.reopen import add_round, open_dataset, reasons_from, schedule_of

    reasons = reasons_from(reason)
    manners = circumstances(contact, allow_private_addresses, no_verify_tls, in_flight, per_host)
    for dataset in datasets_in(folder):
        opened = open_dataset(dataset)
        settings = dict(opened.begun.settings)
        load = recipe_loader(
            opened.reference, opened.arguments, {**settings, **opened.begun.manners, **manners}
        )
        recipe = load()
        if not add_round(opened, schedule_of(opened, recipe), reasons):
            bring_up(opened, recipe)
            click.echo(nothing_to_ask(opened, recipe, reasons), err=True)
            continue
        click.echo(asked_again(opened, recipe, reasons), err=True)
        job = Job(
            load=load,
            reference=opened.reference,
            folder=dataset,
            arguments=opened.begun.arguments,
            settings=settings,
            resolved=opened.resolved(),
            only=opened.begun.only,
            workers=default_workers() if workers is None else workers,
        )
        run_and_tell(job, as_json=as_json)
