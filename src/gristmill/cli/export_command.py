"""``gristmill export DIR --to FORMAT``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gristmill.cli.options import json_option
from gristmill.spec.errors import UsageError

FORMATS = ("vila", "webdataset-index")


@click.command("export")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--to", "format_", type=click.Choice(FORMATS), required=True, help="Format.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder to write into.")
@json_option
def command(folder: Path, format_: str, out: Path | None, as_json: bool) -> None:
    """Write a finished dataset in a trainer's own format.

    vila: part-NNNNN.pkl and .count as VILA's loaders read them (a pickle runs code when it is loaded: load only
    your own). webdataset-index: wids-meta.json.

    \b
    Example:
      gristmill export data/coyo-700m --to vila --out playground/data/coyo-700m/pkl02-split
      gristmill export data/coyo-700m --to webdataset-index --out data/coyo-700m/index
    """
    from gristmill.ledger.begun import datasets_in
    from gristmill.run.export import export_vila, export_wids, finished_shards
    from gristmill.run.reopen import open_dataset

    datasets = datasets_in(folder)
    if len(datasets) > 1:
        raise UsageError(f"{folder} holds {len(datasets)} datasets; name one, for example {datasets[0]}")
    opened = open_dataset(datasets[0])
    shards = finished_shards(opened.folder, opened.ledger)
    if out is None:
        raise UsageError("name the folder to write into with --out")
    if format_ == "vila":
        written = list(export_vila(opened.folder, shards, out))
    else:
        export_wids(opened.folder, shards, opened.begun.name, out)
        written = shards
    samples = sum(shard.samples for shard in written)
    if as_json:
        click.echo(
            json.dumps({"format": format_, "out": str(out), "shards": len(written), "samples": samples})
        )
    else:
        click.echo(f"{out}: {len(written):,} shards, {samples:,} samples as {format_}")
