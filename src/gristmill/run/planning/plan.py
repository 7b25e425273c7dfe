"""What a run would do, before anything moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.words import size_text
from gristmill.run.inputs.local_media import to_fetch
from gristmill.run.inputs.media import MediaFiles, shared_folder
from gristmill.run.inputs.resolve import ELSEWHERE, LEFT_OUT, Resolved, resolve
from gristmill.run.planning.pipeline import Pipeline
from gristmill.run.planning.planner import Planner
from gristmill.run.state.layout import check_place
from gristmill.shards.footers import FOOTER_BYTES
from gristmill.spec.errors import SourceError
from gristmill.spec.recipe import Recipe, Source
from gristmill.spec.step import PrescanStep, ShardStep
from gristmill.storage.store import Place, store_at

__all__ = ["Planned", "PlannedMedia", "media_bytes", "plan"]

_ACCESS = {
    "open": "open: no account needed",
    "terms": "terms to accept on the source's page, and a token (HF_TOKEN)",
    "form": "a form to fill in",
    "login": "an account",
    "withdrawn": "withdrawn upstream: only a copy of your own",
}


_HELD_BYTES = 2 << 30
"""What annotation files take up at most while they are read, where they are let go one by one."""

_LINE_ENDINGS = {".txt", ".csv", ".tsv", ".jsonl", ".ndjson"}
_HEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMedia:
    """One media source of a run.

    Attributes:
        key, title, access, terms, license, address, layouts: As the source says.
        place: Where it is read from, or fetched; None where it waits.
        size_bytes: Of its files, or as published.
        fetch_bytes: Of those that are not on this machine yet.
        to_do: What a person must do first; empty where nothing.
    """

    key: str
    title: str
    place: str | None
    access: str
    license: str
    terms: str
    address: str
    layouts: tuple[str, ...]
    size_bytes: int | None
    fetch_bytes: int
    to_do: str = ""

    def lines(self, *, layouts: bool = True) -> list[str]:
        """For a person; with what its members are called, if that is wanted."""
        if self.place == LEFT_OUT:
            return [f"media  {self.key:<11} left out: what lies in it is lost as no_file"]
        if self.place == ELSEWHERE:
            return [f"media  {self.key:<11} nobody brought it: what lies in it is asked for one by one"]
        size = f", {size_text(self.size_bytes)}" if self.size_bytes else ""
        fetch = f", of which {size_text(self.fetch_bytes)} to fetch" if self.fetch_bytes else ""
        lines = [f"media  {self.key:<11} {self.place or 'WAITS FOR YOU'}{size}{fetch}; {self.access}"]
        if self.to_do:
            lines.append(f"                   {self.to_do}")
        elif self.terms:
            lines.append(f"                   terms: {self.terms}")
        if self.layouts and layouts:
            lines.append(f"                   layouts: {', '.join(self.layouts)}")
        return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The figures of a run. None where nothing is known; estimates are the recipe's.

    Attributes:
        fetch_bytes: Annotations that are not on this machine yet; at most, where not all of them are needed.
        fetch_requests: Requests for them; at least.
        samples: Rows that will be chosen.
        requests: Media to be asked for; 0 where they lie in files.
        receive_bytes: What their answers will amount to.
        disk_bytes: Most that lies on disk at once: shards, as much again for media not yet packed unless they
            stay in their archives, and the largest annotation file, and media sources that are fetched.
        missing: What a person must give or install before a run begins, and how; empty where nothing.
    """

    name: str
    version: str
    sources: dict[str, str]
    access: dict[str, str]
    files: int
    fetch_bytes: int
    fetch_requests: int
    rows: int | None
    rows_are: str
    samples: int | None
    requests: int | None
    receive_bytes: int | None
    shard_bytes: int | None
    disk_bytes: int | None
    remark: str
    missing: str = ""
    tasks_done: int = 0
    tasks_left: int | None = None
    inputs: str = "annotation files"
    media: tuple[PlannedMedia, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For a person."""
        lines = [f"{self.name} {self.version}"]
        media = {one.key: one for one in self.media}
        lines += [
            f"source {key:<11} {place}; {self.access[key]}"
            for key, place in self.sources.items()
            if key not in media
        ]
        lines += [line for one in self.media for line in one.lines()]
        fetch = f"{size_text(self.fetch_bytes)} to fetch"
        if self.fetch_requests:
            fetch += f" at most, in about {self.fetch_requests:,} requests"
        lines.append(f"{self.inputs:<19}{self.files:,}; {fetch}")
        lines.append(
            f"rows               {self.rows_are if self.rows is None else f'{self.rows:,} ({self.rows_are})'}"
        )
        if self.samples is None:
            lines.append("requests, shards   not known before the rows are")
        else:
            lines.append(f"of them chosen     about {self.samples:,}")
        if self.requests:
            receive = (
                f", about {size_text(self.receive_bytes)} to receive"
                if self.receive_bytes is not None
                else ""
            )
            lines.append(f"requests           {self.requests:,}{receive}")
        if self.shard_bytes is not None:
            lines.append(f"shards             about {size_text(self.shard_bytes)}")
        if self.disk_bytes is not None:
            lines.append(f"disk, at most      about {size_text(self.disk_bytes)}")
        if self.tasks_left is not None:
            lines.append(f"tasks              {self.tasks_done:,} done, at least {self.tasks_left:,} to do")
        if self.remark:
            lines.append(self.remark)
        if self.missing:
            lines.append(f"A run will not begin yet: {self.missing}")
        return lines


def plan(
    recipe: Recipe,
    replaced: Mapping[str, str],
    *,
    only: int | None,
    folder: Place | None,
    offline: bool,
    found: Resolved | None = None,
) -> Planned:
    """Work out what a run would do.

    Args:
        recipe: With its settings.
        replaced: ``--source`` values.
        only: Rows per annotation file.
        folder: The dataset's folder or store, to see what is done already.
        offline: Use the published figures of sources that lie elsewhere.
        found: The recipe's files, where they are known and need not be looked for.

    Raises:
        GristmillError: As for a run: a source that cannot be read, a wrong setting.
    """
    annotations = [source for source in recipe.sources if source.role != "media"]
    published = [source for source in annotations if source.key not in replaced and source.path is None]
    if offline and published:
        files = sum(source.files or 0 for source in annotations)
        resolved = None
        rows: int | None = sum(source.rows or 0 for source in annotations) or None
        rows_are = "as published"
        fetch = largest = sum(source.size_bytes or 0 for source in published)
        remote = sum(source.files or 0 for source in published)
        places = {s.key: s.home or s.by_hand or "?" for s in recipe.sources}
    else:
        resolved = found or resolve(_local_media(recipe, replaced) if offline else recipe, replaced, folder)
        files, places = len(resolved.inputs), resolved.sources
        rows, rows_are = _count_rows(recipe, resolved)
        fetch = sum(file.size_bytes for file in resolved.inputs if file.path is None)
        remote = sum(file.path is None for file in resolved.inputs)
        largest = max((file.size_bytes for file in resolved.inputs if file.path is None), default=0)
    table = Pipeline(recipe).table
    held = largest if table is not None and table.keeps_source else min(largest, _HELD_BYTES)
    chosen = None if rows is None else _chosen(recipe, rows)
    if only is not None:
        chosen = min(only * files, chosen) if chosen is not None else only * files
    looked = resolved is not None and not resolved.waiting and not (offline and recipe.of_role("media"))
    done, left = _tasks(recipe, resolved, folder, only) if folder and resolved and looked else (0, None)
    expect = recipe.expect
    requests = _times(chosen, expect.media_per_row) if recipe.asks else 0
    media = tuple(_media(recipe, source, resolved, folder) for source in recipe.of_role("media"))
    held += sum(one.fetch_bytes for one in media)
    kept = expect.usual_share or expect.kept_share or 1.0
    fetch, fetch_requests = _fetching(recipe, remote, fetch, chosen)
    shards = _times(_times(chosen, kept), expect.stored_bytes)
    return Planned(
        name=recipe.public_name,
        version=recipe.version,
        sources=places,
        access={source.key: _ACCESS[source.access] for source in recipe.sources},
        files=files,
        fetch_bytes=fetch,
        fetch_requests=fetch_requests,
        rows=rows,
        rows_are=rows_are,
        samples=chosen,
        requests=requests,
        receive_bytes=_times(_times(requests, kept), expect.received_bytes),
        shard_bytes=shards,
        disk_bytes=None if shards is None else shards + held + (0 if _stay(recipe, resolved) else shards),
        remark=" ".join(filter(None, [expect.remark, *(step.remark() for step in recipe.steps)])),
        missing=recipe.missing,
        tasks_done=done,
        tasks_left=left,
        inputs="lists" if any(source.path for source in recipe.sources) else "annotation files",
        media=media,
    )


def media_bytes(media: Iterable[PlannedMedia]) -> int:
    """Say how much is fetched of media sources, of one recipe or of several: what they share, once."""
    return sum({(one.key, one.place): one.fetch_bytes for one in media}.values())


def _stay(recipe: Recipe, resolved: Resolved | None) -> bool:
    """Whether media stay in their archives until they are packed, as far as names tell: those of a tar.gz do not."""
    sources = recipe.of_role("media")
    names = [file.name for file in resolved.media] if resolved else []
    for source in () if names else sources:
        names += [*source.patterns, *(one.url for one in source.downloads)]
    kept = [step.keeps_bytes for step in recipe.steps if isinstance(step, ShardStep)]
    unpacked = any(".tar.gz" in name.lower() or ".tgz" in name.lower() for name in names)
    return bool(sources) and all(kept) and all(s.format != "parquet" for s in sources) and not unpacked


def _local_media(recipe: Recipe, replaced: Mapping[str, str]) -> Recipe:
    """The recipe without media sources that somebody would have to be asked for."""
    kept = (s for s in recipe.sources if s.role != "media" or s.key in replaced or s.home is None)
    return replace(recipe, sources=tuple(kept))


def _media(recipe: Recipe, source: Source, resolved: Resolved | None, folder: Place | None) -> PlannedMedia:
    """What a media source takes; without having looked, as published."""
    own = tuple(file for file in resolved.media if file.source == source.key) if resolved else ()
    waits = source.key in resolved.waiting if resolved else source.home is None and not recipe.asks_elsewhere
    place = None if waits else (resolved.sources.get(source.key) if resolved else None) or source.home
    shared = shared_folder(folder) if folder else None
    fetch = 0 if own or waits or place in (ELSEWHERE, LEFT_OUT) else source.size_bytes or 0
    if own:
        files = MediaFiles(source=source, files=own, home=place, shared=shared or Path())
        fetch = sum(
            file.size_bytes for file in own if file.path is None and not (shared and files.is_here(file))
        )
    return PlannedMedia(
        key=source.key,
        title=source.title,
        place=place,
        access=_ACCESS[source.access],
        license=source.license,
        terms=source.terms,
        address=source.address,
        layouts=tuple(f"{layout.name} ({layout.example or layout.member})" for layout in source.layouts),
        size_bytes=sum(file.size_bytes for file in own) or source.size_bytes,
        fetch_bytes=fetch,
        to_do=to_fetch(source, shared, recipe.elsewhere) if waits else "",
    )


def _chosen(recipe: Recipe, rows: int) -> int:
    table = Pipeline(recipe).table
    expected = table.expected_rows(rows) if table else None
    return int(rows * recipe.expect.selected_share) if expected is None else expected


def _fetching(recipe: Recipe, files: int, size_bytes: int, chosen: int | None) -> tuple[int, int]:
    """Bytes and requests for annotation files that lie elsewhere.

    A file costs two requests. Where files are prescanned, each costs one for its footer; then those that hold chosen
    rows (no more of them than there are rows) cost their footer again and, at most, all of their bytes.
    """
    if not isinstance(Pipeline(recipe).table, PrescanStep) or not files:
        return size_bytes, 2 * files
    touched = files if chosen is None else min(files, chosen)
    footers = (files + touched) * FOOTER_BYTES
    return min(size_bytes * touched // files + footers, size_bytes + footers), files + 3 * touched


def _times(value: int | None, factor: float | None) -> int | None:
    return None if value is None or factor is None else round(value * factor)


def _count_rows(recipe: Recipe, resolved: Resolved) -> tuple[int | None, str]:
    """Rows by the footers of local Parquet files, else as published, by the share of files that are there."""
    local = [Path(file.path) for file in resolved.inputs if file.path is not None]
    if len(local) == len(resolved.inputs) and all(path.suffix == ".parquet" for path in local):
        try:
            return sum(pq.read_metadata(path).num_rows for path in local), "counted in the files' footers"
        except (pa.ArrowInvalid, OSError) as err:
            raise SourceError(f"an annotation file is not readable as Parquet: {err}") from err
    lines = [_lines(path) for path in local]
    if len(local) == len(resolved.inputs) and all(lines):
        return sum(filter(None, lines)), "estimated by the lines of their beginnings"
    published = sum(source.rows or 0 for source in recipe.sources)
    if not published:
        return None, "not known before they are read"
    there = Counter(file.source for file in resolved.inputs)
    shares = {s.key: min(1.0, there[s.key] / s.files) if s.files else 1.0 for s in recipe.sources}
    rows = round(sum((source.rows or 0) * shares[source.key] for source in recipe.sources))
    if rows == published:
        return rows, "as published"
    return (
        rows,
        f"estimated: of {sum(s.files or 0 for s in recipe.sources):,} published files {there.total():,} are there",
    )


def _lines(path: Path) -> int | None:
    """About how many lines a text file of one row a line has; None for others."""
    if path.suffix.lower() not in _LINE_ENDINGS:
        return None
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    size = path.stat().st_size
    return round(head.count(b"\n") * size / len(head)) + (not head.endswith(b"\n")) if head else None


def _tasks(recipe: Recipe, resolved: Resolved, folder: Place, only: int | None) -> tuple[int, int | None]:
    """Tasks done and, as far as known, left."""
    if not RunConfig.lies_in(folder):
        return 0, len(resolved.inputs)
    check_place(store_at(folder))
    config = RunConfig.read(folder)
    wanted = RunConfig(
        recipe=config.recipe,
        name=recipe.public_name,
        version=recipe.version,
        identity=recipe.identity(),
        inputs=resolved.inputs,
        aux=resolved.aux,
        media=resolved.media,
        arguments=config.arguments,
        only=only,
    )
    config.check(wanted, folder)
    ledger = Ledger(folder)
    return len(ledger.records), Planner(recipe, config, ledger).waiting
