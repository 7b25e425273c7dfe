"""Find the intermediate files that nobody needs any more, by the records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gristmill.ledger.funnel import funnel
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.run.state.layout import stem

__all__ = ["is_complete", "spent"]


def spent(config: RunConfig, ledger: Ledger) -> list[str]:
    """Spools whose every sample lies in a finished shard.

    What a shuffle scattered, and the spools behind it, are spent once all its shards are finished. All of it is read
    from the records: the recipe, which may be somebody's own file, is not needed.
    """
    complete = is_complete(config, ledger)
    scatters = ledger.of("placing")
    packed: Counter[str] = Counter()
    for record in ledger.of("packing"):
        for digest, samples in record.found or ():
            packed[digest] += samples
    screened = {stem(i.path): i for r in ledger.of("judging") if (i := r.output("index")) is not None}
    found = []
    for record in ledger.of("making"):
        index, spool = record.output("index"), record.output("spool")
        if index is None or spool is None:
            continue
        wanted = screened.get(stem(index.path), index)
        if complete if scatters else packed[wanted.digest] == wanted.samples:
            found.append(spool.path)
    if complete:
        found += [shard.path for record in scatters for shard in record.outputs if shard.role != "fates"]
    return found


def is_complete(config: RunConfig, ledger: Ledger) -> bool:
    """Say whether nothing is left to be made, by the records alone."""
    return funnel(ledger.totals(), config).complete and _all_asked_again(config, ledger)


def _all_asked_again(config: RunConfig, ledger: Ledger) -> bool:
    """Whether every round of asking again is through: what a part lost for its reasons has a record in it."""
    if not config.rounds:
        return True
    asked = frozenset().union(*config.rounds)
    parts: dict[
        tuple[int, ...], tuple[int, Counter[str]]
    ] = {}  # the last round with a record, and what failed by then
    for record in ledger.of("making"):  # round after round
        round_, *part = record.number
        last, failed = parts.get(tuple(part), (round_, Counter()))
        if _lost(failed, config.rounds[last : max(last, round_ - 1)]):
            return False
        failed.update({reason: n for reason, n in record.dropped.items() if reason in asked})
        failed.subtract({reason: n for reason, n in record.retried.items() if reason in asked})
        parts[tuple(part)] = round_, failed
    return not any(_lost(failed, config.rounds[last:]) for last, failed in parts.values())


def _lost(failed: Counter[str], rounds: Sequence[Sequence[str]]) -> bool:
    return any(failed[reason] > 0 for reasons in rounds for reason in reasons)
