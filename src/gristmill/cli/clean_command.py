"""``gristmill clean DIR``."""

from __future__ import annotations

from pathlib import Path

import click

from gristmill.cli.options import LocalPath


@click.command("clean")
@click.argument("folder", type=LocalPath(exists=True, file_okay=False))
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
def command(folder: Path, dry_run: bool) -> None:
    """Remove intermediate media whose shards are finished, and fetched annotation files.

    Shards, fates, records and what `gristmill retry` needs stay.

    \b
    Example:
      gristmill clean data --dry-run
      gristmill clean data/coyo-700m
    """
    from gristmill.cli.metadata_files import bring_up
    from gristmill.ledger.run_config import datasets_in
    from gristmill.ledger.words import count_text, size_text
    from gristmill.run.maintenance.clean import clean
    from gristmill.run.maintenance.reopen import open_dataset

    for dataset in datasets_in(folder):
        opened = open_dataset(dataset)
        if not dry_run:
            bring_up(opened)
        files, size = clean(dataset, opened.config, opened.ledger, dry_run=dry_run)
        verb = "would remove" if dry_run else "removed"
        click.echo(f"{dataset}: {verb} {count_text(files, 'file')}, {size_text(size)}")
