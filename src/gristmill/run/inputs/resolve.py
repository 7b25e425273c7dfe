"""Where a recipe's annotation files are: on the hub at a pinned revision, or in somebody's own copy."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from gristmill.ledger.run_config import InputFile, RunConfig
from gristmill.run.inputs.bucket import stored_here
from gristmill.run.inputs.local_media import Seen, media_here, put_by_hand
from gristmill.run.inputs.media import shared_folder
from gristmill.run.inputs.named_files import check_variant, chosen_of, left_out, typed, with_note
from gristmill.run.inputs.numbering import arranged
from gristmill.run.state.layout import MADE, METADATA_FILES
from gristmill.spec.command import naming_source
from gristmill.spec.errors import ByHandSource, UsageError
from gristmill.spec.media_source import Download
from gristmill.spec.place import is_address
from gristmill.spec.recipe import Recipe, Source, SourceRole
from gristmill.spec.task import digest_of
from gristmill.storage.bucket import is_stored
from gristmill.storage.files import check_name, check_regular, fingerprint_file, machine_error
from gristmill.storage.hub import HUB_URL, HubFile, commit_of, hub_repo, list_files
from gristmill.storage.store import Place, store_at
from gristmill.storage.url import is_url, name_of

__all__ = ["ELSEWHERE", "LEFT_OUT", "Resolved", "resolve"]

LEFT_OUT = "none"
"""In the place of a media source: it is done without, and media that lie in it are lost as ``no_file``."""
ELSEWHERE = "elsewhere"
"""In its place where nobody brought it, and a step asks elsewhere for what lies in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """All annotation files of a recipe, in the dataset's order.

    Attributes:
        hubs: Source key to ``REPO@REVISION`` or a file's URL, for sources to be fetched.
        aux: Files of aux sources.
        media: Files of media sources.
        waiting: Key of each media source that a person must fetch first.
        sources: Source key to where it is read from, in words.
    """

    inputs: tuple[InputFile, ...]
    aux: tuple[InputFile, ...] = ()
    media: tuple[InputFile, ...] = ()
    waiting: tuple[str, ...] = ()
    remotes: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)


def resolve(recipe: Recipe, replaced: Mapping[str, str], folder: Place | None = None) -> Resolved:
    """Find a recipe's annotation files, without reading them.

    A revision that moves, such as ``main``, is pinned to the commit it stands for when a folder is begun.

    Args:
        recipe: Names its sources.
        replaced: ``--source``: key to a file, a folder, ``hf://datasets/OWNER/NAME@REVISION``, a mirror's URL, an
            object or a prefix of an object store, or, of a media source, :data:`LEFT_OUT`.
        folder: The dataset's folder: if it is begun, its commits hold.

    Raises:
        UnknownName: ``replaced`` names a source that the recipe does not have.
        UsageError: A path that is not there or holds no such file.
        ByHandSource: A source that only a person can fetch was not given.
        AccessError, SourceError: The hub refused.
    """
    for key in replaced:
        recipe.source(key)  # raises UnknownName
    files: dict[SourceRole, list[InputFile]] = {"rows": [], "aux": [], "media": []}
    waiting: list[str] = []
    seen: Seen = {}
    remotes: dict[str, str] = {}
    sources: dict[str, str] = {}
    for source in recipe.sources:
        place = replaced.get(source.key) or source.path or source.url
        if place is None and source.beside:
            place = _beside(replaced.get(source.beside))
        if place is None and source.role == "media" and folder is not None:
            place = put_by_hand(source, shared_folder(folder))
        if source.role == "media" and _is_left_out(source, place, files["rows"]):
            sources[source.key] = LEFT_OUT
            continue
        hub = _hub_of(source, place)
        found = files[source.role]
        if hub is not None:
            by_hand = source.role == "media" and place is None and source.by_hand is not None
            home, listed = _on_hub(source, *hub, folder, needed=not (by_hand or source.role == "aux"))
            if by_hand and not listed:
                _without(source, recipe, waiting, sources)
                continue
            remotes[source.key] = sources[source.key] = home
            found += listed
        elif source.downloads and (place is None or is_url(place)):
            downloads = _mirrored(source, place)
            remotes[source.key] = sources[source.key] = " ".join(one.url for one in downloads)
            found += [_from_download(source.key, one) for one in downloads]
        elif place is not None and is_url(place):
            remotes[source.key] = sources[source.key] = place
            found.append(_from_url(source, place))
        elif place is not None and is_stored(place):
            remotes[source.key], stored = stored_here(
                source,
                place,
                store_at(folder or Path()),
                beside=bool(source.beside) and source.key not in replaced,
            )
            sources[source.key] = remotes[source.key]
            found += stored
        elif place is not None and (is_address(place) or ("://" in place and not Path(place).exists())):
            raise UsageError(
                f"--source {source.key}={place}: a folder or a file on this machine is expected, or "
                "hf://datasets/OWNER/NAME@REVISION, or an object store (s3://, gs://, az://). Mount it, or copy it."
            )
        elif place is not None and source.role == "media":
            sources[source.key] = place
            found += media_here(source, place, seen)
        elif place is not None:
            sources[source.key] = place
            named = place != (replaced.get(source.beside, place) if source.beside else place)
            found += arranged(source, _from_disk(source, Path(place), named=named))
        elif source.role == "media":
            _without(source, recipe, waiting, sources)
        elif source.role != "aux":
            raise ByHandSource(
                f"{recipe.public_name}: {source.by_hand or 'this source cannot be fetched'}\n"
                f"Then give the same command with --source {source.key}=FOLDER."
            )
    _check_keys(recipe, files["rows"])
    return Resolved(
        inputs=tuple(files["rows"]),
        aux=tuple(files["aux"]),
        media=tuple(files["media"]),
        waiting=tuple(waiting),
        remotes=remotes,
        sources=sources,
    )


