"""Asks for a sample of a dataset's media, with all manners of a run, and keeps nothing of what comes."""

from __future__ import annotations

import math
import os
import resource
import signal
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from gristmill.crawl.settings import CrawlSettings
from gristmill.ledger.run_config import InputFile
from gristmill.ledger.words import count_text, size_text
from gristmill.run.inputs.resolve import Resolved
from gristmill.run.probing.boxes import EnoughRows, ProbedMedia, ProbedRows
from gristmill.run.probing.excerpts import Excerpt, drawn, excerpt_of, shares_of
from gristmill.run.probing.findings import Pace, Probed, design_effect, interval, paces_sorted, worst
from gristmill.run.stages._row_states import RowState
from gristmill.run.stages._samples import apply_step, parsed
from gristmill.shards.column_kinds import check_columns
from gristmill.shards.framing import Framing
from gristmill.shards.rows import readable_rows
from gristmill.spec.command import naming_source
from gristmill.spec.errors import Incomplete, SourceError, Stopped, UsageError
from gristmill.spec.fate import Fate
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Recipe
from gristmill.spec.sample import Drop, Origin
from gristmill.spec.step import SampleStep, ShardStep, TableStep
from gristmill.storage.files import scratch_folder

__all__ = ["probe"]

_FAR_FILES = 16
_AT_ONCE = 4
_MOST_READ = 20
"""Times as many rows are read as are wanted, at most: a choice that leaves fewer gives a smaller sample."""
_FEWEST_OF_HOST = 5
"""Requests to a host from which its pace is told."""
_FIRST_ROWS = (
    "first rows are no fair sample of a file whose rows are sorted, as by address or age; rows from everywhere are "
    "taken of copies on this machine, in Parquet or in lines without compression"
)
_NOT_LOOKED_UP = "nothing was looked up in the files that a run may be given beside the annotations"
_UNASKED = frozenset({Reason.BAD_URL, Reason.BAD_SCHEME, Reason.BAD_PORT, Reason.NOT_NEEDED})


def probe(
    recipe: Recipe,
    resolved: Resolved,
    *,
    rows: int,
    workers: int,
    whole: Callable[[float], int | None],
    whole_is: str,
    tell: Callable[[str], None],
    done: Callable[[int], None] = lambda n: None,
) -> Probed:
    """Take rows from all over the annotation files, choose as the recipe does, ask for their media, and sum up.

    A first signal ends it with what is known by then; a second at once.

    Args:
        recipe: One that crawls, with its settings.
        resolved: Its annotation files.
        rows: How many to ask for.
        workers: That a run would have.
        whole: From the share of rows that is chosen in the sample, how many will be of all; None where not known.
        whole_is: How the number of all rows is known.
        tell: Told in a sentence what comes next.
        done: Told how many rows are finished.

    Raises:
        UsageError: A recipe, or annotation files, that cannot be probed; a step lacks something.
        AccessError, SourceError: An annotation file cannot be read.
        Incomplete: There is no row, or none is chosen.
        OursNotTheirs: Our own network is down.
        Stopped: It was stopped before anything was known.
    """
    if recipe.missing:
        raise UsageError(recipe.missing)
    scratch = Path(tempfile.gettempdir()) / f"gristmill-probe-{os.getuid()}"
    with scratch_folder(scratch) as folder, _stopping(tell) as (stop, came):
        sampled = _sampled(recipe, resolved, rows, folder, stop)
        if not sampled.read:
            names = ", ".join(file.path or file.name for file in resolved.inputs[:3])
            raise Incomplete(f"{recipe.public_name}: there is no row to ask for in {names}.")
        if not sampled.states:
            raise Incomplete(
                f"{recipe.public_name}: none of {sampled.read:,} rows was chosen ({_counted(sampled.dropped)}): "
                "nothing is to be asked."
            )
        tell(
            f"asking for what {count_text(len(sampled.states), 'row')} name; Ctrl-C ends it with what is known then"
        )
        box = ProbedMedia(folder, stop, done)
        began, cpu_s = time.monotonic(), _cpu_s()
        try:
            finished = _asked(recipe, sampled.states, box, stop)
        finally:
            box.close()
        elapsed_s, cpu_s = time.monotonic() - began, _cpu_s() - cpu_s
    if not finished:
        raise Stopped("the probe was stopped before anything was known")
    return _summed(
        recipe,
        sampled,
        finished,
        list(box.fates.values()),
        whole,
        whole_is,
        workers=workers,
        elapsed_s=elapsed_s,
        cpu_s=cpu_s,
        signalled=came[0] if came else 0,
    )


