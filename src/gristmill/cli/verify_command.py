"""``gristmill verify DIR``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from gristmill.cli.options import DatasetPlace, default_workers, json_option, store_option
from gristmill.spec.command import to_type
from gristmill.storage.store import Place

if TYPE_CHECKING:
    from gristmill.ledger.at_work import AtWork
    from gristmill.run.maintenance.verify import Verified


@click.command("verify")
@click.argument("folder", type=DatasetPlace(exists=True, file_okay=False))
@click.option("--no-decode", is_flag=True, help="Checksums, counts and keys only.")
@click.option("--repair", is_flag=True, help="Let the next run make damaged files anew.")
@store_option
@json_option
def command(folder: Place, no_decode: bool, repair: bool, as_json: bool) -> None:
    """Read all of it back as a trainer would: checksums, counts, keys, decodes, text against parts.

    \b
    Example:
      gristmill verify data/coyo-700m
      gristmill verify data --repair
    """
    from gristmill.cli.metadata_files import bring_up
    from gristmill.ledger.at_work import at_work
    from gristmill.ledger.ledger import STATE
    from gristmill.ledger.manifest import MANIFEST
    from gristmill.ledger.run_config import datasets_in
    from gristmill.ledger.words import count_text, size_text
    from gristmill.run.maintenance.clean import is_complete
    from gristmill.run.maintenance.reopen import open_dataset
    from gristmill.run.maintenance.verify import damaged_records, verify
    from gristmill.run.state.layout import MADE, METADATA_FILES
    from gristmill.spec.errors import DamagedOutput

    def tell(so_far: Verified) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{so_far.shards:,} shards, {so_far.samples:,} samples read", nl=False, err=True)

    results = []
    for dataset in datasets_in(folder):
        opened = open_dataset(dataset, made=False)
        complete = is_complete(opened.config, opened.ledger)
        working = [] if complete else [one for one in at_work(opened.ledger.store) if not one.gone]
        result = verify(
            opened.ledger,
            threads=default_workers(),
            decode=not no_decode,
            complete=complete,
            tell=tell,
        )
        if sys.stderr.isatty():
            click.echo(err=True)
        unknown = any(place.partition("/")[0] in {*MADE, STATE} for place, _ in result.problems)
        if not unknown and (repair or all(place != MANIFEST for place, _ in result.problems)):
            behind = {place for place, _ in [*result.problems, *result.remarks]} & {*METADATA_FILES}
            bring_up(opened, anew=repair and bool(behind))  # else a person must know of it first
        if not complete:
            result.remarks.insert(
                0, (".", f"not complete yet; this is what is finished{_by_others(working)}")
            )
        results.append((dataset, result))
        if repair:
            for record in damaged_records(opened.ledger, result):
                opened.ledger.void(record.task_id)
    if as_json:
        click.echo(json.dumps([_plain(dataset, result) for dataset, result in results], indent=2))
    for dataset, result in results:
        if not as_json:
            click.echo(
                f"{dataset}: {count_text(result.shards, 'shard')}, {count_text(result.samples, 'sample')}, "
                f"{_media_of(result)}, {size_text(result.size_bytes)}: {_said_of(result)}"
            )
            for place, problem in [*result.problems[:20], *result.remarks[:20]]:
                click.echo(f"  {place}: {problem}")
    if any(result.problems for _, result in results):
        then = "A run of the same does not mend it: see what is said of each."
        if any(len(result.problems) > len(result.foreign) for _, result in results):
            anew = f"give: {to_type('verify', folder, '--repair')}, then the run's command"
            if repair:
                anew = "give the run's command again"
            then = f"To make it anew, {anew}."
        raise DamagedOutput(f"something is not as recorded. {then}")


def _by_others(working: Sequence[AtWork]) -> str:
    if not working:
        return ""
    more = f" and {len(working) - 1:,} more" if len(working) > 1 else ""
    return f". At work on it: {working[0].title}{more}; what belongs to no record may be being written"


def _media_of(result: Verified) -> str:
    from gristmill.ledger.words import count_text

    videos = count_text(result.videos, "video")
    pictures = count_text(result.pictures, "picture")
    return (
        videos
        if result.videos and not result.pictures
        else f"{pictures}, {videos}"
        if result.videos
        else pictures
    )


def _said_of(result: Verified) -> str:
    if result.problems:
        return "DAMAGED"
    noticed = any(place != "." for place, _ in result.remarks)
    return "as recorded, but for what follows" if noticed else "all as recorded"


def _plain(dataset: Place, result: Verified) -> dict[str, object]:
    from dataclasses import asdict

    return {"dataset": str(dataset), **asdict(result)}
