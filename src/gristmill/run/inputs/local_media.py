"""What a person has of a media source: archives, parts of one, a folder of files, or a tree that holds much else.

It is read where it lies and never copied. An archive is known by what it holds, whatever its name is; what is no
archive, such as a page that a site shows in the place of one, or a half of a download, is told as what it is.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from gristmill.ledger.run_config import InputFile
from gristmill.ledger.words import count_text, size_text
from gristmill.spec.errors import DamagedSource, UsageError
from gristmill.spec.recipe import Source
from gristmill.storage.archives import Archive, Refusal, kind_of, members_in, parts_beside
from gristmill.storage.files import check_name, check_regular, fingerprint_file, machine_error
from gristmill.storage.url import name_of

__all__ = [
    "Seen",
    "expected",
    "holds_loose",
    "is_fetched",
    "media_among",
    "media_here",
    "put_by_hand",
    "to_fetch",
]

_ARCHIVE = re.compile(
    r".+\.(?:zip|tar|tgz|tar\.gz|z\d\d)(?:[._-]?(?:part[._-]?)?(?:\d{1,6}|[a-z]{2,4}))?", re.IGNORECASE
)
_HALF = (".crdownload", ".partial", ".aria2", ".filepart", ".download", ".!ut", ".opdownload")
"""What browsers and other programs put behind the name of a file that they have not finished."""
_PIECES_HASHED = 64
_EXAMPLES = 5
_ROUNDED = 0.98
"""Sizes of hub files and of what a person fetches are published in gigabytes, rounded."""
_LOOKED_AT = 20_000
"""Members of an archive at most, before it is taken for another source's."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder, looked through once.

    Attributes:
        archives: Files in it that are named as archives, or as parts of one, or as unfinished ones.
        tables: Parquet files.
        examples: A few of all.
        closed: A folder in it, or itself, that this process may not look into; None if there is none.
    """

    digest: str
    size_bytes: int
    files: int
    archives: tuple[str, ...]
    tables: tuple[str, ...]
    examples: tuple[str, ...]
    closed: Path | None = None


_OF_THE_FILE_SYSTEM = "lost+found"
"""Closed to all but the machine's owner, at the top of a disk."""

Seen: TypeAlias = dict[Path, Tree]


def put_by_hand(source: Source, shared: Path) -> str | None:
    """Say where in ``DIR/sources`` a person has put a media source; None if there is nothing.

    What was fetched there is none, whichever dataset it was fetched for. Of a source that can be fetched only
    archives count that may be its own, not folders.

    Raises:
        DamagedSource: A link lies there.
    """
    place = shared / (source.folder or source.key)
    if not place.is_dir():
        return None
    found, fetched = [], False
    for path in sorted(place.iterdir()):
        if path.is_symlink():
            raise DamagedSource(
                f"{path} is a link. Name what it leads to instead: --source {source.key}={os.path.realpath(path)}"
            )
        if is_fetched(path):
            fetched = True
        elif not path.name.startswith(".") and (not source.home or _is_its_archive(source, path)):
            found.append(path)
    if not found:
        return None
    return os.pathsep.join(map(str, found)) if source.home or fetched else str(place)


def is_fetched(path: Path) -> bool:
    """Say whether a folder in that of a media source is what was fetched, by the digest that is its name."""
    return re.fullmatch(r"[0-9a-f]{16}", path.name) is not None and path.is_dir() and not path.is_symlink()


def _is_its_archive(source: Source, path: Path) -> bool:
    """Whether a file is an archive of a source, by its name and by the names in it."""
    if path.suffix == ".parquet" and path.is_file():
        return True
    known = _ARCHIVE.fullmatch(_finished(path.name)) is not None and path.is_file()
    return known and _may_hold_members(source, path)


def to_fetch(source: Source, shared: Path | None, elsewhere: str = "") -> str:
    """Say what a person must do to have a media source, in sentences.

    Args:
        source: The source.
        shared: ``DIR/sources``, if it is known.
        elsewhere: What to type to have its media asked for elsewhere, and whom.
    """
    size = f", {size_text(source.size_bytes)}" if source.size_bytes else ""
    folder = source.folder or source.key
    place = str(shared / folder) if shared else f"DIR/sources/{folder}"
    said = f"{source.key} ({source.title or 'media'}{size}): {source.by_hand or 'Nothing fetches it.'}"
    if source.address:
        said += f" It is at {source.address}."
    if source.terms:
        said += f" Terms: {source.terms}."
    if names := _names(source):
        said += f" Its files: {', '.join(names)}."
    return (
        f"{said} Put it into {place}/, or name where you have it: --source {source.key}=PATH (or do without it: "
        f"--source {source.key}=none{f'; or {elsewhere}' if elsewhere else ''})"
    )


