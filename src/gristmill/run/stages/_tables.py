"""One annotation file as the steps over tables see it: on this machine, on the hub, or in an object store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gristmill.ledger.run_config import InputFile
from gristmill.run.inputs.bucket import as_stored
from gristmill.run.state import layout
from gristmill.run.state.context import Context, Work
from gristmill.spec.command import naming_source
from gristmill.spec.errors import DamagedSource, SourceError, UsageError
from gristmill.spec.step import LocalFile
from gristmill.spec.task import Task
from gristmill.storage.bucket import fetch_stored, is_stored, read_stored
from gristmill.storage.hub import HubFile, download, hub_url, read_range
from gristmill.storage.url import fetch, is_url

__all__ = ["InputTable", "aux_files", "fetch_input"]

_PIECE_BYTES = 16 << 20
_GAP_BYTES = 256 << 10
"""Ranges that lie closer together are asked for as one: cheaper than a second request."""
_WHOLE_SHARE = 0.9
"""From that share on the whole file is fetched: it resumes, and its checksum is verified."""
_WHOLE_REQUESTS = 2
_WITHOUT = " Where no good one is to be had, a zip that holds an empty file goes on without its rows."


class InputTable:
    """A :class:`gristmill.spec.step.TableFile`; what it moves is counted in ``work.facts``."""

    def __init__(self, source: InputFile, task: Task, context: Context, work: Work) -> None:
        self.name, self.size_bytes = source.name, source.size_bytes
        self._source, self._task, self._context, self._work = source, task, context, work
        self._whole: Path | None = None
        self._partial: Path | None = None
        self._place = "" if source.path is not None else _home_of(source, context)
        self._reached = True
        self._in_ranges = bool(self._place) and not is_url(self._place)

    def read(self, start: int, stop: int) -> bytes:
        """See :class:`gristmill.spec.step.TableFile`.

        Raises:
            SourceError, AccessError: The hub refused, or what came is damaged.
        """
        if not self._in_ranges:
            return LocalFile(self.fetch()).read(start, stop)
        self._context.check_stop()
        with self._reaching():
            if is_stored(self._place):
                stored = as_stored(self._source, self._place)
                body = read_stored(stored, start, stop, self._context.store)
            else:
                repo, _, revision = self._place.partition("@")
                body = read_range(repo, revision, self.name, self.size_bytes, start, stop)
        self._count(len(body), 1)
        return body

    def hold(self, ranges: Sequence[tuple[int, int]]) -> Path:
        """See :class:`gristmill.spec.step.TableFile`: a sparse file, or the whole where that is hardly more.

        Raises:
            SourceError, AccessError: As for :meth:`read`.
        """
        merged = _merged([(start, min(stop, self.size_bytes)) for start, stop in ranges])
        wanted = sum(stop - start for start, stop in merged)
        if not self._in_ranges or wanted > _WHOLE_SHARE * self.size_bytes:
            return self.fetch()
        path = self._context.sources(self._source.source) / f"{self.name}.ranges"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._partial = path
        with path.open("wb") as stream:
            stream.truncate(self.size_bytes)
            for start, stop in merged:
                for at in range(start, stop, _PIECE_BYTES):
                    stream.seek(at)
                    stream.write(self.read(at, min(stop, at + _PIECE_BYTES)))
        return path

    def fetch(self) -> Path:
        """The whole file on this machine."""
        if self._whole is None:
            with self._reaching(), self._telling() as tell:
                self._whole = fetch_input(self._source, self._context, tell)
            if self._place:
                self._count(self.size_bytes, _WHOLE_REQUESTS)
        return self._whole

    @contextmanager
    def _telling(self) -> Iterator[Callable[[int], None]]:
        """What may be told how many bytes there are of what is being fetched."""

        def tell(have_bytes: int) -> None:
            self._context.report_fetch(self._task, have_bytes, self.size_bytes or have_bytes)

        try:
            yield tell
        finally:
            if self._place:
                self._context.report_fetch(self._task, 0, None)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Take note of what keeps us from the file, which says nothing of what stands in it."""
        try:
            with naming_source(self._source.source):
                yield
        except SourceError:
            self._reached = False
            raise

    @contextmanager
    def read_by_a_step(self, *, prescanned: bool = False) -> Iterator[None]:
        """Say of a file that a step cannot read how to go on, and mark it: a mended one may take its place.

        Args:
            prescanned: Rows of all files were chosen by what was found in this one, so that only a file of which the
                same is found may take its place.

        Raises:
            DamagedSource: In the place of the step's own SourceError.
            UsageError: As the step says: a column is missing.
        """
        try:
            yield
        except UsageError as err:
            self._mark(err)
            raise
        except SourceError as err:
            if not self._reached:
                raise
            self._mark(err)
            said = " ".join(str(err).split())
            stop = "" if said.endswith(".") else "."  # a library's words may come without one
            raise DamagedSource(f"{said}{stop} {self._way_on(prescanned)}") from err

    def _mark(self, err: Exception) -> None:
        mark = layout.unreadable(self._source.digest)
        self._context.store.put(mark, str(err).encode("utf-8", "replace"))

    def _way_on(self, prescanned: bool) -> str:
        key, size = self._source.source, f"{self.size_bytes:,} bytes"
        kept = "nothing was made of it yet, and what was made of the others is kept"
        if prescanned:
            kept += (
                ". Rows of all files were chosen by the number of its rows: the good one must have as many"
            )
        if not self._place:
            return (
                f"{self.name} is your own copy, of {size}. Put a good one in its place, then give the same command "
                f"again: {kept}.{_WITHOUT if self.name.endswith('.zip') else ''}"
            )
        if is_url(self._place):
            return f"{self.name} is what {self._place} holds, of {size}, with the checksum that the recipe names."
        if is_stored(self._place):
            return (
                f"{self.name} is your own copy, of {size}, at {self._place}. Put a good one there, or anywhere else, "
                f"then give the same command again with --source {key}=ADDRESS: {kept}."
            )
        repo, _, revision = self._place.partition("@")
        new = f"--source {key}={hub_url(repo)}@REVISION"
        mended = f"Once it is mended there, give the same command with {new}: {kept}."
        if self._whole is None:
            return (
                f"Parts of {self.name} were fetched from {repo} at {revision}, which no checksum covers: give the "
                f"same command again. If that does not help, the damage is upstream's. {mended}"
            )
        return f"{self.name} is what {repo} holds at {revision}, of {size}: fetching it again does not help. {mended}"

    def close(self) -> None:
        """Remove what was held in part."""
        if self._partial is not None:
            self._partial.unlink(missing_ok=True)

    def _count(self, bytes_in: int, requests: int) -> None:
        self._work.facts["bytes_in"] += bytes_in
        self._work.facts["requests"] += requests


