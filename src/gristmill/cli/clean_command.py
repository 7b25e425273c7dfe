"""``gristmill clean DIR``."""

from __future__ import annotations

import click

from gristmill.cli.options import DatasetPlace, store_option
from gristmill.storage.store import Place, Store


@click.command("clean")
@click.argument("folder", type=DatasetPlace(exists=True, file_okay=False))
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@store_option
def command(folder: Place, dry_run: bool) -> None:
    """Remove intermediate media whose shards are finished, and fetched annotation files.

    Media sources that were fetched for all datasets of a folder go, too, once none of these needs them.
    Shards, fates, records and what `gristmill retry` needs stay.

    \b
    Example:
      gristmill clean data --dry-run
      gristmill clean data/coyo-700m
    """
    from gristmill.cli.metadata_files import bring_up
    from gristmill.ledger.run_config import RunConfig, datasets_in
    from gristmill.ledger.words import count_text, size_text
    from gristmill.run.maintenance.clean import clean
    from gristmill.run.maintenance.clean_sources import clean_sources
    from gristmill.run.maintenance.reopen import open_dataset
    from gristmill.run.state.layout import KEPT

    for dataset in datasets_in(folder):
        opened = open_dataset(dataset)
        if not dry_run:
            bring_up(opened)
        files, size = clean(dataset, opened.config, opened.ledger, dry_run=dry_run)
        verb = "would remove" if dry_run else "removed"
        click.echo(f"{dataset}: {verb} {count_text(files, 'file')}, {size_text(size)}")
    if isinstance(folder, Store):
        return
    out = folder.parent if RunConfig.lies_in(folder) else folder
    cleaned = clean_sources(out, dry_run=dry_run)
    if cleaned.files:
        verb = "would remove" if dry_run else "removed"
        click.echo(
            f"{out / 'sources'}: {verb} {count_text(cleaned.files, 'file')}, {size_text(cleaned.size_bytes)}"
        )
    for key, names in cleaned.needed.items():
        click.echo(f"{out / 'sources'}: {key} is still needed by {', '.join(names)}, not all packed yet")
    for note in cleaned.waiting:
        click.echo(
            f"{out / 'sources'}: what was fetched for {note.name} stays, which waits for what only a person can "
            f"fetch. If it is given up, remove {note}, and clean again"
        )
    for key in cleaned.by_hand:
        said = "kept for other datasets, by clip.keep_sources," if key == KEPT else "put there by hand"
        click.echo(f"{out / 'sources' / key}: what was {said} stays")
