"""A media source: archives and folders whose members are found by name and read where they lie."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from gristmill.spec.errors import DamagedSource, SourceError
from gristmill.storage.archives.bodies import PIECE_BYTES, Body
from gristmill.storage.archives.entries import Entry, Extent, MemberRefused, Refusal, Scan, Summary
from gristmill.storage.archives.index import IndexWriter, MemberIndex
from gristmill.storage.archives.kind import Reader, kind_of, kinds_by_name
from gristmill.storage.archives.parts import Archive, close_files
from gristmill.storage.files import machine_error

__all__ = ["LARGE_BYTES", "ArchiveSource", "Indexed", "in_order", "members_in", "write_index"]

LARGE_BYTES = 8 << 20
"""A larger member is taken as a stream, unless its reader says otherwise."""


def write_index(archive: Archive, path: Path, tell: Callable[[int], None] = lambda members: None) -> Summary:
    """Read an archive through once and write its index; ``path.points`` as well, for a tar.gz.

    Args:
        archive: What to read.
        path: Of the index, which replaces one that is there.
        tell: Called with the number of members so far, now and then; what it raises ends the pass.

    Raises:
        DamagedSource: It is no archive, or nothing of it can be read.
        MachineError: The system refuses.
    """
    scan = Scan()
    close_files(archive)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        name = kind_of(archive)
        kind = kinds_by_name()[name]
        with IndexWriter(path, tell) as writer:
            writer.add(kind.scan(archive, scan))
            kind.beside(archive, path, scan)
            return writer.finish(name, kind.revision, _files(archive), scan)
    except OSError as err:
        raise machine_error(err, archive.paths[0]) from err


def members_in(archive: Archive) -> Iterator[Entry]:
    """All members as a pass over an archive finds them, refused ones, too; none of their bytes are read.

    Raises:
        DamagedSource: It is no archive, or nothing of it can be read.
        OSError: As the system says.
    """
    yield from kinds_by_name()[kind_of(archive)].scan(archive, Scan())


def in_order(archive: Archive, scan: Scan) -> Iterator[tuple[Entry, io.BufferedReader]]:
    """All members with their bytes in one pass over an archive, without an index.

    A member is read before the next is asked for, or passed over. Refused ones come without bytes. That a member is
    there twice, or shares bytes with another, only an index tells.

    Args:
        archive: What to read.
        scan: Takes up what was seen besides; complete after the last member.

    Raises:
        DamagedSource: It is no archive, or nothing of it can be read.
        MachineError: The system refuses.
    """
    try:
        for entry, pieces in kinds_by_name()[kind_of(archive)].in_order(archive, scan):
            yield entry, _stream(pieces)
    except OSError as err:
        raise machine_error(err, archive.paths[0]) from err


class Indexed:
    """An archive and its index. Opened where it is first read; handed to other processes as two paths."""

    def __init__(self, archive: Archive, index: Path) -> None:
        self.archive, self._path = archive, index

    def __reduce__(self) -> tuple[type[Indexed], tuple[Archive, Path]]:
        return Indexed, (self.archive, self._path)

    @cached_property
    def index(self) -> MemberIndex:
        """Its index.

        Raises:
            DamagedSource: It is none, or one of other files, or made by another version.
        """
        close_files(self.archive)
        index = MemberIndex(self._path)
        told = index.summary
        kind = kinds_by_name().get(told.kind)
        if kind is None or kind.revision != told.revision or told.files != _files(self.archive):
            raise DamagedSource(
                f"{self._path} was made of other files than {self.archive}, or by another version. "
                "Remove it and give the same command again."
            )
        return index

    @cached_property
    def reader(self) -> Reader:
        """Opens the archive."""
        return kinds_by_name()[self.index.summary.kind].reader(self.archive, self._path)


class ArchiveSource:
    """Members of some archives and folders, found by name; for any number of threads and processes.

    Args:
        archives: Where a name is in several of them, the first that has it counts.
        catalog: Path of the index over all of them, see :mod:`gristmill.storage.archives.catalog`; without one each
            is asked for its own names.
    """

    def __init__(self, archives: Sequence[Indexed], catalog: Path | None = None) -> None:
        self._archives, self._catalog = tuple(archives), catalog

    @cached_property
    def _paths(self) -> MemberIndex | None:
        return None if self._catalog is None else MemberIndex(self._catalog)

    def find(self, names: Sequence[str], *, loosely: bool = True) -> list[Entry | None]:
        """Say what is known of each name; None where nothing is.

        A good member of exactly that name comes first, of any archive; then, if ``loosely``, a good one whose name
        differs only in how it was written down; then a refused one. See :meth:`Index.find`.

        Raises:
            DamagedSource: An index cannot be used.
        """
        if self._paths is not None:
            return self._paths.find(names, loosely=loosely)
        best: list[Entry | None] = [None] * len(names)
        for number, indexed in enumerate(self._archives):
            for place, found in enumerate(indexed.index.find(names, loosely=loosely)):
                if found is not None and _rank(found, names[place]) > _rank(best[place], names[place]):
                    best[place] = found._replace(archive=number)
        return best

    def below(self, folders: Sequence[str]) -> Iterator[tuple[int, Entry]]:
        """The members of some folders, refused ones, too, each with the number of its folder, in no order of theirs.

        See :meth:`MemberIndex.below`. To ask for many folders at once costs little more than for one.

        Raises:
            DamagedSource: An index cannot be used.
        """
        if self._paths is not None:
            yield from self._paths.below(folders)
            return
        for place, indexed in enumerate(self._archives):
            for number, entry in indexed.index.below(folders):
                yield number, entry._replace(archive=place)

    @property
    def root(self) -> Path:
        """The folder, of a source that is one.

        Raises:
            SourceError: It is something else.
        """
        archive = self._archives[0].archive
        if len(self._archives) > 1 or not archive.is_folder:
            raise SourceError(
                f"{archive} is no folder, and files below a folder are asked for. Unpack it, and name the folder."
            )
        return archive.paths[0]

    def open(self, entry: Entry) -> io.BufferedReader:
        """A member's bytes as a stream, read once from its beginning; in memory is one piece, whatever its size.

        The last bytes come only if size and checksum are right.

        Raises:
            MemberRefused: It is refused, or its bytes are not what the index says: here, or while it is read.
            MachineError: The system refuses.
        """
        indexed = self._good(entry)
        return _stream(_said(indexed.reader.pieces(entry), indexed.archive))

    def read(self, entry: Entry, most_bytes: int = LARGE_BYTES) -> bytes:
        """A member's bytes.

        Raises:
            MemberRefused: As :meth:`open`, or it has more than ``most_bytes``.
            MachineError: The system refuses.
        """
        indexed = self._good(entry)
        if entry.size_bytes > most_bytes:
            raise MemberRefused(str(indexed.archive), entry.name, Refusal.TOO_LARGE)
        return b"".join(_said(indexed.reader.pieces(entry), indexed.archive))

    def extent(self, entry: Entry) -> Extent | None:
        """Say where a member's bytes stand as they are: stored in a zip, in a tar, as a file. None where they do not.

        Whoever copies them checks them by the entry's checksum, or the digest known of the member.

        Raises:
            MemberRefused: It is refused, or the archive is not what the index says.
            MachineError: The system refuses.
        """
        indexed = self._good(entry)
        try:
            return indexed.reader.extent(entry)
        except OSError as err:
            raise machine_error(err, indexed.archive.paths[0]) from err

    def pointer(self, entry: Entry) -> str | None:
        """A text by which :meth:`reopen` finds a good member again, without its name being looked up.

        None where members are dear to read at random: in a tar.gz, which is unpacked from some point before each.

        Raises:
            MemberRefused: It is refused.
        """
        indexed = self._good(entry)
        if not indexed.reader.at_random:
            return None
        raw = None if entry.raw is None else entry.raw.hex()
        found = [indexed.archive.paths[0].name, entry.name, raw, *entry[2:7], entry.archive]
        return json.dumps(found, ensure_ascii=False, separators=(",", ":"))

    def reopen(self, pointer: str) -> io.BufferedReader:
        """Say what :meth:`open` gives of the member that a pointer stands for.

        Raises:
            MemberRefused, MachineError: As :meth:`open`.
            ValueError: It is no pointer into this source.
        """
        try:
            file, name, raw, *numbers, archive = json.loads(pointer)
            entry = Entry(name, None if raw is None else bytes.fromhex(raw), *numbers)
            return self.open(entry._replace(archive=self._numbered(file, archive)))
        except TypeError as err:
            raise ValueError(f"no pointer into this source: {pointer[:200]}") from err

    def _numbered(self, file: str, number: int) -> int:
        """The number that an archive has now: others may have come since."""
        files = [indexed.archive.paths[0].name for indexed in self._archives]
        if 0 <= number < len(files) and files[number] == file:
            return number
        if files.count(file) != 1:
            raise ValueError(f"{file} is not there any more, or there are several")
        return files.index(file)

    def _good(self, entry: Entry) -> Indexed:
        if not 0 <= entry.archive < len(self._archives):
            raise DamagedSource(
                f"{self._catalog} names an archive that is not there. Remove it and give the same command again."
            )
        indexed = self._archives[entry.archive]
        if entry.refused is not None:
            raise MemberRefused(str(indexed.archive), entry.name, entry.refused)
        return indexed


def _rank(entry: Entry | None, name: str) -> int:
    if entry is None:
        return 0
    if entry.refused is not None:
        return 1
    return 3 if entry.name == name else 2


def _files(archive: Archive) -> tuple[tuple[str, int], ...]:
    return (
        ()
        if archive.is_folder
        else tuple((path.name, size) for path, size in zip(archive.paths, archive.sizes, strict=True))
    )


def _said(pieces: Iterator[bytes], archive: Archive) -> Iterator[bytes]:
    try:
        yield from pieces
    except OSError as err:
        raise machine_error(err, archive.paths[0]) from err


def _stream(pieces: Iterator[bytes]) -> io.BufferedReader:
    return io.BufferedReader(Body(pieces), PIECE_BYTES)
