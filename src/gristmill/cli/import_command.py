"""``gristmill import PLACE --from FORM --out OUT``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gristmill.cli.evaluation_lists import with_lists
from gristmill.cli.options import (
    DatasetPlace,
    InputPlace,
    LocalPath,
    default_workers,
    json_option,
    pairs,
    parse_span,
    recipe_loader,
    run_options,
    store_option,
)
from gristmill.spec.errors import UsageError
from gristmill.spec.place import is_address, path_of
from gristmill.storage.bucket import is_stored
from gristmill.storage.store import Place

if TYPE_CHECKING:
    from gristmill.run.begin import Job

_FORMS = ("auto", "coyo", "mmc4", "vflan")
_OF_VILA, _OF_LLAVA = ("form", "images", "keep_damaged"), ("media", "videos", "name", "title", "license")


@click.command("import")
@click.argument("place", metavar="PLACE", type=InputPlace())
@click.option(
    "--from", "format_", type=click.Choice(["vila", "llava"]), required=True, help="What lies there."
)
@click.option("--out", required=True, type=DatasetPlace(), help="Where to.")
@click.option(
    "--form", type=click.Choice(_FORMS), help="vila: of the items; auto: each file's by its keys (auto)."
)
@click.option(
    "--images",
    type=LocalPath(),
    help="vila: folder of pictures that items name by a path ending in .jpg. Without it such items are dropped.",
)
@click.option(
    "--keep-damaged", is_flag=True, help="vila: of a damaged pickle keep the items before the damage."
)
@click.option(
    "--media",
    multiple=True,
    metavar="PATH",
    help="llava: folder or archive of what records name; may be given again. Default: beside PLACE.",
)
@click.option("--videos", is_flag=True, help="llava: records may name videos. Needs the extra `video`.")
@click.option("--name", help="llava: of the dataset (conversations).")
@click.option("--title", help="llava: for the card.")
@click.option("--license", help="llava: for the card, as an SPDX name or your own words.")
@click.option("--shard-samples", type=click.IntRange(1), help="Samples a shard.")
@run_options
@store_option
@json_option
def command(place: Path | str, **given: Any) -> None:
    """Take what trainers read into shards: VILA's pickles, or conversations in LLaVA's form with their media.

    vila: PLACE is a pickle, or a folder of pickles of one form: captions (coyo), documents (mmc4), or questions with
    answers (vflan). Nothing in them is run: a pickle that names a class or a function is refused.

    llava: PLACE is JSON or JSON Lines of {id, image, conversations}, or a folder of such files. Each record is
    checked, as `gristmill check` checks it, and its media are taken where they lie. PLACE and --media may be
    addresses in an object store: of a file, or a prefix.

    The same command continues what was interrupted.

    \b
    Example:
      gristmill import playground/data/coyo-700m/pkl02-split --from vila --out coyo
      gristmill import vqa_gqa_train.pkl --from vila --out gqa --images playground/data/coco
      gristmill import mine.json --from llava --media pictures.zip --name mine --out data/mine
    """
    from gristmill.cli.finish import run_and_tell

    if isinstance(place, Path) and not place.exists():
        raise UsageError(f"{place}: there is no such file or folder.")
    out: Place = given["out"]
    if isinstance(out, Path) and out.is_file():
        raise UsageError(f"{out} is a file. Name a folder with --out.")
    of_other = {
        option: value
        for option, value in given.items()
        if value and option in (_OF_LLAVA if given["format_"] == "vila" else _OF_VILA)
    }
    if of_other:
        names = ", ".join(f"--{option.replace('_', '-')}" for option in of_other)
        raise UsageError(f"{names}: not with --from {given['format_']}")
    if given["format_"] == "llava":
        job = _conversations(place, out, given)
    elif isinstance(place, Path):
        job = _pickles(place, out, given)
    else:
        raise UsageError(f"{place}: pickles are read on this machine. Mount it, or copy it.")
    run_and_tell(job, as_json=given["as_json"])


def _pickles(place: Path, out: Place, given: Mapping[str, Any]) -> Job:
    if place.is_dir() and isinstance(out, Path) and out.resolve().is_relative_to(place.resolve()):
        raise UsageError(
            f"{out} lies in {place}, which VILA's loaders count the files of. Name another --out."
        )
    images: Path | None = given["images"]
    if images is not None and not images.is_dir():
        raise UsageError(f"--images {images}: there is no such folder.")
    runtime = {} if images is None else {"pickles.images": str(images.resolve())}
    return _job("import", {"path": str(place.resolve())}, out, given, runtime=runtime)


def _conversations(place: Path | str, out: Place, given: Mapping[str, Any]) -> Job:
    named = [path_of(path) for path in given["media"]]
    missing = [
        path for path in named if not is_stored(path) and (is_address(path) or not Path(path).exists())
    ]
    if missing:
        raise UsageError(f"--media {missing[0]}: there is no such file or folder.")
    words = {name: given[name] for name in ("name", "title", "license") if given[name] is not None}
    media = os.pathsep.join(named)
    if isinstance(place, Path):
        media = media or str(place if place.is_dir() else place.resolve().parent)
        place = str(place.resolve())
    elif not media:
        raise UsageError(f"{place}: --media is needed: say where its media are.")
    arguments = {"path": place, "kind": "videos" if given["videos"] else "pictures", **words}
    return _job("conversations", arguments, out, given, replaced={"media": media})


def _job(
    reference: str,
    arguments: Mapping[str, Any],
    out: Place,
    given: Mapping[str, Any],
    *,
    runtime: Mapping[str, str] | None = None,
    replaced: Mapping[str, str] | None = None,
) -> Job:
    from gristmill.run.begin import Job

    settings = {**_settings(given), **pairs("--set", given["settings"])}
    recipe = recipe_loader(reference, dict(arguments), {**settings, **(runtime or {})})()
    settings = with_lists(recipe, settings, out)
    load = recipe_loader(reference, dict(arguments), {**settings, **(runtime or {})})
    load()  # what is wrong with a setting is said before a folder is made
    workers = given["workers"]
    return Job(
        load=load,
        reference=reference,
        folder=out,
        arguments={key: value for key, value in arguments.items() if key != "path"},
        settings=settings,
        runtime=runtime or {},
        replaced=replaced or {},
        only=given["only"],
        span=parse_span(given["tasks"], given["share"]),
        share=given["share"],
        on=given["on"],
        workers=default_workers() if workers is None else workers,
    )


def _settings(given: Mapping[str, Any]) -> dict[str, str]:
    settings = {}
    if given["form"]:
        settings["pickles.form"] = given["form"]
    if given["keep_damaged"]:
        settings["pickles.damaged"] = "keep"
    if given["shard_samples"]:
        settings["pack.shard_samples"] = str(given["shard_samples"])
    return settings
