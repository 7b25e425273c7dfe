"""A folder as an archive: its files are its members.

A link to a folder is refused: what it leads to is named by its own path, or is another source. A link to a file is
followed if the file lies below the root. Reading goes down from the root component by component and follows nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from gristmill.storage.archives.bodies import PIECE_BYTES, checked
from gristmill.storage.archives.entries import Entry, Extent, MemberRefused, Refusal, Scan
from gristmill.storage.archives.names import member_name
from gristmill.storage.archives.parts import Archive

__all__ = ["KIND"]


class Folder:
    """See :class:`gristmill.storage.archives.kind.Kind`."""

    revision = 1

    def likeness(self, archive: Archive, head: bytes) -> int:
        """See :class:`gristmill.storage.archives.kind.Kind`."""
        return 3 if archive.is_folder else 0

    def scan(self, archive: Archive, scan: Scan) -> Iterator[Entry]:
        """See :class:`gristmill.storage.archives.kind.Kind`; as the system lists them: no list is held."""
        return _walk(os.path.realpath(archive.paths[0]), in_order=False)

    def in_order(self, archive: Archive, scan: Scan) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """See :class:`gristmill.storage.archives.kind.Kind`; by name within each folder."""
        reader = FolderReader(archive)
        for entry in _walk(os.path.realpath(archive.paths[0]), in_order=True):
            yield entry, iter(()) if entry.refused else reader.pieces(entry)

    def beside(self, archive: Archive, index: Path, scan: Scan) -> None:
        """See :class:`gristmill.storage.archives.kind.Kind`."""

    def reader(self, archive: Archive, index: Path) -> FolderReader:
        """See :class:`gristmill.storage.archives.kind.Kind`."""
        return FolderReader(archive)


def _walk(root: str, in_order: bool) -> Iterator[Entry]:
    waiting = [""]
    while waiting:
        below = waiting.pop()
        folders = []
        try:
            with os.scandir(os.path.join(root, below)) as found:
                for item in sorted(found, key=lambda item: item.name) if in_order else found:
                    path = f"{below}/{item.name}" if below else item.name
                    if item.is_dir(follow_symlinks=False):
                        folders.append(path)
                    else:
                        yield _looked_at(root, path)
        except OSError:
            yield _entry(below, 0, Refusal.UNREADABLE)
        waiting += reversed(folders)


def _looked_at(root: str, path: str) -> Entry:
    try:
        found = os.lstat(os.path.join(root, path))
        if stat.S_ISLNK(found.st_mode):
            target = _below(root, path)
            if target is None:
                return _entry(path, 0, Refusal.LINK)
            found = os.lstat(os.path.join(root, target))
            if stat.S_ISDIR(found.st_mode):
                return _entry(path, 0, Refusal.LINK)
    except OSError:
        return _entry(path, 0, Refusal.UNREADABLE)
    return _entry(path, found.st_size, None if stat.S_ISREG(found.st_mode) else Refusal.DEVICE)


def _entry(path: str, size: int, refused: Refusal | None) -> Entry:
    raw = os.fsencode(path)
    name, bad_name = member_name(raw)
    odd = None if name.encode() == raw else raw
    return Entry(
        name=name, raw=odd, offset=0, packed_bytes=size, size_bytes=size, refused=bad_name or refused
    )


def _below(root: str, path: str) -> str | None:
    """Where a path leads to, from the root; None if that is not below it."""
    real = os.path.realpath(os.path.join(root, path))
    return os.path.relpath(real, root) if real.startswith(os.path.join(root, "")) else None


class FolderReader:
    """See :class:`gristmill.storage.archives.kind.Reader`."""

    at_random = True

    def __init__(self, archive: Archive) -> None:
        self._archive, self._root = archive, os.path.realpath(archive.paths[0])

    def pieces(self, entry: Entry) -> Iterator[bytes]:
        """See :class:`gristmill.storage.archives.kind.Reader`."""
        return checked(self._read(entry), self._archive, entry)

    def extent(self, entry: Entry) -> Extent | None:
        """See :class:`gristmill.storage.archives.kind.Reader`."""
        path, fd = self._opened(entry)
        try:
            size = os.fstat(fd).st_size
        finally:
            os.close(fd)
        if size != entry.size_bytes:
            raise MemberRefused(str(self._archive), entry.name, Refusal.SIZE)
        return Extent(path=Path(path), offset=0, size_bytes=size)

    def _read(self, entry: Entry) -> Iterator[bytes]:
        _, fd = self._opened(entry)
        with os.fdopen(fd, "rb", buffering=0) as stream:
            while piece := stream.read(PIECE_BYTES):
                yield piece

    def _opened(self, entry: Entry) -> tuple[str, int]:
        """The file, opened from the root down, and its path."""
        if b"\0" in entry.raw_name:
            raise MemberRefused(str(self._archive), entry.name, Refusal.NUL)
        target = _below(self._root, os.fsdecode(entry.raw_name))
        if target is None:
            raise MemberRefused(str(self._archive), entry.name, Refusal.LINK)
        try:
            with ExitStack() as stack:
                at = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, at)
                *folders, name = target.split("/")
                for folder in folders:
                    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
                    stack.callback(os.close, at)
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
        except OSError as err:
            raise MemberRefused(str(self._archive), entry.name, Refusal.UNREADABLE) from err
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise MemberRefused(str(self._archive), entry.name, Refusal.DEVICE)
        return os.path.join(self._root, target), fd


KIND = Folder()
