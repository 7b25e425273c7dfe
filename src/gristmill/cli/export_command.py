"""``gristmill export DIR --to FORMAT``."""

from __future__ import annotations

import json
import shlex
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from gristmill import exports
from gristmill.cli.options import DatasetPlace, json_option, store_option, typed_store_options
from gristmill.spec.command import to_type
from gristmill.spec.errors import Incomplete, UsageError
from gristmill.storage.store import Place, Store, store_at

if TYPE_CHECKING:
    from gristmill.exports import Exported, Exporter, FinishedShards
    from gristmill.run.maintenance.reopen import Dataset

    _Choice = click.Choice[str]
else:
    _Choice = click.Choice  # no generic before click 8.2

_MOST_NAMED = 4
"""Formats that the help of an option names; of more it says how many."""
_KNOWN = {name: exports.find(name) for name in exports.names()}


def _options_of(exporter: Exporter) -> list[click.Option]:
    """A format's fields as options of the command."""
    found = []
    for field in fields(exporter):
        names = [name for name, known in _KNOWN.items() if field.name in {f.name for f in fields(known)}]
        some = (
            f" ({', '.join(names) if len(names) <= _MOST_NAMED else f'{len(names)} formats'})"
            if names
            else ""
        )
        found.append(
            click.Option(
                [f"--{field.name.replace('_', '-')}"],
                is_flag=isinstance(field.default, bool),
                type=type(field.default) if isinstance(field.default, (int, float)) else str,
                default=field.default,
                help=field.metadata["help"] + some,
            )
        )
    return found


def _said_of(name: str, exporter: Exporter) -> str:
    """A format in the paragraph of its own help."""
    line = _line_of(f"{name}: ", exporter)
    return f"{line} Writes {exporter.writes}; reads {exporter.reads}; loses {exporter.loses}."


def _line_of(name: str, exporter: Exporter, width: int = 0) -> str:
    """A format in a line of the help, its name in a column of that width."""
    return f"{name:<{width}}{' '.join((type(exporter).__doc__ or '').split())}"


class _Format(_Choice):
    """The name of a format, or the path of somebody's own file."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See ``click.ParamType``."""
        return value if str(value).endswith(".py") else super().convert(value, param, ctx)


class _Export(click.Command):
    """Has the options of all formats that come with Gristmill, and of somebody's own file where that is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Look first which format is named: it may have options of its own."""
        named = [after for word, after in pairwise(args) if word == "--to"]
        named += [word[5:] for word in args if word.startswith("--to=")]
        ctx.obj = named[0] if named and (named[0] in _KNOWN or named[0].endswith(".py")) else None
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """With those of somebody's own file."""
        own: list[click.Parameter] = []
        if ctx.obj and ctx.obj not in _KNOWN:
            own = [*_options_of(exports.find(ctx.obj))]
        names = {param.name for param in own}
        return [*own, *(param for param in super().get_params(ctx) if param.name not in names)]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Of one format where one is named: what it is and its options alone."""
        if ctx.obj is None:
            super().format_help(ctx, formatter)
            return
        exporter = exports.find(ctx.obj)
        others = {field.name for known in _KNOWN.values() for field in fields(known)}
        others -= {field.name for field in fields(exporter)}
        own_help = self.get_help_option(ctx)  # the command made below has one as well
        params = [one for one in self.get_params(ctx) if one is not own_help and one.name not in others]
        shown = click.Command(self.name, params=params, help=_said_of(ctx.obj, exporter))
        shown.format_help(ctx, formatter)


_EXAMPLES = """\b
Example:
  gristmill export data/coyo-700m --to vila --out playground/data/coyo-700m/pkl02-split
  gristmill export data/mmc4-core --to interleaved-parquet --out mmc4-parquet
  gristmill export data/coyo-700m --to webdataset-index --out data/coyo-700m/index
  gristmill export s3://bucket/coyo-700m --to hf --out s3://bucket/coyo-700m-hf
  gristmill export --to vila --help