def _check_keys(recipe: Recipe, rows: Sequence[InputFile]) -> None:
    """Refuse several annotation files where keys are made of rows' numbers alone: two samples would share one."""
    if len(rows) < 2 or "{file" in recipe.key:
        return
    names = ", ".join(file.name for file in rows[:5])
    raise UsageError(
        f"{recipe.public_name} makes keys for one annotation file, and {len(rows)} are there: {names}. Name the one "
        f"that is meant: --source {rows[0].source}={rows[0].path or rows[0].name} (a recipe for several has {{file}} "
        "in its key)."
    )


def _without(source: Source, recipe: Recipe, waiting: list[str], sources: dict[str, str]) -> None:
    """Nobody brought a media source: the dataset waits for it, unless what lies in it is asked for elsewhere."""
    if recipe.asks_elsewhere:
        sources[source.key] = ELSEWHERE
    else:
        waiting.append(source.key)


def _all_like(files: Sequence[InputFile], pattern: str) -> bool:
    return bool(files) and all(fnmatch.fnmatch(file.name.rpartition("/")[2], pattern) for file in files)


def _is_left_out(source: Source, place: str | None, rows: Sequence[InputFile]) -> bool:
    """Whether a media source is done without: a person says so, or the annotations hold what it holds."""
    return place == LEFT_OUT or (place is None and bool(source.unless) and _all_like(rows, source.unless))


def _pinned(key: str, repo: str, revision: str, folder: Place | None) -> str:
    """A commit: the one that is named, that the folder was begun with, or that the revision stands for now."""
    if re.fullmatch(r"[0-9a-f]{7,40}", revision):
        return revision
    if folder is not None and RunConfig.lies_in(folder):
        config, _, commit = RunConfig.read(folder).sources.get(key, "").partition("@")
        if config == repo and commit:
            return commit
    return commit_of(repo, revision)


def _beside(place: str | None) -> str | None:
    """Where the aux files of a source are looked for whose copy lies at ``place``."""
    return str(Path(place).parent) if place and not is_address(place) and Path(place).is_file() else place


def _hub_of(source: Source, place: str | None) -> tuple[str, str] | None:
    if place is None:
        return (source.hub, source.revision) if source.hub and source.revision else None
    if not place.startswith(HUB_URL):
        return None
    url, _, revision = place.partition("@")
    repo = hub_repo(url)
    if repo is None or not revision:
        raise UsageError(
            f"--source {source.key}={place}: expected hf://datasets/OWNER/NAME@REVISION, or hf://OWNER/NAME@REVISION "
            "of a repository of models"
        )
    return repo, revision


def _on_hub(
    source: Source, repo: str, revision: str, folder: Place | None, *, needed: bool
) -> tuple[str, list[InputFile]]:
    """``REPO@COMMIT`` of a source on the hub, and its files there."""
    with naming_source(source.key):
        revision = _pinned(source.key, repo, revision, folder)
        listed = list_files(repo, revision, source.patterns, needed=needed)
    names, passed = left_out(source, [file.name for file in listed])
    chosen = [_from_hub(source.key, file) for file in listed if file.name in set(names)]
    return f"{repo}@{revision}", arranged(source, with_note(source, chosen, passed))


