"""``gristmill demo``."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Container, Mapping
from pathlib import Path

import click

from gristmill.cli.options import LocalPath, runtime_options
from gristmill.spec.command import to_type


@click.command("demo")
@click.option(
    "--out",
    default="demo-output",
    show_default=True,
    type=LocalPath(file_okay=False),
    help="Where to; emptied of an earlier demo first.",
)
@click.option(
    "--rows", default=6000, show_default=True, type=click.IntRange(200), help="Annotation rows a file."
)
@click.option("--keep", is_flag=True, help="Go on in the folder instead of emptying it.")
def command(out: Path, rows: int, keep: bool) -> None:
    """The recipes on a made-up hub and web on this machine, with real photographs and dead links.

    Of recipes that are alike some are run, and what was made is mixed. No address but the loopback is asked.

    \b
    Example:
      gristmill demo
      gristmill demo --out /tmp/demo --rows 500
    """
    from gristmill.testing.upstreams import upstreams
    from gristmill.testing.web import FakeWeb

    _make_room(out, keep)
    found = upstreams()
    for name in [name for name, upstream in found.items() if upstream.missing]:
        click.echo(f"{name} is left out. To have it: {found.pop(name).missing}")
    with FakeWeb() as web:
        for name, upstream in found.items():
            with upstream.play(out / "upstream" / name, web, rows) as hub_url:
                os.environ["HF_ENDPOINT"] = hub_url
                began = time.monotonic()
                copies = {key: str(out / "upstream" / name / path) for key, path in upstream.copies.items()}
                _run(name, out, upstream.settings, copies)
                click.echo(
                    f"{name}: {time.monotonic() - began:.0f} s. The report: {out / name / 'report.html'}"
                )
    mixed = _mix(out, found)
    click.echo("The made-up web has ended with the demo, so there is nobody to ask again. Look further:")
    first = next(iter(found))
    click.echo(f"  {to_type('status', out)}")
    click.echo(f"  {to_type('verify', out / first)}")
    click.echo(f"  {to_type('show', first)}")
    click.echo(f"  {to_type('export', out, '--to', 'vila', '--out', out / 'vila')}")
    click.echo(f"and in a browser: {out / first / 'report.html'}")
    others = ", ".join(name for name in (*found, *mixed) if name != first)
    click.echo(f"The others lie beside it: {others}.")


def _mix(out: Path, prepared: Container[str]) -> list[str]:
    """Mix what the demo has of each mixture's parts, if it has several; the names of those mixtures."""
    from gristmill import mixtures
    from gristmill.cli.mix_command import mix

    mixed = []
    for name in mixtures.names():
        parts = [part.name for part in mixtures.find(name).parts if part.name in prepared]
        if len(parts) > 1:
            began = time.monotonic()
            mix(name, out, replaced={}, settings={"shuffle.shards": "4"}, among=parts)
            click.echo(f"{name}, of {', '.join(parts)}: {time.monotonic() - began:.0f} s.")
            mixed.append(name)
    return mixed


def _make_room(out: Path, keep: bool) -> None:
    """Only what an earlier demo left is removed."""
    mark = out / ".gristmill-demo"
    if out.exists() and not keep:
        if any(out.iterdir()) and not mark.exists():
            raise click.UsageError(f"{out} holds something that is not a demo's; name another with --out.")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _run(name: str, out: Path, settings: Mapping[str, str], copies: Mapping[str, str]) -> None:
    from gristmill.cli.finish import run_and_tell
    from gristmill.cli.jobs import recipe_job

    polite = runtime_options("https://example.org/demo", True, False, None, None)
    job = recipe_job(name, out, sources=copies, settings=settings, runtime={**polite, **QUICK})
    run_and_tell(job, as_json=False)


QUICK = {"crawl.total_s": "4", "crawl.stall_s": "2", "crawl.connect_s": "2", "crawl.per_host": "16"}
"""The made-up web answers at once or never; nobody should wait half a minute for its stalling paths."""