def media_here(source: Source, place: str, seen: Seen | None = None) -> list[InputFile]:
    """The files or the folder of a media source on this machine.

    Args:
        source: What is looked for.
        place: Files and folders, with ``os.pathsep`` between them.
        seen: Folders that were looked through just now: several sources may be looked for in one that is large.

    Raises:
        UsageError: A path is not there, or nothing of that kind lies there.
        DamagedSource: A file is no archive.
        MachineError: The system refuses, as with a folder that may not be looked into.
    """
    seen = {} if seen is None else seen
    paths = [Path(place)] if Path(place).exists() else [Path(one) for one in place.split(os.pathsep) if one]
    found: list[tuple[str, Path]] = []
    try:
        for path in paths:
            if not path.exists():
                raise UsageError(f"--source {source.key}={place}: there is no {path}.")
            check_name(path.resolve())
            if path.is_dir():
                found += _in_folder(source, path, _looked_through(path, seen))
            else:
                check_regular(path)
                found += [(one.name, one) for one in parts_beside(path)]
        return [_input(source, name, path, seen) for name, path in _named_apart(found)]
    except OSError as err:
        raise machine_error(err, place) from err


def media_among(source: Source, names: Sequence[str]) -> list[str]:
    """Choose the files of a media source by their names alone, where nothing else is known of them.

    Those that are named for it, else all of its kind; of a source that is a folder, all.
    """
    if source.format == "folder":
        return list(names)
    if source.format == "parquet":
        found = [name for name in names if name.endswith(".parquet")]
    else:
        found = [name for name in names if _ARCHIVE.fullmatch(name.rpartition("/")[2])]
    return [name for name in found if _is_expected(source, name)] or found


def holds_loose(source: Source, names: Sequence[str]) -> bool:
    """Say whether the files below a place are a media source's members themselves, as far as names tell.

    Not where an archive is named for it. By its layouts, or without any where there is no archive.
    """
    if source.format in ("folder", "parquet"):
        return False
    archives = [name for name in names if _ARCHIVE.fullmatch(name.rpartition("/")[2])]
    if any(_is_expected(source, name) for name in archives):
        return False
    if source.layouts:
        return any(layout.fits(name) for layout in source.layouts for name in names)
    return not archives


def _in_folder(source: Source, folder: Path, tree: Tree) -> list[tuple[str, Path]]:
    """What of a folder is the source: the files that are named for it, it itself, or every archive in it."""
    if source.format == "parquet":
        named = [name for name in tree.tables if _is_expected(source, name)] or list(tree.tables)
    else:
        likely = [name for name in tree.archives if _is_expected(source, name)]
        named = [name for name in likely if _may_hold_members(source, folder / name)]
        if not named and tree.closed is not None:
            os.scandir(
                tree.closed
            ).close()  # raises what the system says: else all in it would be lost as no_file
        if not named and _holds_members(source, folder):
            return [(folder.resolve().name or "folder", folder)]
        named = named or likely or list(tree.archives)
    if not named:
        examples = f", such as {', '.join(tree.examples)}" if tree.examples else ""
        raise UsageError(
            f"{folder} holds nothing of {source.title or source.key}: {count_text(tree.files, 'file')}{examples}. "
            f"Expected: {expected(source)}. Name the right place with --source {source.key}=PATH."
        )
    return [(name, folder / name) for name in named]


def _looked_through(folder: Path, seen: Seen) -> Tree:
    """Look through a folder, unless that was done just now."""
    folder = folder.resolve()
    if folder in seen:
        return seen[folder]
    total = size = files = 0
    archives, tables, examples = [], [], []
    closed = None
    for entry in members_in(Archive.at(folder)):
        told = f"{entry.name}\0{entry.size_bytes}\0{entry.refused or ''}".encode("utf-8", "surrogatepass")
        total += int.from_bytes(
            hashlib.sha256(told).digest(), "big"
        )  # a sum: whatever the order, in no memory
        size, files = size + entry.size_bytes, files + 1
        if _ARCHIVE.fullmatch(_finished(entry.name.rpartition("/")[2])) and not entry.refused:
            archives.append(entry.name)
        elif entry.name.endswith(".parquet") and not entry.refused:
            tables.append(entry.name)
        if files <= _EXAMPLES:
            examples.append(entry.name)
        unread = (
            entry.refused is Refusal.UNREADABLE or not entry.name
        )  # without a name it is the folder itself
        if unread and entry.name != _OF_THE_FILE_SYSTEM:
            at = folder / entry.name
            closed = at if at.is_dir() else closed
    digest = hashlib.sha256(b"%d %d %d" % (total, size, files)).hexdigest()
    seen[folder] = Tree(
        digest, size, files, tuple(sorted(archives)), tuple(sorted(tables)), tuple(examples), closed
    )
    return seen[folder]


