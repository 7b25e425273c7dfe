"""``gristmill crawl URLS --out DIR``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gristmill.cli.evaluation_lists import with_lists
from gristmill.cli.framing import framing_options, framing_settings
from gristmill.cli.list_check import Described, check_list, text_columns
from gristmill.cli.list_place import ListPlace, found_list, local_list
from gristmill.cli.options import (
    DatasetPlace,
    default_workers,
    json_option,
    pairs,
    parse_span,
    politeness_options,
    reads_store,
    recipe_loader,
    run_options,
    runtime_options,
    store_option,
)
from gristmill.spec.errors import SourceError, UsageError
from gristmill.storage.store import Place, store_at

if TYPE_CHECKING:
    from gristmill.run.workers.launch import Launched

_AHEAD = (
    "gristmill.recipes._command_crawl",
    "gristmill.run.stages._samples",
    "gristmill.steps.acquirers.url",
)
"""What a worker of a crawl loads, whatever the list."""
CAPTIONS = ("first", "joined", "each")
_MODES = ("no", "keep_ratio", "keep_ratio_largest", "center_crop", "border")


def picture_options(function: Any) -> Any:
    """Say what becomes of a picture: settings of the step ``crawl`` under friendlier names."""
    for option in reversed(
        [
            click.option("--resize", "resize_mode", type=click.Choice(_MODES), help="Default: keep_ratio."),
            click.option("--size", "size_px", type=click.IntRange(1), help="Wanted side, pixels (336)."),
            click.option("--enlarge", is_flag=True, help="Also bring smaller pictures to that size."),
            click.option(
                "--format", "format_", type=click.Choice(["jpeg", "png", "webp"]), help="To store as (jpeg)."
            ),
            click.option("--encode-quality", type=click.IntRange(1, 100), help="Of the encoder (75)."),
            click.option("--quality", type=click.Choice(["fast", "default", "quality"]), help="Of resizing."),
            click.option("--keep-original", is_flag=True, help="Keep a JPEG's bytes if it already fits."),
            click.option("--min-side", "min_side_px", type=click.IntRange(0), help="Drop smaller pictures."),
            click.option(
                "--max-aspect", type=float, help="Drop pictures longer than so many times their width."
            ),
            click.option("--shard-samples", type=click.IntRange(1), help="Samples a shard (10,000)."),
        ]
    ):
        function = option(function)
    return function


@click.command("crawl")
@click.argument("urls", is_eager=True, callback=reads_store)
@click.option("--out", required=True, type=DatasetPlace(file_okay=False), help="Where to.")
@click.option(
    "--url-column", default="url", show_default=True, help="Holds the addresses. A path will do: image.url"
)
@click.option("--caption-column", help="Becomes the .txt part.")
@click.option(
    "--captions",
    type=click.Choice(CAPTIONS),
    help="Of several captions a row: the first, all, a line each, or a sample of each.",
)
@click.option("--hash-column", help="Checksum of the bytes that must come, in hex or Base64.")
@click.option(
    "--hash-kind", type=click.Choice(["sha256", "md5", "sha512"]), default="sha256", help="Of that checksum."
)
@click.option(
    "--drop-column", "drop_columns", multiple=True, help="Not to be carried; may be given again for others."
)
@framing_options
@click.option(
    "--name", default="crawl", show_default=True, help="Of the dataset; parts of a mixture have one."
)
@click.option("--title", help="For the card.")
@click.option("--license", help="For the card, as an SPDX name or your own words.")
@click.option("--description", help="For the card.")
@picture_options
@run_options
@politeness_options
@store_option
@json_option
def command(urls: str, out: Place, **given: Any) -> None:
    """Fetch every image of a list (txt, csv, tsv, json, jsonl or parquet; a file or a folder of them).

    URLS may also be an address (https://), hf://datasets/OWNER/NAME@REVISION/PATH, an object or a prefix of a store
    (s3://, gs://, az://), or - for what comes through a pipe, with --set rows.format=csv or the like.

    \b
    Example:
      gristmill crawl urls.parquet --out pictures --caption-column text
      gristmill crawl urls.txt --out pictures --resize center_crop --size 256

    All columns are carried but those of --drop-column, as for pictures beside their
    URLs. The same command continues what was interrupted.
    """
    from gristmill.ledger.run_config import RunConfig
    from gristmill.run.workers.launch import launched

    local_list(urls)
    workers = given["workers"]
    workers = default_workers(given["on"]) if workers is None else workers
    local = store_at(out).local  # what is begun there may have nothing left to do
    begun = any(local.iterdir()) if local and local.is_dir() else RunConfig.lies_in(out)
    here = given["on"] == "local" and not begun
    with launched(workers if here else 0, arrow_pool="system", ahead=_AHEAD) as ready:
        typed = pairs("--set", given["settings"])
        with found_list(urls, out, typed.get("rows.format")) as place:
            _crawl(place, out, given, workers, ready)


def _crawl(place: ListPlace, out: Place, given: dict[str, Any], workers: int, ready: list[Launched]) -> None:
    from gristmill.cli.finish import run_and_tell
    from gristmill.ledger.run_config import RunConfig
    from gristmill.run.begin import Job
    from gristmill.run.inputs.resolve import resolve
    from gristmill.steps.rows import TakeRows

    said = Described(**{field.name: given[field.name] for field in fields(Described)})
    if not said.url_column:
        raise UsageError("--url-column: expected the name of a column")
    words = {name: given[name] for name in ("name", "title", "license", "description")}
    arguments = {**place.arguments, **asdict(said), **words}
    carried = {"rows.drop_columns": ",".join(given["drop_columns"])} if given["drop_columns"] else {}
    settings = {
        **_picture_settings(given),
        **framing_settings(given),
        **carried,
        **pairs("--set", given["settings"]),
    }
    recipe = recipe_loader("crawl", arguments, settings)()
    settings = with_lists(recipe, settings, out)
    recipe = recipe_loader("crawl", arguments, settings)()
    framing = next(step.framing for step in recipe.steps if isinstance(step, TakeRows))
    resolved = resolve(recipe, {}, out)
    if place.origin is not None:
        resolved = replace(resolved, sources={"list": place.origin})
    for path in [Path(file.path) for file in resolved.inputs if file.path][:1]:
        with (
            suppress(SourceError) if len(resolved.inputs) > 1 else nullcontext()
        ):  # of many the run says which is damaged
            check_list(path, framing, said)
            if not said.caption_column and not RunConfig.lies_in(out):
                _tell_captions(text_columns(path, framing, said), given["drop_columns"])
    runtime = runtime_options(
        given["contact"],
        given["allow_private_addresses"],
        given["no_verify_tls"],
        given["in_flight"],
        given["per_host"],
        given["min_kept"],
        given["proxy"],
    )
    job = Job(
        load=recipe_loader("crawl", arguments, {**settings, **runtime}),
        reference="crawl",
        folder=out,
        arguments={key: value for key, value in arguments.items() if key != "path"},
        settings=settings,
        runtime=runtime,
        only=given["only"],
        span=parse_span(given["tasks"], given["share"]),
        share=given["share"],
        on=given["on"],
        workers=workers,
        resolved=resolved,
    )
    run_and_tell(job, as_json=given["as_json"], ready=ready)


def _tell_captions(columns: Sequence[str], dropped: Sequence[str]) -> None:
    """Say which columns may be captions, where none was named."""
    if columns := [name for name in columns if name not in dropped]:
        click.echo(
            f"Every .txt will be empty, since no column was named for it. Columns of text: {', '.join(columns)}. For "
            f"captions give {shlex.join(['--caption-column', columns[0]])} now; a folder that is begun takes none.",
            err=True,
        )


def _picture_settings(given: dict[str, Any]) -> dict[str, str]:
    names = ("resize_mode", "size_px", "encode_quality", "quality", "min_side_px", "max_aspect")
    settings = {f"crawl.{name}": str(given[name]) for name in names if given[name] is not None}
    if given["format_"]:
        settings["crawl.format"] = given["format_"]
    for flag in ("enlarge", "keep_original"):
        if given[flag]:
            settings[f"crawl.{flag}"] = "true"
    if given["shard_samples"]:
        settings["pack.shard_samples"] = str(given["shard_samples"])
    return settings