def aux_files(context: Context) -> dict[str, tuple[Path, ...]]:
    """The files of all ``aux`` sources on this machine, by the source's key."""
    found: dict[str, tuple[Path, ...]] = {}
    for file in context.aux:
        found[file.source] = (*found.get(file.source, ()), fetch_input(file, context))
    return found


def fetch_input(source: InputFile, context: Context, tell: Callable[[int], None] = lambda have: None) -> Path:
    """Say where the annotation file lies, after fetching it if need be; ``tell`` is told how many bytes there are.

    Raises:
        SourceError, AccessError: Upstream refused, or what came is damaged.
    """
    if source.path is not None:
        return Path(source.path)
    folder = context.sources(source.source)
    home = context.remotes.get(source.source, "")
    if is_stored(home):  # where no checksum tells them apart, each version has a folder of its own
        folder /= source.digest[:16]
    known = f"{source.source}/{source.name}"
    with context.fetching:  # among the tasks of this process; the clients look after other processes
        if known not in context.fetched or not _is_whole(folder / source.name, source):
            with naming_source(source.source):
                _fetch(source, context, folder, tell)
            context.fetched.add(known)
    return folder / source.name


def _home_of(source: InputFile, context: Context) -> str:
    """Where it is fetched from.

    Raises:
        UsageError: Nobody but the folder says so.
    """
    if source.source not in context.remotes:
        raise UsageError(
            f"{source.name} is to be read, and only the folder says where it lies. Name it: "
            f"--source {source.source}=PATH"
        )
    return context.remotes[source.source]


def _is_whole(path: Path, source: InputFile) -> bool:
    """Whether a file that was fetched and checked is still there, as far as its size tells."""
    return path.is_file() and path.stat().st_size == (source.size_bytes or path.stat().st_size)


def _fetch(source: InputFile, context: Context, folder: Path, tell: Callable[[int], None]) -> Path:
    place = _home_of(source, context)
    if is_stored(place):

        def tell_unless_stopped(have_bytes: int) -> None:
            context.check_stop()
            tell(have_bytes)

        return fetch_stored(as_stored(source, place), folder, context.store, tell_unless_stopped)
    if is_url(place):
        size_bytes = source.size_bytes or None
        return fetch(place, folder / source.name, sha256=source.digest, size_bytes=size_bytes, tell=tell)
    repo, _, revision = place.partition("@")
    file = HubFile(name=source.name, size_bytes=source.size_bytes, digest=source.digest)
    return download(repo, revision, file, folder, tell)


def _merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order, near neighbours joined."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if merged and start - merged[-1][1] <= _GAP_BYTES:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged
