"""``gristmill clean DIR``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from gristmill.cli.options import DatasetPlace, store_option
from gristmill.spec.errors import UsageError
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
    What lies on this machine of datasets that are gone from an object store is removed, too.

    \b
    Example:
      gristmill clean data --dry-run
      gristmill clean data/coyo-700m
    """
    from gristmill.cli.metadata_files import bring_up
    from gristmill.ledger.run_config import RUN_CONFIG, RunConfig
    from gristmill.ledger.words import count_text, size_text
    from gristmill.run.inputs.media import shared_folder
    from gristmill.run.maintenance.clean import clean
    from gristmill.run.maintenance.reopen import open_dataset

    found, gone = _found(folder, dry_run)
    for dataset in found:
        opened = open_dataset(dataset)
        if not dry_run:
            bring_up(opened)
        files, size = clean(dataset, opened.config, opened.ledger, dry_run=dry_run)
        verb = "would remove" if dry_run else "removed"
        click.echo(f"{dataset}: {verb} {count_text(files, 'file')}, {size_text(size)}")
    beside: Sequence[Place]
    if isinstance(folder, Store):
        for above in {one.above or one for one in (*found, *gone) if isinstance(one, Store)}:
            beside = [above / name for name in above.below(RUN_CONFIG)] or found
            _clean_sources(shared_folder(above / "NAME"), beside, dry_run)
        return
    named = folder if folder.name not in ("", "..") else folder.resolve()
    out = named.parent if RunConfig.lies_in(folder) else folder
    beside = [path.parent.parent for path in sorted(out.glob(f"*/{RUN_CONFIG}"))]
    _clean_sources(shared_folder(beside[0]), beside, dry_run)


def _found(folder: Place, dry_run: bool) -> tuple[Sequence[Place], Sequence[Store]]:
    """Give the datasets that are there; of those that were, remove what lies on this machine.

    Returns:
        Both.

    Raises:
        UsageError: There is neither.
    """
    from gristmill.ledger.run_config import datasets_in
    from gristmill.ledger.words import size_text
    from gristmill.run.maintenance.clean import abandoned

    gone = []
    for store, size in abandoned(folder, remove=not dry_run) if isinstance(folder, Store) else ():
        gone.append(store)
        verb = "would remove" if dry_run else "removed"
        click.echo(f"{store}: no dataset is there any more; {verb} {size_text(size)} of it from this machine")
    try:
        return datasets_in(folder), gone
    except UsageError:
        if not gone:
            raise
        return [], gone


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
