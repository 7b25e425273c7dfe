"""``gristmill export DIR --to FORMAT``."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gristmill.cli.options import LocalPath, json_option
from gristmill.spec.command import to_type
from gristmill.spec.errors import Incomplete, UsageError

if TYPE_CHECKING:
    from gristmill.exports._vila import Manner
    from gristmill.exports._writing import Exported
    from gristmill.run.maintenance.reopen import Dataset

FORMATS = ("vila", "vila-unsharded", "interleaved-parquet", "webdataset-index")


@click.command("export")
@click.argument("folder", type=LocalPath(exists=True, file_okay=False))
@click.option("--to", "format_", type=click.Choice(FORMATS), required=True, help="Format.")
@click.option("--out", type=LocalPath(), help="Folder to write into.")
@click.option("--name", help="Of the one pickle of vila-unsharded, without .pkl.")
@click.option(
    "--spread-images",
    is_flag=True,
    help="Of more than 8 pictures of a question, take 8 evenly. Otherwise such samples do not fit.",
)
@click.option(
    "--leave-out",
    is_flag=True,
    help="Leave out and count samples that do not fit. Otherwise the first ends the export.",
)
@json_option
def command(
    folder: Path,
    format_: str,
    out: Path | None,
    name: str | None,
    spread_images: bool,
    leave_out: bool,
    as_json: bool,
) -> None:
    """Write a finished dataset in a trainer's own format.

    vila: part-NNNNN.pkl and .count, in the form of the loader that fits: captions for coyo, documents for mmc4,
    questions and answers for vflan (a pickle runs code when it is loaded: load only your own).
    vila-unsharded: one NAME.pkl for the vflan loader, of each dataset in DIR that it reads, mixtures excepted.
    interleaved-parquet: lists of texts and images, as in OBELICS. webdataset-index: wids-meta.json.

    The same command goes on after an interruption.

    \b
    Example:
      gristmill export data/coyo-700m --to vila --out playground/data/coyo-700m/pkl02-split
      gristmill export data/mmc4-core --to interleaved-parquet --out mmc4-parquet
      gristmill export data/coyo-700m --to webdataset-index --out data/coyo-700m/index
    """
    from gristmill.cli.papers import bring_up
    from gristmill.exports._vila import Manner
    from gristmill.exports._writing import or_nothing
    from gristmill.ledger.run_config import datasets_in
    from gristmill.run.maintenance.reopen import open_dataset
    from gristmill.storage.files import machine_error

    whole = format_ == "vila-unsharded"
    datasets = datasets_in(folder)
    if whole and len(datasets) > 1:
        datasets = _for_one_pickle_each(datasets)
    if len(datasets) > 1 and (not whole or name is not None):
        raise UsageError(f"{folder} holds {len(datasets)} datasets; name one, for example {datasets[0]}")
    if name is not None and not whole:
        raise UsageError("--name is for --to vila-unsharded; the other formats name their files by number.")
    if out is None:
        raise UsageError("name the folder to write into with --out")
    manner = Manner(leave_out=leave_out, spread=spread_images)
    told = []
    for dataset in datasets:
        try:
            with or_nothing(out):
                opened = open_dataset(dataset)
                bring_up(opened)
                done = _export(opened, format_, out, name, manner)
        except OSError as err:
            raise machine_error(err, out) from err
        told.append(_plain(dataset, done, format_, out))
        if not as_json:
            _tell(done, format_, out)
    if as_json:
        click.echo(json.dumps(told if len(told) > 1 else told[0]))
    empty = [str(one["dataset"]) for one in told if one["left_out"] and not one["samples"]]
    if empty:
        raise Incomplete(
            f"No sample of {', '.join(empty)} fits {format_}: all were left out.\n"
            "See the formats and what they hold: gristmill export --help"
        )


def _for_one_pickle_each(datasets: list[Path]) -> list[Path]:
    """Those that can share a folder of one pickle each; it is said of the others why not, and what to type.

    The loader reads every pickle of a folder: it would have a mixture's samples twice, and captions or documents are
    for other loaders.
    """
    from gristmill.exports._vila import loader_of
    from gristmill.exports._writing import finished_shards
    from gristmill.run.maintenance.reopen import open_dataset

    others: dict[Path, str] = {}
    for dataset in datasets:
        opened = open_dataset(dataset)
        shards = finished_shards(dataset, opened.ledger)
        if opened.config.parts:
            others[dataset] = "is a mixture, and its samples are in the other pickles"
        elif sum(shard.samples for shard in shards) and (loader := loader_of(dataset, shards)) != "vflan":
            others[dataset] = f"is for VILA's {loader} loader"
    for dataset, why in others.items():
        click.echo(
            f"gristmill: {dataset} {why}: not written. For itself: "
            f"{to_type('export', dataset, '--to', 'vila', '--out', 'DIR')}",
            err=True,
        )
    return [dataset for dataset in datasets if dataset not in others] or datasets


def _export(opened: Dataset, format_: str, out: Path, name: str | None, manner: Manner) -> Exported:
    """One dataset."""
    from gristmill.exports._interleaved import export_interleaved
    from gristmill.exports._vila import export_parts, export_whole
    from gristmill.exports._writing import Exported, export_wids, finished_shards, unfit_for_coyo_wds
    from gristmill.ledger.features import shape_of

    folder, shards = opened.folder, finished_shards(opened.folder, opened.ledger)
    _check_finished(opened, len(shards), whole=format_ == "vila-unsharded")
    if format_ == "vila":
        return _watched(export_parts(folder, shards, out, manner), len(shards))
    if format_ == "interleaved-parquet":
        return _watched(export_interleaved(folder, shards, out, manner), len(shards))
    if format_ == "vila-unsharded":
        name = _published_name(opened) if name is None else name
        return _watched(export_whole(folder, shards, out, name, manner), len(shards))
    export_wids(folder, shards, opened.config.name, out)
    if why := unfit_for_coyo_wds(shape_of(folder, opened.ledger)):
        click.echo(
            f"gristmill: wids reads these samples; VILA's loader type coyo-wds stops at them: {why}.",
            err=True,
        )
    return Exported(shards=len(shards), samples=sum(shard.samples for shard in shards))


def _watched(steps: Iterator[Exported], shards: int) -> Exported:
    """Go through an export, with a line that tells how far it is where somebody watches."""
    watched = sys.stderr.isatty()
    for done in steps:
        if watched:
            click.echo(f"\r{done.shards:,} of {shards:,} shards", nl=False, err=True)
    if watched:
        click.echo(err=True)
    return done


def _check_finished(opened: Dataset, shards: int, *, whole: bool) -> None:
    """Say so where the dataset has not all of its shards yet; one pickle of all of them is then refused."""
    from gristmill.ledger.funnel import funnel
    from gristmill.ledger.totals import total

    if funnel(total(opened.ledger.records.values()), opened.config).complete:
        return
    told = f"{opened.folder} is not finished: it has {shards:,} shards so far ({to_type('status', opened.folder)})."
    if whole:
        raise Incomplete(
            f"{told} One pickle for all of it can be written when it is; --to vila writes what there is."
        )
    click.echo(f"gristmill: {told} The same command adds the others when they are there.", err=True)


def _published_name(opened: Dataset) -> str:
    """The file's name without its ending; by the recipe's name if it tells none."""
    return opened.config.published_as or opened.config.name.replace("-", "_")


def _plain(dataset: Path, done: Exported, format_: str, out: Path) -> dict[str, object]:
    return {
        "dataset": str(dataset),
        "format": format_,
        "form": done.form,
        "out": str(out),
        "shards": done.shards,
        "samples": done.samples,
        "left_out": done.left_out,
        "reasons": dict(done.reasons),
    }


def _tell(done: Exported, format_: str, out: Path) -> None:
    form = f", for VILA's {done.form} loader" if format_.startswith("vila") else ""
    place = out / done.file if done.file else out
    shards, samples = _counted(done.shards, "shard"), _counted(done.samples, "sample")
    click.echo(f"{place}: {shards}, {samples} as {format_}{form}")
    reasons = Counter(done.reasons)
    if spread := reasons.pop("pictures_spread", 0):
        click.echo(f"  with 8 of their pictures, spread evenly: {_counted(spread, 'sample')}")
    if done.left_out:
        click.echo(f"  left out, because they do not fit: {_counted(done.left_out, 'sample')}")
    for reason, count in sorted(reasons.items()):
        click.echo(f"    {reason}: {count:,}")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
