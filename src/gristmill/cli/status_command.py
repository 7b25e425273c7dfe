"""``gristmill status DIR``."""

from __future__ import annotations

import time

import click

from gristmill.cli.options import DatasetPlace, json_option, store_option
from gristmill.storage.store import Place, Store


@click.command("status")
@click.argument("folder", type=DatasetPlace(exists=True, file_okay=False))
@click.option("--watch", is_flag=True, help="Again every few seconds, until Ctrl-C.")
@store_option
@json_option
def command(folder: Place, watch: bool, as_json: bool) -> None:
    """The funnel of each dataset in DIR, failures by reason and host; of several, a line for each at the end.

    Counts by records alone.

    \b
    Example:
      gristmill status data
      gristmill status data/coyo-700m --json
    """
    from gristmill.cli.funnel import print_status
    from gristmill.cli.metadata_files import bring_up
    from gristmill.cli.overview import print_overview
    from gristmill.cli.streams import nobody_reads
    from gristmill.cli.terminal import Terminal
    from gristmill.ledger.part_state import state_of
    from gristmill.ledger.run_config import datasets_in
    from gristmill.ledger.words import count_text
    from gristmill.run.maintenance.reopen import open_dataset, under_way

    while True:
        datasets = datasets_in(folder)
        for dataset in datasets:
            opened = open_dataset(dataset)
            print_status(dataset, opened.config, opened.ledger, as_json=as_json)
            bring_up(opened)
            tasks, media = under_way(opened)
            if tasks and not as_json:
                click.echo(
                    f"under way or interrupted: {count_text(tasks, 'crawl task')}, {media:,} media finished in them"
                )
        if len(datasets) > 1 and not as_json:
            named = [(one, one.title if isinstance(one, Store) else one.name) for one in datasets]
            print_overview([state_of(one, name, unbegun="not begun") for one, name in named])
        if not watch or nobody_reads():
            return
        time.sleep(5)
        Terminal().clear()