@dataclass(slots=True)
class _Sampled:
    """Rows that were taken, parsed."""

    files: int
    files_of: int
    taken: str = ""
    biased: list[str] = field(default_factory=list)
    even: bool = True
    read: int = 0
    chosen: int = 0
    moved_bytes: int = 0
    dropped: Counter[Reason] = field(default_factory=Counter)
    states: list[RowState] = field(default_factory=list)


def _sampled(recipe: Recipe, resolved: Resolved, rows: int, folder: Path, stop: Event) -> _Sampled:
    """Rows from all over the files, by their sizes, as many as are wanted, chosen by the recipe, and parsed."""
    step = recipe.steps[0]
    assert isinstance(step, TableStep)
    if step.keeps_source or step.takes_media:
        raise UsageError(
            f"{recipe.public_name} reads its rows with {step.name}, of which no sample can be taken."
        )
    if step.takes_aux:
        step = step.with_aux({})
    framing = getattr(step, "framing", Framing())
    files = resolved.inputs
    far = any(file.path is None for file in files)
    chosen = shares_of(files, rows, _FAR_FILES if far else rows)
    selected = max(recipe.expect.selected_share, 1 / _MOST_READ)
    sampled = _Sampled(files=len(chosen), files_of=len(files))

    def cut(numbered: tuple[int, tuple[InputFile, int]]) -> tuple[Excerpt, int]:
        n, (file, share) = numbered
        own = folder / str(n)
        own.mkdir()
        place = "" if file.path is not None else resolved.remotes[file.source]
        with naming_source(file.source):
            return excerpt_of(file, place, framing, math.ceil(share / selected), own)

    hows: Counter[str] = Counter()
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for n, (excerpt, moved) in enumerate(threads.map(cut, enumerate(chosen))):
            _check_stop(stop)
            sampled.moved_bytes += moved
            hows[excerpt.how] += 1
            box = ProbedRows(stop, folder / str(n), excerpt.only)
            _read(step, recipe, chosen[n][0], excerpt, box)
            sampled.dropped += box.dropped
            sampled.read += box.kept + box.beyond + box.dropped.total()
            sampled.chosen += box.kept + box.beyond
            _add(sampled.states, recipe, chosen[n][0], box, chosen[n][1])
            sampled.even &= excerpt.even
    sampled.taken = _taken(sampled, hows)
    if not sampled.even:
        sampled.biased.append(_FIRST_ROWS)
    if step.takes_aux:
        sampled.biased.append(_NOT_LOOKED_UP)
    return sampled


def _read(step: TableStep, recipe: Recipe, file: InputFile, excerpt: Excerpt, box: ProbedRows) -> None:
    """Have the step choose among the rows of an excerpt.

    Raises:
        SourceError: It cannot be read, not even its first rows.
        UsageError: A column is missing.
    """
    upstream = recipe.source(file.source)
    if upstream.columns and "parquet" in (upstream.format, excerpt.path.suffix[1:].lower()):
        check_columns(excerpt.path, upstream.columns)
    try:
        step.apply(excerpt.path, box)
    except EnoughRows:
        return
    except (SourceError, UsageError) as err:
        if not excerpt.whole and box.kept:
            return  # it is cut off somewhere
        said = str(err).replace(str(excerpt.path), file.path or file.name)
        if not excerpt.whole:
            said = (
                f"{file.name}: its beginning alone cannot be read: {said} Fetch it, and give it with --source "
                f"{file.source}=FILE."
            )
        raise (UsageError if isinstance(err, UsageError) else SourceError)(said) from err


