"""Running a job with somebody watching, and what is written and said at its end."""

from __future__ import annotations

import click

from gristmill.cli.progress import watcher_for
from gristmill.ledger.begun import Begun
from gristmill.ledger.funnel import Funnel, funnel
from gristmill.ledger.healing import healing
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.totals import total
from gristmill.run.begin import Job
from gristmill.run.drive import Ended, run
from gristmill.run.pipeline import PACK, ROWS, SAMPLES, SCATTER, SIFT
from gristmill.spec.barrier import Barrier, Census, Exchange
from gristmill.spec.errors import Incomplete, UnknownName
from gristmill.spec.recipe import Recipe
from gristmill.spec.step import TableStep
from gristmill.storage.arrow import without_pandas

__all__ = ["last_stage", "run_and_tell", "write_papers"]


def last_stage(recipe: Recipe, step_name: str | None) -> str:
    """The stage that ends with a step.

    Raises:
        UnknownName: The recipe has no such step.
    """
    if step_name is None:
        return PACK
    for step in recipe.steps:
        if step.name == step_name:
            shapes = ((TableStep, ROWS), (Census, SIFT), (Barrier | Exchange, PACK))
            return next((stage for shape, stage in shapes if isinstance(step, shape)), SAMPLES)
    raise UnknownName("step", step_name, tuple(step.name for step in recipe.steps))


def run_and_tell(job: Job, *, as_json: bool) -> None:
    """Run a job, write the card, the manifest and the report, say how it went.

    Raises:
        Incomplete: Done, and less was kept than the recipe expects.
        GristmillError: Whatever the run raises.
    """
    without_pandas()
    with watcher_for(job.folder) as watcher:
        ended = run(job, watcher)
    ledger = Ledger(job.folder)
    write_papers(ended, ledger)
    _tell(ended, ledger, as_json=as_json)
    _check_expected(ended, ledger)


def write_papers(ended: Ended, ledger: Ledger) -> None:
    """README.md, croissant.json, dataset.json and report.html."""
    from gristmill.ledger.card import write_card
    from gristmill.ledger.croissant import write_croissant
    from gristmill.ledger.manifest import write_manifest
    from gristmill.viewer.report import write_report

    write_manifest(ended.folder, ended.recipe, ended.begun, ledger)
    write_card(ended.folder, ended.recipe, ended.begun, ledger)
    write_croissant(ended.folder, ended.recipe, ended.begun, ledger)
    write_report(ended.folder)


def _tell(ended: Ended, ledger: Ledger, *, as_json: bool) -> None:
    from gristmill.cli.funnel import print_status

    print_status(ended.folder, ended.recipe, ended.begun, ledger, as_json=as_json)
    if not ended.complete and not as_json:
        click.echo(_waiting(ended.begun, ledger), err=True)


def _waiting(begun: Begun, ledger: Ledger) -> str:
    if begun.parts:
        return (
            f"This part is done. {len(ledger.stage(SCATTER))} of {len(begun.inputs)} shards of the parts are "
            "scattered; once all are, the same command without --tasks, or the last of those with it, gathers them."
        )
    done = len(ledger.stage(ROWS))
    return (
        f"This part is done. Shards are packed in the dataset's order, as far as all earlier annotation files are "
        f"done; {done} of {len(begun.inputs)} are begun or done."
    )


def _check_expected(ended: Ended, ledger: Ledger) -> None:
    totals = total(ledger.records.values())
    samples = totals.stage(SAMPLES)
    if not ended.complete:
        return
    if not samples.samples_in:
        _check_any_chosen(ended, totals.stage(ROWS).samples_in)
        return
    share = samples.kept / samples.samples_in
    if share < ended.recipe.expect.kept_share or not samples.kept:
        raise Incomplete(
            f"{ended.recipe.public_name}: {share:.1%} of {samples.samples_in:,} samples were kept"
            f"{_expected(ended.recipe.expect.kept_share)}. Everything kept is packed. Look at "
            f"{ended.folder / 'report.html'}{_advice(ended, funnel(totals, ended.begun))}"
        )


def _advice(ended: Ended, levels: Funnel) -> str:
    """What may help: asking again for what may come back, a mirror for what is gone, other annotations."""
    found = healing(levels)
    crawls = [step for step in ended.recipe.steps if step.name == "crawl"]
    if crawls or found.may:
        mirrored = all(getattr(step, "mirror", None) for step in crawls)
        return "\n".join([".", *found.sentences(str(ended.folder), mirrored=mirrored)])
    return " and at the rows that it names: the annotations may be others than the recipe was written for."


def _check_any_chosen(ended: Ended, rows: int) -> None:
    if not rows and not ended.begun.parts:
        published = any(source.rows for source in ended.recipe.sources)
        raise Incomplete(
            f"{ended.recipe.public_name}: there is no row at all in {_places(ended)}. "
            + (
                "That is not what upstream published; fetch it again, or name another with --source, in another "
                "folder."
                if published
                else "Name another, with another folder to write into."
            )
        )
    if rows:
        raise Incomplete(
            f"{ended.recipe.public_name}: none of {rows:,} rows was chosen. Why not stands in "
            f"{ended.folder / 'fates'} and in {ended.folder / 'report.html'}."
        )


def _places(ended: Ended) -> str:
    return ", ".join(file.path or file.name for file in ended.begun.inputs[:3])


def _expected(share: float) -> str:
    return f", fewer than the {share:.0%} that the recipe expects" if share else ""
