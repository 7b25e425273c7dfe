"""``gristmill clean DIR``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from gristmill.cli.options import DatasetPlace, store_option
from gristmill.storage.store import Place, Store


@click.command("clean")
@click.argument("folder", type=DatasetPlace(exists=True, file_okay=False))
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@store_option
def command(folder: Place, dry_run: bool) -> None:
    """Remove intermediate media whose shards are finished, and fetched annotation files.

    Media sources that were fetched for all datasets of a folder go, too, once none of these needs them;
    of a dataset in an object store those on this machine.
    Shards, fates, records and what `gristmill retry` needs stay.

    \b
    Example:
      gristmill clean data --dry-run
      gristmill clean data/coyo-700m
    """
    from gristmill.cli.metadata_files import bring_up
    from gristmill.ledger.run_config import RUN_CONFIG, RunConfig, datasets_in
    from gristmill.ledger.words import count_text, size_text
    from gristmill.run.inputs.media import shared_folder
    from gristmill.run.maintenance.clean import clean
    from gristmill.run.maintenance.reopen import open_dataset

    found = datasets_in(folder)
    for dataset in found:
        opened = open_dataset(dataset)
        if not dry_run:
            bring_up(opened)
        files, size = clean(dataset, opened.config, opened.ledger, dry_run=dry_run)
        verb = "would remove" if dry_run else "removed"
        click.echo(f"{dataset}: {verb} {count_text(files, 'file')}, {size_text(size)}")
    beside: Sequence[Place]
    if isinstance(folder, Store):
        above = (folder.above or folder) if RunConfig.lies_in(folder) else folder
        beside = [above / name for name in above.below(RUN_CONFIG)] or found
    else:
        named = folder if folder.name not in ("", "..") else folder.resolve()
        out = named.parent if RunConfig.lies_in(folder) else folder
        beside = [path.parent.parent for path in sorted(out.glob(f"*/{RUN_CONFIG}"))]
    _clean_sources(shared_folder(beside[0]), beside, dry_run)


def _clean_sources(shared: Path, datasets: Sequence[Place], dry_run: bool) -> None:
    """Remove what is not needed of the media sources that datasets share, and say so."""
    from gristmill.ledger.words import count_text, size_text
    from gristmill.run.maintenance.clean_sources import clean_sources
    from gristmill.run.state.layout import KEPT

    cleaned = clean_sources(shared, datasets, dry_run=dry_run)
    if cleaned.files:
        verb = "would remove" if dry_run else "removed"
        click.echo(f"{shared}: {verb} {count_text(cleaned.files, 'file')}, {size_text(cleaned.size_bytes)}")
    for key, names in cleaned.needed.items():
        click.echo(f"{shared}: {key} is still needed by {', '.join(names)}, not all packed yet")
    for note in cleaned.waiting:
        click.echo(
            f"{shared}: what was fetched for {note.name} stays, which waits for what only a person can "
            f"fetch. If it is given up, remove {note}, and clean again"
        )
    for key in cleaned.by_hand:
        said = "kept for other datasets, by clip.keep_sources," if key == KEPT else "put there by hand"
        click.echo(f"{shared / key}: what was {said} stays")
