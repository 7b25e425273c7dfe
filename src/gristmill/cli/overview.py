"""All parts of a training at a glance: as lines on the terminal, and as a page beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import click

from gristmill import mixtures
from gristmill.cli.planned_mix import PlannedMix
from gristmill.ledger.part_state import PartState, state_of
from gristmill.run.inputs.mixture_parts import place_at
from gristmill.spec.errors import DamagedOutput
from gristmill.storage.store import Place, Store, store_at

__all__ = ["of_mixtures", "parts_then", "print_overview", "write_page"]

_WAITS = "waits for you"
_NOT_BEGUN = "not begun"
_LISTED = ".parts.json"


def of_mixtures(out: Place, plans: Sequence[PlannedMix]) -> list[PartState]:
    """The parts of some mixtures, and after them the mixture."""
    found = []
    for planned in plans:
        for part in planned.parts:
            folder = place_at(part["folder"], out) if part["folder"] else out / part["part"]
            waits = ", ".join(sentence.partition(" ")[0].rstrip(":") for sentence in part.get("waits", ()))
            unbegun = f"{_WAITS}: {waits}" if waits else _NOT_BEGUN
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


def write_page(out: Place, title: str, parts: Sequence[PartState]) -> str:
    """Write the same as a page, ``DIR/TITLE.html``, whose lines lead to the datasets' own reports.

    Beside it stands what :func:`parts_then` reads.
    """
    from gristmill.viewer.overview import overview_bytes

    store, page = store_at(out), f"{title}.html"
    rows = [
        {
            "name": part.name,
            "of": part.of,
            "folder": _beside(part.folder, out),
            "unbegun": part.state if part.rows is None else _NOT_BEGUN,
        }
        for part in parts
    ]
    store.put(f".{title}{_LISTED}", json.dumps({"title": title, "parts": rows}).encode())
    store.put(page, overview_bytes(title, out, parts))
    return str(out / page)


def _beside(place: Place, out: Place) -> str:
    """Give the place of a dataset, relative to ``out`` if it is within, since that may be moved."""
    if isinstance(place, Store) or isinstance(out, Store):
        return str(place).removeprefix(f"{out}/")
    return str(place.relative_to(out) if place.is_relative_to(out) else place.absolute())


def _placed(beside: str, out: Place) -> Place:
    """Give the place that :func:`_beside` wrote."""
    far = "://" in beside or beside.startswith("/")
    return place_at(beside, out) if far else out / beside


def parts_then(out: Place) -> list[PartState]:
    """Say how the parts of the trainings that were run in a folder stand now, those too that are not begun.

    Raises:
        DamagedOutput: The records of one are not what was written.
    """
    found = []
    for title in mixtures.groups():
        try:
            rows = json.loads(store_at(out).read(f".{title}{_LISTED}"))["parts"]
            places = [(row, _placed(row["folder"], out)) for row in rows]
        except (OSError, ValueError, TypeError, KeyError, AttributeError, DamagedOutput):
            continue  # the next run writes it anew
        found += [
            state_of(folder, row["name"], of=row["of"], unbegun=row["unbegun"]) for row, folder in places
        ]
    return found
