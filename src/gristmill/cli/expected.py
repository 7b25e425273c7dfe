"""Checks that a finished dataset holds what its recipe expects, and says what may help where it does not."""

from __future__ import annotations

from gristmill.cli.named import loader_of, options_of
from gristmill.ledger.funnel import Funnel, funnel
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.remedies import commonest
from gristmill.ledger.retry_advice import retry_advice
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.words import share_text
from gristmill.run.driver import Ended
from gristmill.run.maintenance.reopen import open_dataset
from gristmill.spec.errors import Incomplete, UsageError
from gristmill.spec.reasons import Reason
from gristmill.storage.store import Place

__all__ = ["check_expected", "shortfall"]


def check_expected(ended: Ended, ledger: Ledger) -> None:
    """Look whether a complete dataset holds what its recipe expects; one that is not complete may still come to it.

    Raises:
        Incomplete: It holds less, or nothing at all.
    """
    totals = ledger.totals()
    samples = totals.of("making")
    if not ended.complete:
        return
    levels = funnel(totals, ended.config)
    if not samples.samples_in:
        _check_any_chosen(ended, totals.of("reading").samples_in, levels)
        return
    kept = levels.count("kept")
    if kept < ended.recipe.expect.kept_share * samples.samples_in or not kept:
        raise Incomplete(
            f"{ended.recipe.public_name}: {share_text(kept, samples.samples_in)} of {samples.samples_in:,} "
            f"samples were kept{_expected(ended.recipe.expect.kept_share)}. Everything kept is packed. "
            f"{commonest(levels.dropped(after_selection=True))} Look at {ended.folder}/report.html"
            f"{_advice(ended, levels)}"
        )
    _check_any_packed(ended, levels)


def shortfall(folder: Place) -> str | None:
    """Say what a finished dataset lacks, in the words of :func:`check_expected`; None if nothing.

    Of a folder without records nothing is known, nor of one whose recipe is a file: what a folder names is not run.
    """
    if not RunConfig.lies_in(folder):
        return None
    opened = open_dataset(folder)
    try:
        expected = {key: text for key, text in opened.config.runtime.items() if key == "expect.kept_share"}
        recipe = loader_of(opened, {**opened.config.settings, **expected})()
        check_expected(
            Ended(recipe=recipe, config=opened.config, folder=folder, complete=True), opened.ledger
        )
    except Incomplete as err:
        return str(err)
    except UsageError:
        return None
    return None


def _advice(ended: Ended, levels: Funnel) -> str:
    """Say what may help: asking again for what may come back, a mirror for what is gone, other annotations."""
    found = retry_advice(levels)
    crawls = [step for step in ended.recipe.steps if step.needs.network]
    if crawls or found.may:
        options = options_of(ended.recipe)
        mirrored = all(getattr(step, "mirror", None) for step in crawls)
        return "\n".join([".", *found.sentences(str(ended.folder), mirrored=mirrored, options=options)])
    return " and at the rows that it names: the annotations may be others than the recipe was written for."


def _check_any_chosen(ended: Ended, rows: int, levels: Funnel) -> None:
    if not rows and not ended.config.parts:
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
            f"{ended.recipe.public_name}: none of {rows:,} rows was chosen. {commonest(levels.dropped())} Why not "
            f"stands in {ended.folder}/fates and in {ended.folder}/report.html."
        )


def _check_any_packed(ended: Ended, levels: Funnel) -> None:
    kept, packed = levels.levels[-2:]
    if packed.count:
        return
    lost = ", ".join(f"{reason} {n:,}" for reason, n in kept.lost.items())
    tail = (
        " They would fill no shard: begin in another folder without --set pack.drop_tail=true, or with a smaller "
        "--set pack.shard_samples=N."
    )
    raise Incomplete(
        f"{ended.recipe.public_name}: none of {kept.count:,} samples kept is in a shard: {lost}."
        + (tail if Reason.TAIL in kept.lost else "")
    )


def _places(ended: Ended) -> str:
    return ", ".join(file.path or file.name for file in ended.config.inputs[:3])


def _expected(share: float) -> str:
    return f", fewer than the {100 * share:.3g} % that are expected (--min-kept)" if share else ""
