"""``gristmill crawl URLS --out DIR``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gristmill.cli.options import (
    LocalPath,
    circumstances,
    default_workers,
    json_option,
    manner_options,
    pairs,
    parse_span,
    recipe_loader,
    run_options,
)
from gristmill.spec.errors import UsageError

if TYPE_CHECKING:
    from gristmill.run.launch import Launched

_AHEAD = ("gristmill.recipes._url_list", "gristmill.run.stages.samples", "gristmill.steps.crawl_engine")
"""What a worker of a crawl loads, whatever the list."""
_MODES = ("no", "keep_ratio", "keep_ratio_largest", "center_crop", "border")


def picture_options(function: Any) -> Any:
    """What becomes of a picture: settings of the step ``crawl`` under friendlier names."""
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
@click.argument("urls", type=LocalPath())
@click.option("--out", required=True, type=LocalPath(file_okay=False), help="Where to.")
@click.option("--url-column", default="url", show_default=True, help="Holds the addresses.")
@click.option("--caption-column", help="Becomes the .txt part.")
@click.option("--hash-column", help="Checksum of the bytes that must come.")
@click.option(
    "--hash-kind", type=click.Choice(["sha256", "md5", "sha512"]), default="sha256", help="Of that checksum."
)
@picture_options
@run_options
@manner_options
@json_option
def command(urls: Path, out: Path, **given: Any) -> None:
    """Fetch every image of a list (txt, csv, tsv, json, jsonl or parquet; a file or a folder of them).

    \b
    Example:
      gristmill crawl urls.parquet --out pictures --caption-column text
      gristmill crawl urls.txt --out pictures --resize center_crop --size 256 --contact me@example.org

    All columns are carried. The same command continues what was interrupted.
    """
    from gristmill.run.launch import launched

    if not urls.exists():
        raise UsageError(f"{urls}: there is no such file or folder.")
    workers = given["workers"]
    workers = default_workers() if workers is None else workers
    begun = out.is_dir() and any(out.iterdir())  # then there may be nothing left to do
    with launched(0 if begun else workers, arrow_pool="system", ahead=_AHEAD) as ready:
        _crawl(urls, out, given, workers, ready)


def _crawl(urls: Path, out: Path, given: dict[str, Any], workers: int, ready: list[Launched]) -> None:
    from gristmill.cli.finish import run_and_tell
    from gristmill.run.begin import Job

    arguments = {
        "path": str(urls.resolve()),
        "url_column": given["url_column"],
        "caption_column": given["caption_column"],
        "hash_column": given["hash_column"],
        "hash_kind": given["hash_kind"],
    }
    settings = {**_picture_settings(given), **pairs("--set", given["settings"])}
    _check_list(urls, arguments, settings.get("rows.format"))
    manners = circumstances(
        given["contact"],
        given["allow_private_addresses"],
        given["no_verify_tls"],
        given["in_flight"],
        given["per_host"],
    )
    job = Job(
        load=recipe_loader("crawl", arguments, {**settings, **manners}),
        reference="crawl",
        folder=out,
        arguments={key: value for key, value in arguments.items() if key != "path"},
        settings=settings,
        manners=manners,
        only=given["only"],
        span=parse_span(given["tasks"]),
        workers=workers,
    )
    run_and_tell(job, as_json=given["as_json"], ready=ready)


def _check_list(urls: Path, arguments: dict[str, Any], file_format: str | None) -> None:
    """A single list's columns are looked at before anything is begun."""
    if not arguments["url_column"]:
        raise UsageError("--url-column: expected the name of a column")
    if urls.is_file():
        from gristmill.shards.rows import guess_format

        kinds = ("url", "caption", "hash")
        named = {f"--{kind}-column": arguments[f"{kind}_column"] for kind in kinds}
        named = {option: column for option, column in named.items() if column}
        file_format = file_format or guess_format(urls)
        _check_names(urls, file_format, named)
        if file_format == "parquet":
            _check_texts(urls, list(named.values()))


def _check_names(urls: Path, file_format: str, named: Mapping[str, str]) -> None:
    """See that a list has the columns that options name."""
    from gristmill.steps.rows import missing_columns

    missing, have = missing_columns(urls, file_format, list(named.values()))
    if missing:
        lacking = {option: column for option, column in named.items() if column in missing}
        lost = ", ".join(f"{column!r} ({option})" for option, column in lacking.items())
        words = " ".join(f"{option} COLUMN" for option in lacking)
        raise UsageError(
            f"{urls} has no column {lost}; it has {', '.join(have) or 'none'}. Name one of these: {words}."
        )


def _check_texts(urls: Path, columns: Sequence[str]) -> None:
    """See that the columns of a Parquet list are of text; the first holds the addresses, and some value."""
    from gristmill.shards.column_kinds import is_kind, only_nulls, types_of

    types = types_of(urls)
    others = [
        f"{name!r} is {types[name]}" for name in columns if not is_kind(types[name], "string or binary")
    ]
    if not others and only_nulls(urls, columns[0]):
        others = [f"{columns[0]!r} holds nothing but nulls"]
    if others:
        texts = [
            name
            for name, kind in types.items()
            if is_kind(kind, "string or binary") and not only_nulls(urls, name)
        ]
        raise UsageError(
            f"{urls}: {', '.join(others)}, and a column of text is expected. Such are: {', '.join(texts) or 'none'}. "
            "Name them with --url-column, --caption-column and --hash-column."
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
