"""Media sources on this machine: each fetched once for all datasets in DIR, indexed once, opened by every worker.

::

    DIR/sources/KEY/                 what a person put there
    DIR/sources/KEY/DIGEST/          what was fetched, by the digest of all the source's files
    DIR/sources/.indexes/            an index for each archive, a catalog for each source

An index is written when its archive is there and checked, so that it also says that the archive was. Several commands
may want the same at once: one makes it, the others wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.ledger.run_config import InputFile
from gristmill.run.inputs.bucket import as_stored, fetch_loose, is_loose
from gristmill.spec.command import naming_source
from gristmill.spec.errors import DamagedSource, RecipeError, UsageError
from gristmill.spec.recipe import Recipe, Source
from gristmill.spec.sample import Json
from gristmill.spec.task import digest_of
from gristmill.storage.archives import (
    Archive,
    ArchiveSource,
    Catalogued,
    Indexed,
    joined,
    read_catalog,
    write_catalog,
    write_index,
)
from gristmill.storage.bucket import HERE, fetch_stored, is_stored
from gristmill.storage.files import alone, machine_error
from gristmill.storage.hub import HubFile, download
from gristmill.storage.store import Place, Store, store_at
from gristmill.storage.url import fetch, is_url, name_of

__all__ = ["INDEXES", "MediaFiles", "OpenedMedia", "Watch", "fetched_folder", "media_of", "shared_folder"]

INDEXES = ".indexes"
_AT_ONCE = 4


def shared_folder(place: Place) -> Path:
    """Say where on this machine the media sources of all datasets beside this one lie."""
    store = store_at(place)
    return store.local.parent / "sources" if store.local else (store.above or store).work("sources")


def fetched_folder(shared: Path, files: Sequence[InputFile]) -> Path:
    """Say where the files of one media source are fetched to: by their names and digests."""
    return shared / files[0].source / digest_of([[file.name, file.digest] for file in files])[:16]


class Watch:
    """Somebody who is told how far it is, and may end it by raising."""

    def check(self) -> None:
        """Called often."""

    def fetched(self, name: str, have_bytes: int) -> None:
        """So much of a file is there."""


@dataclass(frozen=True)
class MediaFiles:
    """The files of one media source, as a dataset was begun with them.

    Attributes:
        source: What it is.
        files: Its files, or the one folder that it is.
        home: ``REPO@REVISION`` or addresses, where it is fetched; None where it is not.
        shared: ``DIR/sources``.
        near: The dataset's store: an object store is asked as that is.
    """

    source: Source
    files: tuple[InputFile, ...]
    home: str | None
    shared: Path
    near: Store = HERE

    @property
    def folder(self) -> Path:
        """Say where they are fetched to."""
        return fetched_folder(self.shared, self.files)

    def path(self, file: InputFile) -> Path:
        """Say where a file is, or will be."""
        return self.folder / file.name if file.path is None else Path(file.path)

    @cached_property
    def archives(self) -> list[tuple[InputFile, ...]]:
        """The files of each archive; of a folder that is fetched all of them."""
        if self.source.format == "folder" and any(file.path is None for file in self.files):
            return [self.files]
        by_path = {self.path(file): file for file in self.files}
        return [tuple(by_path[path] for path in paths) for paths in joined(list(by_path))]

    def archive(self, files: Sequence[InputFile]) -> Archive:
        """An archive, which is there."""
        if self.source.format == "folder" and files[0].path is None:
            return Archive.at(self.folder)
        return Archive.at(*map(self.path, files))

    def index(self, files: Sequence[InputFile]) -> Path:
        """Of the index of an archive."""
        return self.shared / INDEXES / f"{digest_of([file.digest for file in files])[:32]}.parquet"

    @cached_property
    def catalog(self) -> Path:
        """Of the catalog of all archives."""
        digests = [[file.digest for file in files] for files in self.archives]
        known = digest_of([digests, self.source.identity()])[:32]
        return self.shared / INDEXES / f"{self.source.key}-{known}.parquet"

    def is_here(self, file: InputFile) -> bool:
        """Say whether a file is there whole, as far as its size tells; of a folder, whether it is there."""
        path = self.path(file)
        return path.is_dir() or (path.is_file() and path.stat().st_size == file.size_bytes)

    @property
    def is_ready(self) -> bool:
        """Say whether all of it is there, indexed, so that opening it fetches nothing."""
        here = all(self.index(files).is_file() and all(map(self.is_here, files)) for files in self.archives)
        return here and (self.source.format == "parquet" or self.catalog.is_file())

    def prepare(self, watch: Watch) -> dict[str, Json]:
        """Fetch and index what is not there yet; returns what was found, for a record.

        Raises:
            SourceError, AccessError: It cannot be fetched, or is not what is expected.
            MachineError: The system refuses.
        """
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            found = list(threads.map(lambda files: self._bring(files, watch), self.archives))
        made = [self.index(files).name for files in self.archives]
        said: dict[str, Json] = {"source": self.source.key, "archives": found, "indexes": made}
        if self.source.format != "parquet":
            told = self._catalogued(watch)
            made.append(self.catalog.name)
            said |= {
                "layout": told.layout,
                "members": told.members,
                "refused": told.refused,
                "passed_over": told.passed_over,
                "examples": list(told.examples),
            }
        return said

    def open(self, watch: Watch) -> Any:
        """The source as acquirers read from it; what was cleaned away is fetched and indexed again.

        Raises:
            SourceError, AccessError, MachineError: As for :meth:`prepare`.
        """
        if not self.is_ready:
            self.prepare(watch)
        if self.source.format == "parquet":
            return _Tables({file.name: self.path(file) for file in self.files})
        return ArchiveSource(
            [Indexed(self.archive(files), self.index(files)) for files in self.archives], self.catalog
        )

    def _bring(self, files: Sequence[InputFile], watch: Watch) -> dict[str, Json]:
        """One archive: fetched, checked, indexed."""
        index = self.index(files)
        with _alone(index.with_suffix(".lock"), watch.check):
            for file in files:
                if not self.is_here(file):
                    if file.path is not None:
                        raise UsageError(
                            f"{file.path} is not there any more, or has another size. Put it back, or name another "
                            f"place with --source {self.source.key}=PATH."
                        )
                    with naming_source(self.source.key):
                        self._fetch(file, watch)
            if self.source.format == "parquet":
                return self._table(files[0], index)
            return self._indexed(files, index, watch)

    def _fetch(self, file: InputFile, watch: Watch) -> None:
        def tell(have_bytes: int) -> None:
            watch.check()
            watch.fetched(file.name, have_bytes)

        if self.home is None:
            raise UsageError(
                f"{file.name} is to be read, and nobody says where it lies. Name it: "
                f"--source {self.source.key}=PATH"
            )
        if is_stored(self.home):
            if is_loose(file):
                fetch_loose(file, self.home, self.folder, self.near, tell)
            else:
                fetch_stored(as_stored(file, self.home), self.folder, self.near, tell)
            return
        if is_url(self.home):
            url = next(one for one in self.home.split() if name_of(one) == file.name)
            pinned = {name_of(one.url): one.sha256 for one in self.source.downloads}.get(file.name)
            fetch(url, self.path(file), sha256=pinned, size_bytes=file.size_bytes, tell=tell)
            if not self.is_here(file):
                size = self.path(file).stat().st_size
                self.path(file).unlink()
                raise DamagedSource(
                    f"{url} has {size:,} bytes, and {file.size_bytes:,} are published: it is another file, or a page "
                    f"in its place. Fetch it by hand, then give --source {self.source.key}=PATH."
                )
            return
        repo, _, revision = self.home.partition("@")
        download(
            repo,
            revision,
            HubFile(name=file.name, size_bytes=file.size_bytes, digest=file.digest),
            self.folder,
            tell,
        )

    def _indexed(self, files: Sequence[InputFile], index: Path, watch: Watch) -> dict[str, Json]:
        indexed = Indexed(self.archive(files), index)
        try:
            summary = indexed.index.summary
        except (DamagedSource, UsageError):  # there is none, or of another version
            summary = write_index(self.archive(files), index, lambda members: watch.check())
        own = is_stored(self.home or "") or any(file.path is not None for file in files)
        if summary.cut and own:
            index.unlink(missing_ok=True)
            raise DamagedSource(
                f"{indexed.archive} is cut or damaged: {summary.cut} It may be a half of a download. Fetch it again, "
                f"or name another place with --source {self.source.key}=PATH."
            )
        return {
            "files": [file.name for file in files[:_LISTED]],
            "size_bytes": sum(file.size_bytes for file in files),
            "kind": summary.kind,
            "members": summary.members,
            "refused": dict(summary.refused),
            "notes": [*([summary.cut] if summary.cut else []), *summary.notes],
        }

    def _table(self, file: InputFile, index: Path) -> dict[str, Json]:
        """A Parquet file; its index is no more than a copy of its schema, which says that it was looked at."""
        try:
            footer = pq.read_metadata(self.path(file))
            schema = pq.read_schema(self.path(file))
        except (pa.ArrowException, OSError) as err:
            raise DamagedSource(
                f"{self.path(file)} is not readable as Parquet ({err}). Fetch it again, or name another place with "
                f"--source {self.source.key}=PATH."
            ) from err
        if not index.is_file():
            pq.write_metadata(schema, index)
        return {
            "files": [file.name],
            "kind": "parquet",
            "members": footer.num_rows,
            "refused": {},
            "notes": [],
        }

    def _catalogued(self, watch: Watch) -> Catalogued:
        with _alone(self.catalog.with_suffix(".lock"), watch.check):
            found = read_catalog(self.catalog)
            if found is None:
                indexed = [Indexed(self.archive(files), self.index(files)) for files in self.archives]
                found = write_catalog(
                    self.source.key,
                    indexed,
                    self.source.layouts,
                    self.catalog,
                    stems=self.source.stems,
                    tell=lambda members: watch.check(),
                )
            return found


_LISTED = 100
"""Names of files in a record at most."""


@dataclass(frozen=True, slots=True)
class _Tables:
    """See :class:`gristmill.spec.media_source.ParquetSource`."""

    files: Mapping[str, Path]


class _LeftOut:
    """A source that a person does without: it holds nothing."""

    files: Mapping[str, Path] = {}

    def find(self, names: Sequence[str]) -> Sequence[None]:
        """See :class:`gristmill.spec.media_source.MediaSource`."""
        return [None] * len(names)

    def below(self, folders: Sequence[str]) -> Sequence[tuple[int, Any]]:
        """See :class:`gristmill.spec.media_source.MediaSource`."""
        return ()


class OpenedMedia(Mapping[str, Any]):
    """The media sources of a recipe by key, each opened when it is first asked for; one without files is empty."""

    def __init__(
        self,
        recipe: Recipe,
        files: Sequence[InputFile],
        homes: Mapping[str, str],
        shared: Path,
        watch: Watch,
        near: Store,
    ) -> None:
        self._media = {one.source.key: one for one in media_of(recipe, files, homes, shared, near)}
        self._left_out = {source.key for source in recipe.of_role("media")} - self._media.keys()
        self._watch = watch
        self._opened: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        if key not in self._opened:
            self._opened[key] = self._media[key].open(self._watch) if key in self._media else _LeftOut()
        return self._opened[key]

    def __contains__(self, key: object) -> bool:
        return key in self._media or key in self._left_out

    def __iter__(self) -> Iterator[str]:
        return iter(self._media)

    def __len__(self) -> int:
        return len(self._media)


def media_of(
    recipe: Recipe,
    files: Sequence[InputFile],
    homes: Mapping[str, str],
    shared: Path,
    near: Store,
) -> list[MediaFiles]:
    """The media sources that a dataset was begun with.

    Args:
        recipe: Names its sources.
        files: Their files.
        homes: Key to where a source is fetched.
        shared: ``DIR/sources``.
        near: The dataset's store.

    Raises:
        RecipeError: The recipe has no such source.
    """
    found = []
    known = {source.key: source for source in recipe.of_role("media")}
    for key in dict.fromkeys(file.source for file in files):
        if key not in known:
            raise RecipeError(
                f"the folder was begun with a media source {key!r}, which the recipe does not have"
            )
        own = tuple(file for file in files if file.source == key)
        found.append(MediaFiles(source=known[key], files=own, home=homes.get(key), shared=shared, near=near))
    return found


@contextmanager
def _alone(path: Path, check: Callable[[], None]) -> Iterator[None]:
    """Hold a lock; what the system refuses meanwhile is a sentence.

    Raises:
        MachineError: The system refuses.
    """
    try:
        with alone(path, check):
            yield
    except OSError as err:
        raise machine_error(err, path) from err