def _add(states: list[RowState], recipe: Recipe, file: InputFile, box: ProbedRows, wanted: int) -> None:
    """Parse so many of the rows that a step kept, evenly; each gets a number of its own in the place of its row."""
    places = iter(drawn(box.kept, wanted))
    place, first = next(places, None), 0
    for table in box.tables:
        while place is not None and place < first + table.num_rows:
            number = len(states)
            state = RowState(number, number)
            (row,) = readable_rows(table.slice(place - first, 1))
            if isinstance(row, str):
                state.take(Drop(reason=Reason.BAD_ROW, detail=row))
            else:
                origin = Origin(source=file.source, file=file.name, row=number)
                state.take(parsed(recipe.parse, row, origin, place=f"{number:08d}"))
            states.append(state)
            place = next(places, None)
        first += table.num_rows


def _asked(recipe: Recipe, states: Sequence[RowState], box: ProbedMedia, stop: Event) -> list[RowState]:
    """Take the rows through the steps; those that are finished, where it is stopped before all are."""
    left = list(states)
    for step in recipe.steps[1:]:
        if not isinstance(step, SampleStep | ShardStep):
            break
        own = step.with_aux({}) if isinstance(step, SampleStep) else step
        try:
            apply_step(own, left, box)
        except Stopped:
            left = [one for one in left if _is_finished(own, one, box)]
    return left


def _is_finished(step: SampleStep | ShardStep, one: RowState, box: ProbedMedia) -> bool:
    """Whether a row comes through a step by what the box holds of it: once stopped, nothing more is asked."""
    if one.drop is None and one.sample is not None and one.sample.media:
        if not any((one.row, name) in box.fates for name in _names(one, box)):
            return False
        try:
            apply_step(step, [one], box)
        except Stopped:
            return False
    return True


def _names(one: RowState, box: ProbedMedia) -> list[str]:
    return [medium for row, medium in box.fates if row == one.row]


def _summed(
    recipe: Recipe,
    sampled: _Sampled,
    finished: Sequence[RowState],
    fates: Sequence[Fate],
    whole: Callable[[float], int | None],
    whole_is: str,
    *,
    workers: int,
    elapsed_s: float,
    cpu_s: float,
    signalled: int,
) -> Probed:
    rows = {one.row for one in finished}
    fates = [fate for fate in fates if fate.row in rows and fate.reason not in _UNASKED]
    kept = [one for one in finished if one.drop is None]
    reasons = Counter(str(one.drop.reason) for one in finished if one.drop is not None)
    asked = Counter(_host_of(fate) for fate in fates)
    failed: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for fate in fates:
        if fate.reason is not None:
            failed[_host_of(fate)][str(fate.reason)] += 1
    effect = design_effect(_by_host(finished, fates))
    _, high = interval(len(kept), len(finished), effect)
    low, _ = interval(len(kept), len(sampled.states), effect)  # without an answer is lost, at worst
    kept_rows = {one.row for one in kept}
    biased, interrupted = list(sampled.biased), len(sampled.states) - len(finished)
    if interrupted:
        biased.append(
            f"it was stopped: {count_text(interrupted, 'row')} had no answer yet, as slow and dead hosts give none; "
            "the lower end of the interval takes them for lost"
        )
    return Probed(
        taken=sampled.taken,
        biased=tuple(biased),
        files=sampled.files,
        files_of=sampled.files_of,
        moved_bytes=sampled.moved_bytes,
        rows_read=sampled.read,
        rows_chosen=sampled.chosen,
        rows=len(finished),
        kept=len(kept),
        low=low,
        high=high,
        effect=round(effect, 3),
        several=any(one.sample is not None and one.sample.may_have_several for one in finished),
        media=len(fates),
        hosts_asked=len(asked),
        elapsed_s=round(elapsed_s, 3),
        interrupted=interrupted,
        signalled=signalled,
        reasons=dict(reasons.most_common()),
        hosts=worst(asked, failed),
        received_bytes=sum(fate.raw_bytes or 0 for fate in fates),
        stored_bytes=sum(
            fate.size_bytes or 0 for fate in fates if fate.row in kept_rows and fate.reason is None
        ),
        workers=workers,
        paces=_paces(recipe, fates, len(finished), workers, cpu_s),
        whole_is=whole_is,
        whole_rows=whole(sampled.chosen / sampled.read),
        expected_share=recipe.expect.kept_share,
    )