"""
_HELP = (
    "Write a finished dataset in a trainer's own format.",
    "\b\n" + "\n".join(_line_of(name, exporter, 20) for name, exporter in _KNOWN.items()),
    "What each writes, reads and loses, and its options: gristmill export --to FORMAT --help. FORMAT may also be the "
    "path of a file of your own. The same command goes on after an interruption.",
    _EXAMPLES,
)


@click.command("export", cls=_Export, help="\n\n".join(_HELP))
@click.argument("folder", type=DatasetPlace(exists=True, file_okay=False, beside=True))
@click.option("--to", "format_", type=_Format([*_KNOWN]), required=True, help="Format.")
@click.option("--out", type=DatasetPlace(beside=True), help="Folder to write into, or s3://BUCKET/PREFIX.")
@store_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, /, folder: Place, format_: str, out: Place | None, as_json: bool, **given: Any
) -> None:
    """Write a finished dataset in a trainer's own format."""
    from gristmill.exports import or_nothing
    from gristmill.ledger.run_config import datasets_in
    from gristmill.run.maintenance.reopen import open_dataset
    from gristmill.storage.files import machine_error

    typed = {
        name: given[name] for name in given if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    exporter = _with_options(format_, typed)
    datasets = datasets_in(folder)
    several = len(datasets) > 1
    if several and not exporter.takes_several:
        raise UsageError(f"{folder} holds {len(datasets)} datasets; name one, for example {datasets[0]}")
    if out is None:
        raise UsageError("name the folder to write into with --out")
    if typed_store_options() and not isinstance(folder, Store) and not isinstance(out, Store):
        raise UsageError(f"{folder} and {out} are folders, and --store-option is for an object store.")
    if isinstance(out, Store):
        _check_store(exporter, format_, folder, datasets if several else (), out)
    told: list[dict[str, object]] = []
    unfinished: list[str] = []
    try:
        if several and isinstance(out, Path):
            _write_several(folder, datasets, exporter, format_, out, told, unfinished, quiet=as_json)
        else:
            with or_nothing(out) if isinstance(out, Path) else nullcontext():
                done = _written(open_dataset(datasets[0]), exporter, out)
            told.append(_plain(datasets[0], done, format_, out))
            if not as_json:
                _tell(done, format_, out)
    except OSError as err:
        raise machine_error(err, str(out)) from err
    if as_json:
        click.echo(json.dumps(told if several else told[0]))
    empty = [str(one["dataset"]) for one in told if one["left_out"] and not one["samples"]]
    if empty:
        raise Incomplete(
            f"No sample of {', '.join(empty)} fits {format_}: all were left out.\n"
            "See the formats and what they hold: gristmill export --help"
        )
    if unfinished:
        raise Incomplete("\n".join(["Not all could be written:", *unfinished]))


for _exporter in _KNOWN.values():
    _there = {param.name for param in command.params}
    command.params += [option for option in _options_of(_exporter) if option.name not in _there]


def _with_options(format_: str, given: dict[str, Any]) -> Exporter:
    """The exporter with what was typed.

    Raises:
        UsageError: It has no such option.
    """
    exporter = exports.find(format_)
    for name in given.keys() - {field.name for field in fields(exporter)}:
        formats = [n for n, known in _KNOWN.items() if name in {field.name for field in fields(known)}]
        raise UsageError(
            f"--{name.replace('_', '-')} is for --to {' or '.join(formats)}; {format_} has no such option."
        )
    return replace(exporter, **given)


def _uploading(out: Store) -> str:
    """Say what to type to put a folder of this machine there."""
    scheme, _, rest = str(out).partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme == "gs":
        return shlex.join(["gcloud", "storage", "rsync", "--recursive", out.title, str(out)])
    if scheme == "az":
        words = ["-s", out.title, "-d", bucket, *(["--destination-path", prefix] if prefix else [])]
        return shlex.join(["az", "storage", "blob", "upload-batch", *words])
    return shlex.join(["aws", "s3", "sync", out.title, str(out)])


def _check_store(
    exporter: Exporter, format_: str, folder: Place, several: Sequence[Place], out: Store
) -> None:
    """See that the format can be written into an object store.

    Raises:
        UsageError: It cannot, with what to type.
    """
    if not exporter.to_stores:
        there = to_type("export", folder, "--to", format_, "--out", out.title)
        raise UsageError(
            f"{format_} writes into folders alone. Give: {there}, then copy that with the store's own client, as: "
            f"{_uploading(out)}"
        )
    if several:
        one = to_type("export", several[0], "--to", format_, "--out", out / store_at(several[0]).title)
        raise UsageError(
            f"{folder} holds {len(several)} datasets; into an object store give one at a time: {one}"
        )


def _written(opened: Dataset, exporter: Exporter, out: Place) -> Exported:
    """Write one dataset, and say what must be said of it."""
    from gristmill.cli.metadata_files import bring_up
    from gristmill.exports import finished_shards

    bring_up(opened)
    shards = finished_shards(opened.folder, opened.config, opened.ledger)
    _check_finished(opened, len(shards.shards), exporter)
    export: Callable[[FinishedShards, Any], Iterator[Exported]] = (
        exporter.export
    )  # a store, where it takes one
    done = _watched(export(shards, out), len(shards.shards))
    for note in done.notes:
        click.echo(f"gristmill: {note}", err=True)
    return done


def _write_several(
    folder: Place,
    datasets: Sequence[Place],
    exporter: Exporter,
    format_: str,
    out: Path,
    told: list[dict[str, object]],
    unfinished: list[str],
    *,
    quiet: bool,
) -> None:
    """Write all datasets that the exporter writes into one folder, and what they have in common."""
    from gristmill.exports import or_nothing
    from gristmill.run.maintenance.reopen import open_dataset

    shared = _that_share_a_folder(folder, datasets, exporter)
    for shards in shared:
        writer, place = exporter.among(shards, out)
        if writer is None:
            continue
        dataset = shards.folder
        try:
            with or_nothing(out):
                done = _written(open_dataset(dataset), writer, place)
        except Incomplete as err:
            unfinished.append(str(err))
            continue
        told.append(_plain(dataset, done, format_, place))
        if not quiet:
            _tell(done if place == out else replace(done, start=""), format_, place)
    if (joined := exporter.join(shared, out)) is None:
        return
    for note in joined.notes:
        click.echo(f"gristmill: {note}", err=True)
    if not quiet:
        click.echo(f"Start training:\n{joined.start}")


def _that_share_a_folder(
    folder: Place, datasets: Sequence[Place], exporter: Exporter
) -> list[FinishedShards]:
    """Those that the exporter writes into one folder; it is said of the others why not."""
    from gristmill.exports import finished_shards
    from gristmill.run.maintenance.reopen import open_dataset

    shared, others = [], defaultdict[str, list[Place]](list)
    for dataset in datasets:
        opened = open_dataset(dataset)
        try:
            shards = finished_shards(dataset, opened.config, opened.ledger)
        except Incomplete as err:
            click.echo(f"gristmill: left out: {err}", err=True)
            continue
        if why := exporter.why_alone(shards):
            others[why].append(dataset)
        else:
            shared.append(shards)
    for why, some in others.items():
        click.echo(f"gristmill: {', '.join(map(str, some))} {why}", err=True)
    if not shared:
        raise UsageError(f"{folder} holds {len(datasets)} datasets; name one, for example {datasets[0]}")
    return shared


def _watched(steps: Iterator[Exported], shards: int) -> Exported:
    """Go through an export, with a line that tells how far it is where somebody watches."""
    watched = sys.stderr.isatty()
    for done in steps:
        if watched:
            click.echo(f"\r{done.shards:,} of {shards:,} shards", nl=False, err=True)
    if watched:
        click.echo(err=True)
    return done


def _check_finished(opened: Dataset, shards: int, exporter: Exporter) -> None:
    """Say so where the dataset has not all of its shards yet; end where the exporter needs all of them."""
    from gristmill.ledger.funnel import funnel

    if funnel(opened.ledger.totals(), opened.config).complete:
        return
    told = f"{opened.folder} is not finished: it has {shards:,} shards so far ({to_type('status', opened.folder)})."
    if exporter.needs_all:
        raise Incomplete(f"{told} {exporter.needs_all}")
    click.echo(f"gristmill: {told} The same command adds the others when they are there.", err=True)


def _plain(dataset: Place, done: Exported, format_: str, out: Place) -> dict[str, object]:
    return {
        "dataset": str(dataset),
        "format": format_,
        "form": done.form,
        "out": str(out),
        "shards": done.shards,
        "samples": done.samples,
        "left_out": done.left_out,
        "reasons": dict(done.reasons),
        "changed": dict(done.changed),
        **({"start": done.start} if done.start else {}),
    }


def _tell(done: Exported, format_: str, out: Place) -> None:
    reader = f", for {done.reader}" if done.reader else ""
    place = f"{out}/{done.file}" if done.file else out
    shards, samples = _counted(done.shards, "shard"), _counted(done.samples, "sample")
    click.echo(f"{place}: {shards}, {samples} as {format_}{reader}")
    for clause, count in sorted(done.changed.items()):
        click.echo(f"  {clause}: {_counted(count, 'sample')}")
    if done.left_out:
        click.echo(f"  left out, because they do not fit: {_counted(done.left_out, 'sample')}")
    for reason, count in sorted(done.reasons.items()):
        click.echo(f"    {reason}: {count:,}")
    if done.start:
        click.echo(f"Start training:\n{done.start}")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
