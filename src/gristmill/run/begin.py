"""Beginning a dataset's folder, or finding that it was begun, and by what."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from gristmill.ledger.at_work import AT_WORK
from gristmill.ledger.ledger import STATE, Ledger
from gristmill.ledger.run_config import RUN_CONFIG, InputFile, RunConfig, refuse_older
from gristmill.ledger.words import count_text
from gristmill.run.executors import find
from gristmill.run.inputs.resolve import Resolved, resolve
from gristmill.run.planning.pipeline import Pipeline
from gristmill.run.planning.planner import Planner
from gristmill.run.stages._replaced import with_mended
from gristmill.run.stages.prescan import Prescan
from gristmill.run.state import layout
from gristmill.run.state.context import Context
from gristmill.run.state.layout import METADATA_FILES, check_place, stem
from gristmill.run.state.spent import spent
from gristmill.run.workers.task import run_task
from gristmill.spec.command import to_type
from gristmill.spec.errors import Busy, DriftError, UsageError
from gristmill.spec.recipe import Recipe
from gristmill.spec.sample import Json
from gristmill.spec.task import ShardInfo, Task, TaskRecord
from gristmill.storage.files import sha256_file
from gristmill.storage.leases import Leases
from gristmill.storage.seen import Seen
from gristmill.storage.store import Place, Store, store_at

__all__ = [
    "Job",
    "begin",
    "drop_stale",
    "look_up",
    "restore",
    "sweep",
    "void_differing",
    "void_without_media",
]

_BEGIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Holds what a person asked for.

    Attributes:
        load: Finds and builds the recipe; called again in each worker.
        reference: Recipe name or path, for ``run.json``.
        folder: The dataset's folder, or store.
        replaced: ``--source`` values.
        runtime: Settings that say how, not what; kept for a later ``retry``.
        span: ``--tasks A:B``, positions of annotation files, or None for all.
        share: ``--share I/N``: which of how many commands this is, from 1 on; None where it does all.
        last: Stage to stop after; all if None.
        workers: Processes that do tasks; 0 for this one alone.
        on: The executor; worker processes of this machine if empty.
        grace_s: How long after a signal tasks may take to end by themselves; what has not ended then is killed.
        resolved: The annotation files, where they are known and need not be looked for.
        parts: For a mixture: what its parts are, see :class:`RunConfig`.
    """

    load: Callable[[], Recipe]
    reference: str
    folder: Place
    arguments: Mapping[str, object] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)
    only: int | None = None
    span: tuple[int, int] | None = None
    share: tuple[int, int] | None = None
    last: str | None = None
    workers: int = 0
    on: str = ""
    grace_s: float = 10.0  # Slurm and Kubernetes leave 30 from SIGTERM to SIGKILL
    runtime: Mapping[str, str] = field(default_factory=dict)
    resolved: Resolved | None = None
    parts: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)


def look_up(job: Job) -> tuple[Recipe, Resolved]:
    """Find the recipe and its inputs, and refuse what cannot be begun. Writes nothing: a refusal leaves no folder.

    Raises:
        UnknownName: There is no such executor.
        UsageError: Nothing to work on, the span does not fit, or something else lies in the folder.
        AccessError, SourceError, ByHandSource: As :func:`gristmill.run.inputs.resolve.resolve`.
    """
    store = store_at(job.folder)
    check_place(store)
    find(job.on, job.workers)
    recipe = job.load()
    Pipeline(recipe)
    if recipe.missing:
        raise UsageError(recipe.missing)
    resolved = job.resolved or resolve(recipe, job.replaced, job.folder)
    if job.span is not None:
        first, end = job.span
        if not 0 <= first < end <= len(resolved.inputs):
            what = "input shard" if job.parts else recipe.input_noun
            files = len(resolved.inputs)
            raise UsageError(
                f"--tasks {first}:{end}: {recipe.public_name} has {files} {what}{'s' * (files != 1)}; "
                f"all of them are --tasks 0:{files}."
            )
    _check_free(store, recipe.public_name)
    return recipe, resolved