def _by_host(finished: Sequence[RowState], fates: Sequence[Fate]) -> Mapping[str, tuple[int, int]]:
    """Rows kept, and all, by the host of their first medium; a row that asked nobody stands alone."""
    homes: dict[int, str] = {}
    for fate in fates:
        homes.setdefault(fate.row, _host_of(fate))
    groups: dict[str, tuple[int, int]] = {}
    for one in finished:
        home = homes.get(one.row, f"row {one.row}")
        own, of = groups.get(home, (0, 0))
        groups[home] = own + (one.drop is None), of + 1
    return groups


def _paces(recipe: Recipe, fates: Sequence[Fate], rows: int, workers: int, cpu_s: float) -> tuple[Pace, ...]:
    """What a row takes of the requests under way, of the busiest host, and of the processors; for all workers."""
    settings = next((made for step in recipe.steps if (made := _settings_of(step)) is not None), None)
    if settings is None or not fates or not rows:
        return ()
    processes = max(1, workers)
    # a request that is slow gives up its place to others
    held_s = sum(min(fate.elapsed_s or 0.0, settings.slow_after_s) for fate in fates)
    paces = [
        Pace(
            bound=f"answers that are waited for (--in-flight {settings.in_flight})",
            seconds_per_row=held_s / rows / settings.in_flight / processes,
        ),
        Pace(bound="processors", seconds_per_row=cpu_s / rows / min(processes, os.cpu_count() or 1)),
    ]
    own: defaultdict[str, list[Fate]] = defaultdict(list)
    for fate in fates:
        own[urlsplit(fate.url or "").netloc.lower()].append(fate)
    for host, some in own.items():
        if len(some) < _FEWEST_OF_HOST:
            continue
        rule = settings.rule_of(host)
        connections = rule.connections if rule else settings.per_host * processes
        seconds = sum(fate.elapsed_s or 0.0 for fate in some) / connections
        if rule and rule.bits_per_s:
            seconds = max(seconds, 8 * sum(fate.raw_bytes or 0 for fate in some) / rule.bits_per_s)
        bound = f"{host}, {count_text(connections, 'connection')} at once"
        paces.append(Pace(bound=bound, seconds_per_row=seconds / rows))
    return paces_sorted(paces)


def _settings_of(step: Any) -> CrawlSettings | None:
    made = getattr(step, "crawl_settings", None)
    settings = made() if made is not None else None
    return settings if isinstance(settings, CrawlSettings) else None


def _host_of(fate: Fate) -> str:
    try:
        return urlsplit(fate.url or "").hostname or "?"
    except ValueError:
        return "?"


def _taken(sampled: _Sampled, hows: Counter[str]) -> str:
    how = "; ".join(name for name, _ in hows.most_common(3))
    moved = f"; {size_text(sampled.moved_bytes)} of them were fetched" if sampled.moved_bytes else ""
    of = f"{sampled.files:,} of {count_text(sampled.files_of, 'annotation file')}, by their sizes"
    files = "the annotation file" if sampled.files_of == 1 else of
    return f"{count_text(len(sampled.states), 'row')} of {files}: {how}{moved}"


def _counted(dropped: Counter[Reason]) -> str:
    return ", ".join(f"{reason} {n:,}" for reason, n in dropped.most_common()) or "no reason"


def _cpu_s() -> float:
    """Seconds of processors that this process and its children that ended have used."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _check_stop(stop: Event) -> None:
    if stop.is_set():
        raise Stopped("the probe was stopped before anything was asked")


@contextmanager
def _stopping(tell: Callable[[str], None]) -> Iterator[tuple[Event, list[int]]]:
    """An event that a first signal sets, and that signal's number; the second is as it was before."""
    stop, came = Event(), list[int]()
    before: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        came.append(number)
        stop.set()
        restore()
        tell(
            "stopping: what is under way has a few seconds to end. The same signal once more ends it at once."
        )

    with suppress(ValueError):  # not in the main thread: whoever called us handles signals
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, handle)
    try:
        yield stop, came
    finally:
        restore()