def _holds_members(source: Source, folder: Path) -> bool:
    """Whether files of a folder are members of the source, by its layouts; without any, whether there are others."""
    for entry in members_in(Archive.at(folder)):
        if entry.refused is None and (
            any(layout.fits(entry.name) for layout in source.layouts)
            if source.layouts
            else not _ARCHIVE.fullmatch(entry.name.rpartition("/")[2])
        ):
            return True
    return False


def _may_hold_members(source: Source, path: Path) -> bool:
    """Whether an archive in a folder is the source's: ``images.zip`` is the name of several sources' archives.

    One that cannot be looked into, such as a part of one, or a page in its place, is said to be, and told later.
    """
    entry = None
    try:
        for entry in islice(members_in(Archive.at(path)), _LOOKED_AT):
            if any(layout.fits(entry.name) for layout in source.layouts):
                return True
    except (DamagedSource, UsageError):
        return True
    return entry is None or not source.layouts


def _is_expected(source: Source, name: str) -> bool:
    """Whether a file is named as one of the source's, perhaps as a part of it, or as an unfinished one."""
    last = _finished(name.rpartition("/")[2]).lower()
    return any(
        fnmatch.fnmatch(last, pattern) or fnmatch.fnmatch(last, f"{pattern}[._-]*")
        for pattern in _names(source)
    )


def _names(source: Source) -> list[str]:
    """Names of the source's files, or patterns of them, in lower case."""
    names = [name_of(one.url) for one in source.downloads]
    names += [pattern.rpartition("/")[2] for pattern in source.patterns if pattern != "*"]
    return list(dict.fromkeys(name.lower() for name in names))


def expected(source: Source) -> str:
    """Say what the files of a media source are called, or those in it."""
    layouts = (
        f"files like {layout.example}" if layout.example else f"files that fit {layout.member}"
        for layout in source.layouts
    )
    return ", ".join([*_names(source), *layouts]) or "archives"


def _finished(name: str) -> str:
    """A file's name without what stands behind it while it is being downloaded."""
    return next((name[: -len(end)] for end in _HALF if name.lower().endswith(end)), name)


def _named_apart(found: Sequence[tuple[str, Path]]) -> Iterator[tuple[str, Path]]:
    """Each file once, under a name that no other has."""
    names: set[str] = set()
    paths: set[Path] = set()
    for name, path in found:
        if path.resolve() not in paths:
            apart = name if name not in names else f"{len(paths)}/{name}"
            names.add(apart)
            paths.add(path.resolve())
            yield apart, path


def _input(source: Source, name: str, path: Path, seen: Seen) -> InputFile:
    """A file or a folder as it stands in a run config."""
    absolute = str(Path.cwd() / path)
    if path.is_dir():
        tree = _looked_through(path, seen)
        return InputFile(
            source=source.key, name=name, size_bytes=tree.size_bytes, digest=tree.digest, path=absolute
        )
    _check_whole(source, path)
    return InputFile(
        source=source.key,
        name=name,
        size_bytes=path.stat().st_size,
        digest=fingerprint_file(path, pieces=_PIECES_HASHED),
        path=absolute,
    )


def _check_whole(source: Source, path: Path) -> None:
    """Refuse what is plainly no archive, or a part of a download, before anything is begun.

    Raises:
        DamagedSource: With what it is.
    """
    size = path.stat().st_size
    if path.name != _finished(path.name):
        raise DamagedSource(
            f"{path} is a download that has not ended ({size:,} bytes so far), by its name. Wait for it, or fetch "
            "the file again."
        )
    if source.format != "parquet" and parts_beside(path)[0] == path:
        kind_of(Archive.at(path))
    published = {name_of(one.url): one.size_bytes for one in source.downloads}.get(path.name)
    if (
        published is None
        and source.files == 1
        and _is_expected(source, path.name)
        and len(_names(source)) == 1
    ):
        published = int((source.size_bytes or 0) * _ROUNDED)
    if published and size < published and (path.name.lower() in _names(source)):
        raise DamagedSource(
            f"{path} has {size:,} of the {published:,} bytes that are published: it is a half of a download, or "
            "another file. Fetch it again. If it is a choice of your own, give it another name."
        )
