"""Tells, before ``gristmill retry`` asks, what is asked for again, what is not, and what cannot change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gristmill.ledger.documents import documents
from gristmill.ledger.funnel import funnel
from gristmill.ledger.retry_advice import retry_advice, retry_command, with_options
from gristmill.ledger.totals import Totals, failing
from gristmill.run.maintenance.reopen import Dataset
from gristmill.spec.command import to_type
from gristmill.spec.recipe import Recipe

__all__ = ["asked_again", "nothing_to_ask"]


def asked_again(opened: Dataset, recipe: Recipe, reasons: Sequence[str]) -> str:
    """Say what a round for ``reasons`` asks for, before it begins or goes on."""
    totals = opened.ledger.totals()
    left = failing(opened.ledger.of("making"))
    lost = {reason: n for reason, n in left.items() if reason in reasons}
    thing = _things(totals, sum(lost.values()))
    first = f"{opened.folder}: asking again for {thing} lost for {_counted(lost)}."
    if not lost:
        first = f"{opened.folder}: all was asked for again before; what is left of that round is done now."
    return " ".join([first, *_incomplete(opened, totals, recipe)])


def nothing_to_ask(opened: Dataset, recipe: Recipe, reasons: Sequence[str]) -> str:
    """Why nothing is asked for again: nothing was lost so, or only images of documents were."""
    totals = opened.ledger.totals()
    media = {r: n for r, n in totals.of("making").media.items() if r in reasons and n > 0}
    said = [
        f"{opened.folder}: nothing is asked for again: no {_thing(totals)} was lost for {_listed(reasons)}."
    ]
    if media:
        said.append(
            f"Images that failed so: {_counted(media)}; their documents were kept without them, or lost for "
            "another reason."
        )
    said += _incomplete(opened, totals, recipe)
    found = retry_advice(funnel(totals, opened.config))
    if found.may:
        said.append(f"What may come back: {retry_command(str(opened.folder), found.may)}")
    elif found.stays:
        said.append(f"What was lost is not likely to come back: {_counted(found.stays)}.")
        said += with_options(str(opened.folder), found.stays)
    return " ".join(said)


def _incomplete(opened: Dataset, totals: Totals, recipe: Recipe) -> list[str]:
    """That documents which were kept without some images stay so, where there are any."""
    pages = documents(totals, funnel(totals, opened.config))
    number = max(0, pages.kept - pages.complete) if pages else 0
    if not number:
        return []
    things = _things(totals, number)
    return [
        f"{things} kept without some images (crawl.on_missing_image=drop_image) "
        f"{'stay as they are: they stand' if number > 1 else 'stays as it is: it stands'} in finished shards, which "
        f"are never rewritten. Images for them need a new folder: "
        f"{to_type('run', opened.config.recipe, '--out', 'ANOTHER')}, with the same settings."
    ]


def _thing(totals: Totals) -> str:
    return "document" if totals.several else "sample"


def _things(totals: Totals, number: int) -> str:
    return f"{number:,} {_thing(totals)}{'s' if number != 1 else ''}"


def _counted(lost: Mapping[str, int]) -> str:
    return ", ".join(
        f"{reason} {n:,}" for reason, n in sorted(lost.items(), key=lambda one: (-one[1], one[0]))
    )


def _listed(reasons: Sequence[str]) -> str:
    return reasons[0] if len(reasons) == 1 else f"{', '.join(reasons[:-1])} or {reasons[-1]}"
