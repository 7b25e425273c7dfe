"""Tars: one pass over the headers; the members' bytes are plain ranges."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gristmill.storage.archives.bodies import checked, ranged
from gristmill.storage.archives.entries import Entry, Extent, Scan
from gristmill.storage.archives.parts import Archive
from gristmill.storage.archives.tar_walk import BLOCK_BYTES, is_header, padding, walk

__all__ = ["KIND"]


class _Headers:
    """See :class:`gristmill.storage.archives.tar_walk.Forward`; what is skipped is not read."""

    def __init__(self, archive: Archive) -> None:
        self._archive, self.at = archive, 0

    def read(self, size: int) -> bytes:
        got = self._archive.read_at(self.at, size)
        self.at += len(got)
        return got

    def skip(self, size: int) -> tuple[int, None]:
        passed = min(size, self._archive.size_bytes - self.at)
        self.at += passed
        return passed, None

    def holds(self, size: int) -> bool:
        return self.at + size <= self._archive.size_bytes


class Tar:
    """See :class:`gristmill.storage.archives.kind.Kind`."""

    revision = 1

    def likeness(self, archive: Archive, head: bytes) -> int:
        """See :class:`gristmill.storage.archives.kind.Kind`."""
        if is_header(head):
            return 3
        marked = head[257:262] == b"ustar" or archive.paths[0].name.lower().endswith(".tar")
        zeros = len(head) >= BLOCK_BYTES and not any(head)
        return 1 if head[257:262] == b"ustar" or (marked and zeros) else 0

    def scan(self, archive: Archive, scan: Scan) -> Iterator[Entry]:
        """See :class:`gristmill.storage.archives.kind.Kind`."""
        headers = _Headers(archive)
        for entry, follows in walk(headers, scan):
            yield entry
            headers.skip(follows + padding(follows))

    def in_order(self, archive: Archive, scan: Scan) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """See :class:`gristmill.storage.archives.kind.Kind`."""
        reader = TarReader(archive)
        for entry in self.scan(archive, scan):
            yield entry, iter(()) if entry.refused else reader.pieces(entry)

    def beside(self, archive: Archive, index: Path, scan: Scan) -> None:
        """See :class:`gristmill.storage.archives.kind.Kind`."""

    def reader(self, archive: Archive, index: Path) -> TarReader:
        """See :class:`gristmill.storage.archives.kind.Kind`."""
        return TarReader(archive)


class TarReader:
    """See :class:`gristmill.storage.archives.kind.Reader`."""

    at_random = True

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def pieces(self, entry: Entry) -> Iterator[bytes]:
        """See :class:`gristmill.storage.archives.kind.Reader`."""
        return checked(ranged(self._archive, entry.offset, entry.size_bytes), self._archive, entry)

    def extent(self, entry: Entry) -> Extent | None:
        """See :class:`gristmill.storage.archives.kind.Reader`."""
        found = self._archive.range_in_file(entry.offset, entry.size_bytes)
        return found and Extent(path=found[0], offset=found[1], size_bytes=entry.size_bytes)


KIND = Tar()
