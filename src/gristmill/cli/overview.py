"""All parts of a training at a glance: as lines on the terminal, and as a page beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from gristmill.cli.planned_mix import PlannedMix
from gristmill.ledger.part_state import PartState, state_of
from gristmill.storage.files import write_whole

__all__ = ["of_mixtures", "print_overview", "write_page"]

_WAITS = "waits for you"


def of_mixtures(out: Path, plans: Sequence[PlannedMix]) -> list[PartState]:
    """The parts of some mixtures, and after them the mixture."""
    found = []
    for planned in plans:
        for part in planned.parts:
            folder = Path(part["folder"] or out / part["part"])
            waits = ", ".join(sentence.partition(" ")[0].rstrip(":") for sentence in part.get("waits", ()))
            unbegun = f"{_WAITS}: {waits}" if waits else "not begun"
            found.append(state_of(folder, part["part"], of=planned.name, unbegun=unbegun))
        found.append(state_of(out / planned.name, planned.name, unbegun="waits for its parts"))
    return found


def print_overview(parts: Sequence[PartState]) -> None:
    """Print a line for each, on stdout."""
    for line in _lines(parts):
        click.echo(line)


def _lines(parts: Sequence[PartState]) -> Iterator[str]:
    wide = max((len(part.name) for part in parts), default=4) + 4
    yield f"{'part':<{wide}}{'rows upstream':>16}{'kept':>14}{'share':>9}{'size':>10}  state"
    for part in parts:
        name = f"  {part.name}" if part.of else part.name
        rows, kept, share, size, state = part.cells()
        yield f"{name:<{wide}}{rows:>16}{kept:>14}{share:>9}{size:>10}  {state}"


def write_page(out: Path, title: str, parts: Sequence[PartState]) -> Path:
    """Write the same as a page, ``DIR/TITLE.html``, whose lines lead to the datasets' own reports."""
    from gristmill.viewer.overview import overview_bytes

    page = out / f"{title}.html"
    write_whole(page, overview_bytes(title, out, parts))
    return page
