"""``gristmill check FILE``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gristmill.cli.brought import brought
from gristmill.cli.options import (
    InputPlace,
    LocalPath,
    default_workers,
    json_option,
    pairs,
    store_option,
    workers_option,
)
from gristmill.spec.extras import install

if TYPE_CHECKING:
    from gristmill.steps.conversations.examine import Examination

_WORDS = {"keep": "kept as they are", "fix": "mended", "drop": "dropped"}
_WOULD = {"keep": "kept as they are", "fix": "would be mended", "drop": "would be dropped"}


@click.command("check")
@click.argument("file", type=InputPlace(exists=True, dir_okay=False))
@click.option(
    "--media",
    multiple=True,
    type=InputPlace(exists=True),
    help="A folder that the paths of media are relative to, or an archive that holds them (one part "
    "of a split one stands for all): each medium is looked at.",
)
@click.option(
    "--fix",
    "out",
    type=LocalPath(dir_okay=False),
    metavar="OUT",
    help="Write a mended copy, and OUT.changes.jsonl with what was done to each record. JSON lines if OUT ends in "
    "jsonl, else one array.",
)
@click.option("--rows", default="", help="Where in a JSON object the records are: names joined by dots.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="CODE=keep|fix|drop",
    help="What is done about a code; docs/reference/checks.md lists them.",
)
@click.option(
    "--min-side",
    type=click.IntRange(0),
    default=14,
    help="Pixels; pictures with a shorter side are media_tiny.",
)
@workers_option
@store_option
@json_option
def command(
    file: Path | str,
    media: tuple[Path | str, ...],
    out: Path | None,
    rows: str,
    settings: tuple[str, ...],
    min_side: int,
    workers: int | None,
    as_json: bool,
) -> None:
    """Look at every record of a file of conversations: roles, tags against media, media, ids, paths, texts.

    LLaVA, ShareGPT, Qwen-VL, LLaMA-Factory, swift and OpenAI's messages are read, as JSON or JSON lines. Exit code 3
    where a record would be dropped.

    FILE and --media may be objects in a store (s3://, gs://, az://), --media also a prefix. They are fetched, into
    GRISTMILL_CACHE, for as long as the command works.

    \b
    Example:
      gristmill check llava_v1_5_mix665k.json
      gristmill check train.json --media images --media more.zip --fix train.mended.json
      gristmill check s3://bucket/train.json --media s3://bucket/images.zip
      gristmill check train.jsonl --set system_turn=fix --set mojibake=drop --json
    """
    from gristmill.spec.errors import Incomplete, UsageError
    from gristmill.steps.conversations.examine import examine

    told = sys.stderr.isatty()

    def tell(what: str, number: int) -> None:
        if told:
            click.echo(f"\r{number:,} {what} looked at", nl=False, err=True)

    with brought([file, *media]) as found:
        path, *roots = found
        if path.is_dir():
            raise UsageError(f"{file} is a prefix, and a file is expected. Name an object below it.")
        result = examine(
            path,
            rows=rows,
            settings=pairs("--set", settings),
            media=roots,
            min_side_px=min_side,
            out=out,
            processes=default_workers() if workers is None else max(1, workers),
            tell=tell,
        )
        result.unused = [(found.get(Path(root), root), example) for root, example in result.unused]
    if told:
        click.echo(err=True)
    if as_json:
        click.echo(json.dumps(result.as_json(), indent=2))
    else:
        _print(file, result, out, looked=bool(media))
    if result.undecoded:
        were = (
            "video was only seen to be there"
            if result.undecoded == 1
            else "videos were only seen to be there"
        )
        click.echo(
            f"{result.undecoded:,} {were}. To have them decoded to the last frame: {install('video')}",
            err=True,
        )
    if any(one.action == "drop" for one in result.found):
        done = "were left out" if out else "would be dropped"
        raise Incomplete(
            f"{file}: of {result.records:,} records {result.dropped:,} {done}. What each code means, and --set "
            "CODE=keep|fix|drop: docs/reference/checks.md"
        )


def _print(file: Path | str, result: Examination, out: Path | None, *, looked: bool) -> None:
    """The findings for a person."""
    from gristmill.ledger.words import count_text
    from gristmill.steps.conversations.findings import checks

    shapes = ", ".join(result.shapes) or "no turns"
    click.echo(f"{file}: {count_text(result.records, 'record')}, {result.form or 'empty'} ({shapes})")
    what = _WORDS if out else _WOULD
    click.echo(
        f"  {result.good:,} good, {result.fixed:,} {what['fix']}, {result.dropped:,} {what['drop']}"
        + (f"; {result.media:,} media looked at" if looked else "; media not looked at: --media ROOT")
    )
    for root, example in result.unused if result.media else ():
        holds = f"it holds {example}" if example else "it is empty"
        click.echo(f"  {root} has none of the media that records name: {holds}")
    for one in result.found:
        click.echo(f"\n  {one.code}: {one.count:,}, {what[one.action]}: {checks()[one.code].says}")
        for number, detail in one.examples[:3]:
            place = "the file" if number is None else f"record {number:,}"
            click.echo(f"    {place}" + (f": {detail}" if detail else ""))
    if out is not None:
        click.echo(f"\nWritten: {out}, {out}.changes.jsonl")
