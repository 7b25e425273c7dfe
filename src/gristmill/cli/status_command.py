"""``gristmill status DIR``."""

from __future__ import annotations

import time

import click

from gristmill.cli.options import DatasetPlace, json_option, store_option
from gristmill.spec.command import to_type
from gristmill.spec.errors import UsageError
from gristmill.storage.store import Place, Store


@click.command("status")
@click.argument("folder", type=DatasetPlace(exists=True, file_okay=False))
@click.option("--watch", is_flag=True, help="Again every few seconds, until Ctrl-C.")
@store_option
@json_option
def command(folder: Place, watch: bool, as_json: bool) -> None:
    """The funnel of each dataset in DIR, failures by reason and host; of several, a line for each at the end.

    Of a training such as vila-v1.5 there is a line for each part, those too that are not begun.

    Counts by records alone. Where a run that was killed at its end left dataset.json and the files beside it behind
    the records, they are written anew.

    \b
    Example:
      gristmill status data
      gristmill status data/coyo-700m --json
    """
    from gristmill.cli.funnel import print_status
    from gristmill.cli.metadata_files import bring_up
    from gristmill.cli.overview import parts_then, print_overview
    from gristmill.cli.streams import nobody_reads
    from gristmill.cli.terminal import Terminal
    from gristmill.cli.who_works import who_works, who_works_json
    from gristmill.ledger.at_work import at_work
    from gristmill.ledger.part_state import state_of
    from gristmill.ledger.run_config import datasets_in
    from gristmill.ledger.words import size_text
    from gristmill.run.maintenance.clean import is_complete, lies_here
    from gristmill.run.maintenance.reopen import open_dataset, under_way

    while True:
        listed = [] if as_json else parts_then(folder)
        try:
            datasets = datasets_in(folder)
        except UsageError:
            if not listed or any(part.rows is not None for part in listed):
                _tell_abandoned(folder)
                raise
            datasets = []  # all of them wait
        for dataset in datasets:
            opened = open_dataset(dataset)
            working = at_work(opened.ledger.store)
            if any(one.gone for one in working) and is_complete(opened.config, opened.ledger):
                working = [one for one in working if not one.gone]  # nothing waits for them
            more = {"commands": who_works_json(working)}
            begun = (0, 0) if as_json else under_way(opened)
            print_status(dataset, opened.config, opened.ledger, as_json=as_json, more=more, begun=begun)
            bring_up(opened)
            for line in () if as_json else who_works(working):
                click.echo(line)
            if opened.ledger.store.local is None and not as_json:
                here, size_bytes = lies_here(opened.ledger.store)
                if size_bytes:
                    cleans = to_type("clean", dataset)
                    click.echo(
                        f"on this machine: {size_text(size_bytes)} in {here}; what is not needed goes by: {cleans}"
                    )
        if (len(datasets) > 1 or listed) and not as_json:
            known = {str(part.folder) for part in listed}
            named = [(one, one.title if isinstance(one, Store) else one.name) for one in datasets]
            others = [state_of(one, name, unbegun="") for one, name in named if str(one) not in known]
            print_overview([*listed, *others])
        if not watch or nobody_reads():
            return
        time.sleep(5)
        Terminal().clear()


def _tell_abandoned(folder: Place) -> None:
    """Say what lies on this machine of datasets that are gone from a store."""
    from gristmill.ledger.words import size_text
    from gristmill.run.maintenance.clean import abandoned

    gone = list(abandoned(folder)) if isinstance(folder, Store) else []
    if gone:
        said = size_text(sum(size_bytes for _, size_bytes in gone))
        click.echo(
            f"on this machine: {said} of what was there; it goes by: {to_type('clean', folder)}", err=True
        )