def begin(job: Job, recipe: Recipe, resolved: Resolved, leases: Leases) -> tuple[RunConfig, Resolved]:
    """Begin the folder, or check that it was begun with the same.

    Raises:
        DriftError: It was begun with something else.
        UsageError: A mended file is another than what was prescanned.
        Busy: Another process is beginning it and does not get done.
    """
    permitted = recipe.permissions({**job.settings, **job.runtime})
    wanted = RunConfig(
        recipe=job.reference,
        name=recipe.public_name,
        version=recipe.version,
        identity=recipe.identity(),
        inputs=resolved.inputs,
        arguments=job.arguments,
        settings=_without(job.settings, permitted),
        only=job.only,
        sources=resolved.sources,
        aux=resolved.aux,
        media=resolved.media,
        runtime=_without(job.runtime, permitted),
        permitted=tuple(sorted(permitted)),
        asks=recipe.asks,
        built=recipe.built,
        published_as=recipe.published_as or recipe.name,
        parts=job.parts,
    )
    store = store_at(job.folder)
    _await(leases, "begin")
    try:
        if RunConfig.lies_in(store) or not wanted.write_first(store):
            config = RunConfig.read(store)
            found = with_mended(config, wanted, store, partial(_prescan, recipe, store, resolved))
            try:
                found.check(wanted, store)
            except DriftError as err:
                if not _nothing_made(store, leases):
                    err.hint = _of_media_that_came(found, wanted, store)
                    raise
                found = wanted
            if found.arguments != wanted.arguments:  # words for the card, which may change
                found = replace(found, arguments=wanted.arguments)
            if found is not config:
                found.write(store)
            inputs = _noted(resolved.inputs, found.inputs)
            return found, replace(resolved, inputs=inputs, media=_placed(found, resolved.media))
        return wanted, resolved
    finally:
        leases.release("begin")


def _of_media_that_came(begun: RunConfig, wanted: RunConfig, store: Store) -> str:
    """What to type where the difference is in media sources alone: archives came that were missing."""
    if replace(begun, media=()).differences(replace(wanted, media=())):
        return ""
    retry = to_type("retry", store, "--reason", "no_file")
    return f"\nIf archives came that were missing, this reads them, with the same --source: {retry}"


def _without(settings: Mapping[str, str], permitted: Collection[str]) -> dict[str, str]:
    """What is stored of settings: never what a person allowed for one command."""
    return {name: value for name, value in settings.items() if name not in permitted}


def _prescan(recipe: Recipe, store: Store, resolved: Resolved, file: InputFile) -> Json:
    """What a prescan finds in one annotation file.

    Raises:
        SourceError: It cannot be read.
    """
    source = ShardInfo(
        path=file.name, role="source", samples=0, size_bytes=file.size_bytes, digest=file.digest
    )
    task = Task(stage=Prescan.name, number=(0, 0, 0), inputs=(source,), identity="")
    context = Context(store=store, inputs=(file,), remotes=resolved.remotes)
    return run_task(recipe, task, context).found


def _nothing_made(store: Store, leases: Leases) -> bool:
    """Whether nothing was made in a begun folder, and nobody is about to: then it may be begun anew."""
    if not leases.only_holder("run"):
        return False
    leases.share("run")  # nobody makes anything before it has begun, which waits for us
    made = any(_holds(store, folder) for folder in (*layout.MADE, layout.CRAWLED))
    return not made and not Ledger(store).records


def _holds(store: Store, folder: str) -> bool:
    """Whether something lies in a folder of the store."""
    return next(store.list(folder), None) is not None


def _check_free(store: Store, name: str) -> None:
    """Refuse a folder in which something else lies where a dataset's files would be written over it."""
    if RunConfig.lies_in(store) or not _holds(store, ""):
        return
    taken = [folder for folder in layout.MADE if _holds(store, folder)]
    taken += [file for file in METADATA_FILES if store.size(file) is not None]
    within = store.below(RUN_CONFIG)
    # looked at last: what another run makes meanwhile, it makes after this
    if RunConfig.lies_in(store):
        return
    refuse_older(store)
    if taken:
        raise UsageError(
            f"{store} holds {', '.join(taken)}, and no record of a run that made it: "
            f"{name} is not written over that. Choose another folder with --out, or move these away."
        )
    if within:  # other commands look for datasets in a folder only where it is none itself
        raise UsageError(
            f"{store} holds datasets ({', '.join(within[:3])}{', ...' if within[3:] else ''}), which would "
            f"be hidden behind {name}. Give it a folder of its own: --out {store}/NAME"
        )


def _noted(inputs: Sequence[InputFile], config: Sequence[InputFile]) -> tuple[InputFile, ...]:
    """The annotation files with what was noted of them when they were taken into the folder."""
    notes = {(file.source, file.name): file.note for file in config}
    return tuple(replace(file, note=notes.get((file.source, file.name), file.note)) for file in inputs)


