"""``gristmill hashes SET --out LIST.parquet``."""

from __future__ import annotations

import dataclasses
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
    store_option,
    workers_option,
)

if TYPE_CHECKING:
    from gristmill.steps.evaluation_sets import Hashed

__all__ = ["command", "hashed_aloud"]


@click.command("hashes")
@click.argument("place", metavar="SET", type=InputPlace(exists=True))
@click.option("--out", required=True, type=LocalPath(dir_okay=False), help="The list: a Parquet file.")
@click.option(
    "--ngram",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="Words of an n-gram of questions.",
)
@click.option("--text-column", help="The column with the questions, if it has another name than usual.")
@click.option("--thumbnails", is_flag=True, help="Also keep a small picture of each, to look at.")
@workers_option
@store_option
@json_option
def command(
    place: Path | str,
    out: Path,
    ngram: int,
    text_column: str | None,
    thumbnails: bool,
    workers: int | None,
    as_json: bool,
) -> None:
    """Write what must be known of an evaluation set to keep it out of training data.

    SET is a folder of pictures, a Parquet file with pictures in its cells, a TSV with Base64 as VLMEvalKit's, or a
    folder of such. The list holds hashes of pictures and of questions' n-grams, so it can be passed on without them.

    SET may be an object, or a prefix, in an object store (s3://, gs://, az://). It is fetched, into GRISTMILL_CACHE,
    for as long as the command works.

    \b
    Example:
      gristmill hashes LMUData/MMBench_DEV_EN.tsv --out lists/mmbench.parquet
      gristmill hashes vizwiz-val --out lists/vizwiz.parquet --thumbnails
    """
    with brought([place]) as found:
        (path,) = found
        hashed = hashed_aloud(
            path,
            out,
            n=ngram,
            thumbnails=thumbnails,
            text_column=text_column,
            processes=default_workers() if workers is None else max(1, workers),
            called=str(place),
        )
    if as_json:
        click.echo(json.dumps({"list": str(out), **dataclasses.asdict(hashed)}, indent=2))
    else:
        click.echo(f"Written: {out}")


def hashed_aloud(
    place: Path,
    out: Path,
    *,
    n: int,
    thumbnails: bool,
    processes: int,
    text_column: str | None = None,
    called: str = "",
) -> Hashed:
    """Write a hash list, and say on standard error what it holds and what it could not."""
    from gristmill.ledger.words import count_text
    from gristmill.steps.evaluation_sets import hash_set

    told = sys.stderr.isatty()

    def tell(items: int) -> None:
        if told:
            click.echo(f"\r{items:,} items of {place.name} hashed", nl=False, err=True)

    hashed = hash_set(
        place, out, n=n, thumbnails=thumbnails, processes=processes, text_column=text_column, tell=tell
    )
    if told:
        click.echo(err=True)
    listed = f"{count_text(hashed.pictures, 'picture')} and {count_text(hashed.questions, 'question')}"
    click.echo(
        f"{called or place}: {listed} are known by their hashes. Not compared: {hashed.constant:,} near-constant "
        f"pictures, {hashed.short:,} questions without {n} words of their own.",
        err=True,
    )
    for name, why in hashed.unreadable[:5]:
        click.echo(f"  not readable: {name}: {why}", err=True)
    if len(hashed.unreadable) > 5:
        click.echo(f"  and {len(hashed.unreadable) - 5:,} more pictures are not readable", err=True)
    return hashed
