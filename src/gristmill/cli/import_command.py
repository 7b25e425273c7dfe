"""``gristmill import DIR --from vila --out OUT``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gristmill.cli.options import (
    LocalPath,
    default_workers,
    json_option,
    pairs,
    parse_span,
    recipe_loader,
    run_options,
)
from gristmill.spec.errors import UsageError

_FORMS = ("auto", "coyo", "mmc4", "vflan")


@click.command("import")
@click.argument("place", metavar="DIR", type=LocalPath())
@click.option("--from", "format_", type=click.Choice(["vila"]), required=True, help="What lies in DIR.")
@click.option("--out", required=True, type=LocalPath(), help="Where to.")
@click.option("--form", type=click.Choice(_FORMS), help="Of the items; auto: each file's by its keys (auto).")
@click.option(
    "--images",
    type=LocalPath(),
    help="Folder of pictures that items name by a path ending in .jpg. Without it such items are dropped.",
)
@click.option("--keep-damaged", is_flag=True, help="Of a damaged pickle keep the items before the damage.")
@click.option("--shard-samples", type=click.IntRange(1), help="Samples a shard (10,000).")
@run_options
@json_option
def command(place: Path, **given: Any) -> None:
    """Take VILA's pickles into shards, without running anything in them.

    DIR is a pickle, or a folder of pickles of one form: captions (coyo), documents (mmc4), or questions with
    answers (vflan). A pickle that names a class or a function is refused. The same command continues what was
    interrupted.

    \b
    Example:
      gristmill import playground/data/coyo-700m/pkl02-split --from vila --out coyo
      gristmill import vqa_gqa_train.pkl --from vila --out gqa --images playground/data/coco
    """
    from gristmill.cli.finish import run_and_tell
    from gristmill.run.begin import Job

    if not place.exists():
        raise UsageError(f"{place}: there is no such file or folder.")
    out: Path = given["out"]
    if out.is_file():
        raise UsageError(f"{out} is a file. Name a folder with --out.")
    if place.is_dir() and out.resolve().is_relative_to(place.resolve()):
        raise UsageError(
            f"{out} lies in {place}, which VILA's loaders count the files of. Name another --out."
        )
    images: Path | None = given["images"]
    if images is not None and not images.is_dir():
        raise UsageError(f"--images {images}: there is no such folder.")
    arguments = {"path": str(place.resolve())}
    settings = {**_settings(given), **pairs("--set", given["settings"])}
    runtime = {} if images is None else {"pickles.images": str(images.resolve())}
    workers = given["workers"]
    load = recipe_loader("import", arguments, {**settings, **runtime})
    load()  # what is wrong with a setting is said before a folder is made
    job = Job(
        load=load,
        reference="import",
        folder=out,
        settings=settings,
        runtime=runtime,
        only=given["only"],
        span=parse_span(given["tasks"], given["share"]),
        share=given["share"],
        on=given["on"],
        workers=default_workers() if workers is None else workers,
    )
    run_and_tell(job, as_json=given["as_json"])


def _settings(given: dict[str, Any]) -> dict[str, str]:
    settings = {}
    if given["form"]:
        settings["pickles.form"] = given["form"]
    if given["keep_damaged"]:
        settings["pickles.damaged"] = "keep"
    if given["shard_samples"]:
        settings["pack.shard_samples"] = str(given["shard_samples"])
    return settings