def _placed(config: RunConfig, media: Sequence[InputFile]) -> tuple[InputFile, ...]:
    """The files of media sources in the order in which they came, each where it lies now."""
    paths = {(file.source, file.name): file.path for file in media}
    now = config.media_in(len(config.rounds))
    return tuple(replace(file, path=paths.get((file.source, file.name), file.path)) for file in now)


def _await(leases: Leases, name: str) -> None:
    deadline = time.monotonic() + _BEGIN_S
    while not leases.take(name):
        if time.monotonic() > deadline:
            raise Busy(
                "another run is beginning this folder and does not get done; look at its output first."
            )
        time.sleep(0.05)


def restore(config: RunConfig, ledger: Ledger) -> list[str]:
    """Look after what an earlier run left: half-written files go, records of lost files are taken back.

    What is lost and was not needed any more is noted.

    Returns:
        Sentences to tell.
    """
    store = ledger.store
    sweep(store)
    if not ledger.records:
        return []
    folders = (*layout.MADE, *layout.INTERMEDIATE)
    there = Seen((one.name, one.size_bytes) for folder in folders for one in store.list(folder))
    told = void_differing(ledger)
    lost = {
        record.task_id: paths
        for record in ledger.records.values()
        if (paths := [shard.path for shard in record.outputs if _is_lost(shard, record, there, ledger)])
    }
    if not lost:
        return told
    gone = {path for paths in lost.values() for path in paths if store.size(path) is None}
    spare = gone.intersection(spent(config, ledger))
    if released := [path for paths in lost.values() for path in paths if path in spare]:
        ledger.release(released)
    for task_id, paths in lost.items():
        if needed := [path for path in paths if path not in spare]:
            ledger.void(task_id)
            told.append(
                f"{needed[0]} is gone or has another size than its record says: its task is done anew."
            )
    return told


def void_differing(ledger: Ledger) -> list[str]:
    """Take back what two commands did at once with different answers, and shards that are not their record's.

    In an object store a command that was taken for gone may still work, or two have begun that could not see each
    other. Which of them put a file last nobody knows.

    Returns:
        Sentences to tell; none where nothing was done so.
    """
    if not ledger.differing:
        return []
    tasks = list(ledger.differing)
    for task_id in tasks:
        ledger.void(task_id)
    packed = [
        record for record in ledger.of("packing") if any(_is_other(ledger, one) for one in record.outputs)
    ]
    for record in packed:
        ledger.void(record.task_id)
    return [
        f"another command did {count_text(len(tasks), 'task')} at the same time and got other answers: "
        f"{'it is' if len(tasks) == 1 else 'they are'} done anew, and so are {count_text(len(packed), 'shard')}."
    ]


def _is_other(ledger: Ledger, made: ShardInfo) -> bool:
    """Say whether a file that can be made anew holds other bytes than its record says."""
    try:
        return sha256_file(ledger.store.fetch(made.path)) != made.digest
    except FileNotFoundError:
        return True


def sweep(store: Store) -> None:
    """Remove what processes that are gone left half-written."""
    store.sweep("", *layout.MADE, STATE, AT_WORK, *layout.INTERMEDIATE)


def void_without_media(planner: Planner, ledger: Ledger) -> int:
    """Take back records whose media, or scattered samples, a task still needs and ``clean`` has removed."""
    needed = {stem(path) for path in planner.needed()}
    voided = 0
    for record in map(ledger.records.__getitem__, list(ledger.records) if needed else ()):
        outputs = [shard for shard in record.outputs if shard.role in ("index", "spool")]
        wanted = any(stem(shard.path) in needed for shard in outputs)
        if wanted and any(ledger.is_released(record, shard) for shard in outputs):
            ledger.void(record.task_id)
            voided += 1
    return voided


def drop_stale(planner: Planner, ledger: Ledger) -> None:
    """Once all is packed: take back records that no task stands for any more, and remove what they left.

    There are some only where media had to be asked for again and other answers came than the first time.
    """
    stale = [ledger.records[task_id] for task_id in ledger.records if not planner.knows(task_id)]
    for record in stale:
        ledger.void(record.task_id)
    claimed = {out.path for record in ledger.records.values() for out in record.outputs} if stale else set()
    for record in stale:
        for shard in record.outputs:
            if shard.path not in claimed:
                ledger.store.delete(shard.path)


def _is_lost(shard: ShardInfo, record: TaskRecord, there: Seen, ledger: Ledger) -> bool:
    if ledger.is_released(record, shard) or (shard.path, shard.size_bytes) in there:
        return False
    return (
        ledger.store.size(shard.path) != shard.size_bytes
    )  # a listing may lag behind what was put a moment ago