def _from_hub(key: str, file: HubFile) -> InputFile:
    return InputFile(source=key, name=file.name, size_bytes=file.size_bytes, digest=file.digest)


def _mirrored(source: Source, place: str | None) -> Sequence[Download]:
    """The files of a media source at their own addresses, or at a mirror's.

    Raises:
        UsageError: A mirror has a file of another name.
    """
    if place is None:
        return source.downloads
    known = {name_of(one.url): one for one in source.downloads}
    if (name := name_of(place)) not in known or len(known) > 1:
        raise UsageError(
            f"--source {source.key}={place}: {source.key} is {', '.join(known)}. Give a file or a folder, or a URL "
            "that ends so where it is one file."
        )
    return [replace(known[name], url=place)]


def _from_download(key: str, one: Download) -> InputFile:
    """What is published of it; without a checksum it is known by its address and size."""
    digest = one.sha256 or digest_of([name_of(one.url), one.size_bytes])
    return InputFile(source=key, name=name_of(one.url), size_bytes=one.size_bytes, digest=digest)


def _from_url(source: Source, place: str) -> InputFile:
    if source.sha256 is None:
        raise UsageError(
            f"--source {source.key}={place}: no checksum is known of this source, so it is not taken from a URL; "
            f"give a file or folder, or hf://datasets/OWNER/NAME@REVISION."
        )
    return InputFile(
        source=source.key, name=name_of(place), size_bytes=source.size_bytes or 0, digest=source.sha256
    )


def _from_disk(source: Source, place: Path, *, named: bool = False) -> list[InputFile]:
    """Files of a local copy, by sorted name; patterns match the path in the folder, or its end.

    Args:
        source: What is looked for.
        place: A file or folder.
        named: It is the folder of a file that was named itself: what lies beside that is meant, whatever the
            folder's name.
    """
    try:
        found, passed = _matching(source, place, named)
        for _, path in found:
            check_name(path.resolve())
            check_regular(path)
        with ThreadPoolExecutor(8) as threads:
            digests = list(threads.map(fingerprint_file, (path for _, path in found)))
        here = Path.cwd()  # asked for once, and not for each of 23,000 files
        files = [
            InputFile(
                source=source.key,
                name=name,
                size_bytes=path.stat().st_size,
                digest=digest,
                path=str((here / path).resolve()),
            )
            for (name, path), digest in zip(found, digests, strict=True)
        ]
        return with_note(source, files, passed)
    except OSError as err:
        raise machine_error(err, place) from err


def _matching(source: Source, place: Path, named: bool) -> tuple[list[tuple[str, Path]], list[str]]:
    """Files with their names, and names of those that are like them and are passed over."""
    if place.is_file():
        check_variant(source, str(place))
        return [(place.name, place)], []
    if not place.is_dir():
        raise UsageError(f"{typed(source, str(place))}: there is no such file or folder.")
    names = sorted(path.relative_to(place).as_posix() for path in _visible(place))
    chosen, passed = chosen_of(source, names, str(place), place.resolve().name, named=named)
    for path in (place / name for name in chosen):
        if path.is_symlink() and not path.exists():
            raise UsageError(f"{path} is a link to nothing. Put there what it leads to, or remove it.")
    return [(name, place / name) for name in chosen], passed


def _visible(folder: Path) -> Iterator[Path]:
    """Files at any depth, but none that begins with a dot and none in such a folder; links to nothing as well.

    What a run wrote is not among them: its folder may lie in a folder of lists, or be it, and is begun only once.

    Links to folders elsewhere are followed, each once; those to folders in here hold nothing new.

    Raises:
        OSError: A folder that cannot be read: what it holds would be missing, and nobody would know.
    """

    def refuse(err: OSError) -> None:
        raise err

    roots = [folder.resolve()]

    def is_new(path: Path) -> bool:
        if not path.is_symlink():
            return True
        target = path.resolve()
        if any(target.is_relative_to(root) or root.is_relative_to(target) for root in roots):
            return False
        roots.append(target)
        return True

    for at, below, names in os.walk(folder, onerror=refuse, followlinks=True):
        ours = {*MADE, *METADATA_FILES} if RunConfig.lies_in(Path(at)) else set()
        shown = {name for name in (*below, *names) if not name.startswith(".")} - ours
        below[:] = [name for name in sorted(below) if name in shown and is_new(Path(at, name))]
        for path in (Path(at, name) for name in names if name in shown):
            if path.is_file() or (path.is_symlink() and not path.exists()):
                yield path
