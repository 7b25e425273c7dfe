"""``gristmill duplicates DIR...``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from gristmill.cli.options import DatasetPlace, LocalPath, json_option, store_option
from gristmill.storage.store import Place

if TYPE_CHECKING:
    from gristmill.ledger.duplicates import Duplicates

__all__ = ["command"]

_GROUPS_SHOWN = 5


@click.command("duplicates")
@click.argument(
    "folders", metavar="DIR...", nargs=-1, required=True, type=DatasetPlace(exists=True, file_okay=False)
)
@click.option(
    "--distance",
    type=click.IntRange(0, 8),
    default=2,
    show_default=True,
    help="Bits of 64 in which perceptual hashes of one picture may differ.",
)
@click.option("--exact", is_flag=True, help="Only identical bytes are the same picture.")
@click.option("--out", type=LocalPath(dir_okay=False), help="Write all that are the same: a Parquet file.")
@store_option
@json_option
def command(folders: tuple[Place, ...], distance: int, exact: bool, out: Path | None, as_json: bool) -> None:
    """Look for the same picture in finished datasets, and across them. Nothing in them is changed.

    DIR is a dataset, or a folder of some; the first in order has a picture, the others repeat it. Perceptual hashes
    are those that were measured when the dataset was made (phash=true of the step that brings pictures). Of a dataset
    in an object store each shard is fetched once, into the cache of this machine.

    \b
    Example:
      gristmill duplicates data/scienceqa data/sherlock
      gristmill duplicates data --distance 4 --out same.parquet
    """
    import pyarrow.parquet as pq

    from gristmill.ledger.duplicates import LIST_SCHEMA, find_duplicates
    from gristmill.ledger.run_config import datasets_in
    from gristmill.run.maintenance.clean import is_complete
    from gristmill.run.maintenance.reopen import open_dataset
    from gristmill.spec.command import to_type
    from gristmill.spec.errors import UsageError
    from gristmill.storage.files import scratch_folder, whole_file

    datasets = list(dict.fromkeys(dataset for folder in folders for dataset in datasets_in(folder)))
    for dataset in datasets:
        opened = open_dataset(dataset, made=False)
        try:
            finished = is_complete(opened.config, opened.ledger)
        finally:
            opened.ledger.close()
        if not finished:
            raise UsageError(f"{dataset} is not finished: {to_type('status', dataset)} says what is left.")
    told = sys.stderr.isatty()

    def tell(media: int) -> None:
        if told:
            click.echo(f"\r{media:,} media read", nl=False, err=True)

    def write(batches: Iterator[Any]) -> None:
        if out is not None:
            with (
                whole_file(out) as stream,
                pq.ParquetWriter(stream, LIST_SCHEMA, compression="zstd") as writer,
            ):
                for batch in batches:
                    writer.write_batch(batch)

    with (
        TemporaryDirectory(prefix="gristmill-duplicates-") if out is None else scratch_folder(out) as scratch
    ):
        found = find_duplicates(
            datasets, Path(scratch), bits=None if exact else distance, write=write, tell=tell
        )
    if told:
        click.echo(err=True)
    if as_json:
        click.echo(json.dumps(_plain(found), indent=2))
    else:
        _print(found, out)


def _plain(found: Duplicates) -> dict[str, Any]:
    return {
        "datasets": [
            {
                "name": name,
                "media": media,
                "without_phash": found.unhashed.get(name, 0),
                "repeated_within": found.within.get(name, 0),
            }
            for name, media in found.media.items()
        ],
        "across": [{"datasets": list(pair), "pictures": pictures} for pair, pictures in found.across.items()],
        "groups": found.groups,
        "largest": [
            {
                "media": group.media,
                "datasets": group.datasets,
                "examples": [{"dataset": dataset, "key": key} for dataset, key in group.examples],
            }
            for group in found.largest
        ],
    }


def _print(found: Duplicates, out: Path | None) -> None:
    from gristmill.ledger.words import count_text

    for name, media in found.media.items():
        without = found.unhashed.get(name, 0)
        click.echo(
            f"{name}: {media:,} media, "
            f"{found.within.get(name, 0):,} repeat an earlier one of the same dataset"
            + (f"; {without:,} without a perceptual hash, known by their bytes alone" if without else "")
        )
    for (one, two), pictures in found.across.items():
        click.echo(f"{one} and {two}: {count_text(pictures, 'picture')} in both")
    click.echo(f"{count_text(found.groups, 'picture')} in several places")
    for group in found.largest[:_GROUPS_SHOWN]:
        places = ", ".join(f"{dataset}/{key}" for dataset, key in group.examples)
        click.echo(f"  {group.media:,} times: {places}{', ...' if group.media > len(group.examples) else ''}")
    if out is not None:
        click.echo(f"Written: {out}")
