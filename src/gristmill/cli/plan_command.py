"""``gristmill plan NAME``."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gristmill.cli.list_place import is_list, list_recipe
from gristmill.cli.options import (
    MOST_ROWS,
    DatasetPlace,
    copies_of,
    json_option,
    pairs,
    politeness_options,
    reads_store,
    recipe_loader,
    recipes_of,
    runtime_options,
    stage_option,
    store_option,
    workers_option,
)
from gristmill.spec.command import to_type
from gristmill.spec.errors import SourceError, UsageError
from gristmill.spec.place import is_address
from gristmill.storage.bucket import is_stored
from gristmill.storage.store import Place

if TYPE_CHECKING:
    from gristmill.cli.planned_mix import PlannedMix
    from gristmill.run.planning.plan import Planned
    from gristmill.run.probing.findings import Probed
    from gristmill.spec.recipe import Recipe

_PROBED, _MOST_PROBED = 500, 20_000


@click.command("plan")
@click.argument("name", is_eager=True, callback=reads_store)
@click.option(
    "--source", "sources", multiple=True, metavar="KEY=PATH_OR_URL", help="A copy or mirror of a source."
)
@click.option("--set", "settings", multiple=True, metavar="STEP.FIELD=VALUE", help="As for `gristmill run`.")
@click.option("--only", type=click.IntRange(1, MOST_ROWS), help="As for `gristmill run`.")
@click.option(
    "--out",
    type=DatasetPlace(file_okay=False),
    help="Also look at this disk, and what is done.",
)
@stage_option
@click.option("--offline", is_flag=True, help="Ask nobody: use the published figures.")
@click.option(
    "--probe",
    "probed",
    is_flag=False,
    flag_value=_PROBED,
    type=click.IntRange(1, _MOST_PROBED),
    metavar="N",
    help=f"Of what crawls: ask for the media of N rows ({_PROBED}), and say what may be expected of all.",
)
@click.option("--url-column", default="url", show_default=True, help="Of a list, as for `gristmill crawl`.")
@workers_option
@politeness_options
@store_option
@json_option
def command(
    name: str,
    sources: tuple[str, ...],
    settings: tuple[str, ...],
    only: int | None,
    out: Place | None,
    stage: str | None,
    offline: bool,
    probed: int | None,
    url_column: str,
    workers: int | None,
    as_json: bool,
    **manners: Any,
) -> None:
    """Say what a run of NAME would fetch, ask for and write, and which access it needs. Moves nothing.

    NAME may also be a list of URLs, as `gristmill crawl` takes it.

    With --probe a sample of the media is asked for as a run would, politely, and forgotten: how many will be kept,
    with a 95 % interval, bytes, hours, and which hosts do not answer. It takes a minute or some. The options for how
    to ask, and --workers, are for this.

    Of a mixture: which parts are finished in DIR, what those take that are not, by published figures, and what
    mixing them would write. Of the stages of a training, as vila-v1.5: what you must fetch or sign first, then all
    parts.

    \b
    Example:
      gristmill plan coyo-700m
      gristmill plan coyo-700m --source annotations=/mnt/coyo --out data
      gristmill plan urls.parquet
      gristmill plan coyo-700m --probe 500 --contact you@example.org
      gristmill plan vila-v1.5 --out data
    """
    from gristmill import mixtures
    from gristmill.cli.many import for_each
    from gristmill.cli.planned_mix import plan_mixture
    from gristmill.ledger.run_config import RunConfig
    from gristmill.ledger.words import size_text
    from gristmill.run.planning.plan import media_bytes, plan

    free = shutil.disk_usage(_existing(out)).free if isinstance(out, Path) else None

    tell = partial(_tell, free=free, as_json=as_json)
    runtime = runtime_options(**manners)
    if probed is not None:
        from gristmill.cli.probed import probe_named

        if offline:
            raise UsageError("--probe asks for media, and --offline asks nobody: give one of them.")
        given = pairs("--source", sources), {**pairs("--set", settings)}, runtime
        planned_one, sample = probe_named(
            name, probed, *given, url_column=url_column, only=only, out=out, workers=workers
        )
        tell(planned_one, sample)
        if sample.interrupted:
            sys.exit(128 + sample.signalled)
        return
    if runtime or workers is not None:
        raise UsageError(
            "--workers, and the options for how to ask, are for --probe: without it nobody is asked."
        )

    if name in mixtures.groups():
        from gristmill.cli.mixture_group import plan_group

        changed = pairs("--set", settings)
        plan_group(
            name, stage, out, sources=pairs("--source", sources), settings=changed, only=only, as_json=as_json
        )
        return
    if mixtures.is_mixture(name):
        from gristmill.cli.prepare import own_settings

        mixture, replaced, changed = mixtures.find(name), pairs("--source", sources), pairs("--set", settings)
        own_settings(mixture, name, replaced, changed)
        tell(plan_mixture(mixture, name, out, replaced, changed, only))
        return

    if is_list(name):
        if out is not None and is_stored(name) and RunConfig.lies_in(out):
            raise UsageError(
                f"{out} was begun with a copy of a list; one in a store is not compared with it."
                f"\nWhat is done there, and what is left: {to_type('status', out)}"
            )
        crawl = list_recipe(name, url_column, pairs("--set", settings))
        tell(plan(crawl, pairs("--source", sources), only=only, folder=out, offline=False))
        _tell_captions(crawl, pairs("--source", sources), out, url_column)
        return

    planned: list[Planned] = []

    members = recipes_of(name)
    copies = copies_of(name, members, pairs("--source", sources))

    def plan_one(name: str) -> None:
        recipe = recipe_loader(name, None, pairs("--set", settings))()
        folder = out / recipe.public_name if out else None
        planned.append(plan(recipe, copies[name], only=only, folder=folder, offline=offline))
        tell(planned[-1])

    for_each(members, plan_one, as_json=as_json)
    if len(planned) > 1 and not as_json:
        media = media_bytes(source for one in planned for source in one.media)
        beside = f", {size_text(media)} of media beside (what several share is fetched once)" if media else ""
        click.echo(
            f"== all {len(planned)}: {size_text(sum(one.fetch_bytes for one in planned))} to fetch{beside}, shards "
            f"of about {size_text(sum(one.shard_bytes or 0 for one in planned))}; one after another, so that only "
            "one recipe's annotations lie on disk"
        )


def _tell_captions(crawl: Recipe, replaced: Mapping[str, str], out: Place | None, url_column: str) -> None:
    """Say which columns of a list may be captions, where it lies on this machine."""
    from gristmill.cli.list_check import Described, text_columns
    from gristmill.run.inputs.resolve import resolve
    from gristmill.steps.rows import TakeRows

    if any(is_address(source.path or "") for source in crawl.sources):
        return
    inputs = resolve(crawl, replaced, out).inputs
    framing = next(step.framing for step in crawl.steps if isinstance(step, TakeRows))
    for path in [Path(file.path) for file in inputs if file.path][:1]:
        with suppress(SourceError, UsageError):  # the crawl says what is wrong with it
            if columns := text_columns(path, framing, Described(url_column=url_column)):
                click.echo(
                    f"Columns of text: {', '.join(columns)}. A crawl makes one of them its captions by "
                    f"{shlex.join(['--caption-column', columns[0]])}; without, every .txt is empty.",
                    err=True,
                )


def _tell(
    planned: Planned | PlannedMix, sample: Probed | None = None, *, free: int | None, as_json: bool
) -> None:
    """Print what is planned, what is free on its disk, and what a sample came to."""
    if as_json:
        more = {"probe": sample.as_dict()} if sample else {}
        click.echo(json.dumps({**planned.as_dict(), "disk_free_bytes": free, **more}, indent=2))
        return
    for line in planned.lines():
        click.echo(line)
    if free is not None:
        short = " - NOT ENOUGH" if planned.disk_bytes is not None and planned.disk_bytes > free else ""
        click.echo(f"free on that disk  {free / 1e9:,.1f} GB{short}")
    for line in sample.lines() if sample else ():
        click.echo(line)


def _existing(path: Path) -> Path:
    path = path.resolve()
    while not path.exists():
        path = path.parent
    return path
