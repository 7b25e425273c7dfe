"""An archive as one row of bytes: of one file, or of several that it was split into."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from gristmill.spec.errors import SourceError, UsageError
from gristmill.storage.files import machine_error

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Archive", "archives_of", "close_files", "joined", "parts_beside"]

MAX_OPEN_FILES = 32
"""Files that a process keeps open to read from, over all archives."""

_PART = re.compile(
    r"(?P<stem>.+\.(?:tar(?!\.gz\Z)|tgz|tar\.gz|zip))[._-]?"
    r"(?:part[._-]?(?P<part>\d{1,6})|(?P<number>\d{2,6})|(?:part[._-]?)?(?!(?:bak|bz|csv|json|md|old|sha|sig|tmp|txt|xz|zst)\Z)(?P<letters>[a-z]{2,4}))",
    re.IGNORECASE,
)
_ZIP_VOLUME = re.compile(r"\.z\d{2,}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Archive:
    """Says where an archive's bytes lie, or a folder; plain data, so that processes can hand it to each other.

    Attributes:
        paths: The file, the files in order, or the folder.
        sizes: Bytes of each file; empty for a folder.
    """

    paths: tuple[Path, ...]
    sizes: tuple[int, ...]

    @classmethod
    def at(cls, *paths: Path) -> Archive:
        """The archive that lies in these files, in this order, or a folder.

        Raises:
            UsageError: One of them is not there.
            SourceError: One of them is no regular file.
            MachineError: The system does not let us look.
        """
        if len(paths) == 1 and paths[0].is_dir():
            return cls(paths, ())
        return cls(paths, tuple(_size_of(path) for path in paths))

    @property
    def is_folder(self) -> bool:
        """Say whether this is a folder, which has no bytes of its own."""
        return not self.sizes

    @property
    def size_bytes(self) -> int:
        """All bytes."""
        return sum(self.sizes)

    def __str__(self) -> str:
        more = len(self.paths) - 1
        return f"{self.paths[0]} (and {more} more)" if more else str(self.paths[0])

    def read_at(self, offset: int, size: int) -> bytes:
        """The bytes of a range: fewer only where the archive ends. For any number of threads.

        Raises:
            OSError: As the system says.
        """
        got = []
        for path, first, length in self._ranges(offset, size):
            start, end = first, first + length
            while start < end and (piece := _FILES.read(path, end - start, start)):
                got.append(piece)
                start += len(piece)
            if start < end:
                break  # shorter than it was: what follows would not join
        return got[0] if len(got) == 1 else b"".join(got)

    def range_in_file(self, offset: int, size: int) -> tuple[Path, int] | None:
        """The file that holds a range whole, and where in it; None if it lies in several files."""
        found = list(self._ranges(offset, size)) if size else [(self.paths[0], 0, 0)]
        return found[0][:2] if len(found) == 1 and found[0][2] == size else None

    def _ranges(self, offset: int, size: int) -> Iterator[tuple[Path, int, int]]:
        for path, length in zip(self.paths, self.sizes, strict=True):
            if size <= 0:
                return
            if offset < length:
                here = min(size, length - offset)
                yield path, offset, here
                offset, size = offset + here, size - here
            offset -= length

    def stream(self) -> ArchiveStream:
        """All bytes in order; seekable."""
        return ArchiveStream(self)


class ArchiveStream(io.RawIOBase):
    """An archive as a file that has its own position, without a file of its own open.

    An end before the archive's known size is an error, not an end: there are libraries that wait there for ever.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive, self._at = archive, 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Say where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See :meth:`io.IOBase.seek`."""
        start = (0, self._at, self._archive.size_bytes)[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """See :meth:`io.RawIOBase.readinto`.

        Raises:
            OSError: As the system says, or a file is shorter than it was.
        """
        view = memoryview(buffer).cast("B")
        got = self._archive.read_at(self._at, len(view))
        if len(got) < min(len(view), self._archive.size_bytes - self._at):
            raise OSError(errno.ESTALE, "the file is shorter than it was", str(self._archive.paths[-1]))
        view[: len(got)] = got
        self._at += len(got)
        return len(got)


def archives_of(paths: Sequence[Path]) -> list[Archive]:
    """The archives that lie in some files and folders: files of a split one (``x.tar.gz.aa``, ...) are joined.

    Raises:
        SourceError: A part is missing, or a file is a volume of a zip split by ``zip -s``.
        UsageError: A path is not there.
    """
    return [Archive.at(*files) for files in joined(paths)]


def joined(paths: Sequence[Path]) -> list[tuple[Path, ...]]:
    """Say which files are one archive together, by their names, as :func:`archives_of`; none of them need be there.

    Raises:
        SourceError: A part is missing, or a file is a volume of a zip split by ``zip -s``.
    """
    split: dict[tuple[Path, str], list[tuple[int, Path]]] = {}
    found: list[Path | list[tuple[int, Path]]] = []
    for path in paths:
        if _ZIP_VOLUME.fullmatch(path.suffix):
            whole = path.with_suffix(".zip")
            raise SourceError(
                f"{path} is one volume of a zip in several volumes, which is not supported. "
                f"Join them with `zip -s 0 {whole.name} --out joined.zip`, and give joined.zip in their place."
            )
        place = None if path.is_dir() else _part_of(path)
        if place is None:
            found.append(path)
            continue
        key, number = place
        if key not in split:
            found.append(split.setdefault(key, []))
        split[key].append((number, path))
    return [(one,) if isinstance(one, Path) else _in_order(one) for one in found]


def parts_beside(path: Path) -> tuple[Path, ...]:
    """The files of the archive that a file is a part of, in order; itself alone if it is none.

    Raises:
        SourceError: One is missing.
        OSError: As the system says.
    """
    place = _part_of(path)
    if place is None:
        return (path,)
    others = [
        (found[1], one) for one in path.parent.iterdir() if (found := _part_of(one)) and found[0] == place[0]
    ]
    return _in_order(others)


def _part_of(path: Path) -> tuple[tuple[Path, str], int] | None:
    """Which split archive a file is a part of, and its number there."""
    match = _PART.fullmatch(path.name)
    if match is None:
        return None
    if letters := match["letters"]:
        number = 0
        for letter in letters.lower():
            number = number * 26 + ord(letter) - ord("a")
    else:
        number = int(match["part"] or match["number"])
    how = "letters" if letters else "numbers"
    return (path.parent, match["stem"] + how), number


def _in_order(parts: list[tuple[int, Path]]) -> tuple[Path, ...]:
    parts.sort()
    numbers = [number for number, _ in parts]
    first = parts[0][1]
    if numbers[0] not in {0, 1}:
        raise SourceError(
            f"{first} is not the first part of its archive: put those before it in the same place."
        )
    for (before, path), (after, _) in pairwise(parts):
        if after != before + 1:
            wrong = "is there twice" if after == before else "is not followed by the next part"
            raise SourceError(
                f"{path} {wrong}: put all parts of the archive, and each once, in the same place."
            )
    return tuple(path for _, path in parts)


def _size_of(path: Path) -> int:
    try:
        found = path.stat()
    except OSError as err:
        raise machine_error(err, path) from err
    except ValueError as err:
        raise UsageError(f"{str(path)!r} is no path. Check it and give the command again.") from err
    if not stat.S_ISREG(found.st_mode):
        raise SourceError(f"{path} is no regular file. Give the path of an archive or of a folder.")
    return found.st_size


class _OpenFiles:
    """Files of this process that are open for reading: the ones used last stay so, up to a number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[Path, list[int]] = OrderedDict()  # path -> [fd, users]

    def read(self, path: Path, size: int, offset: int) -> bytes:
        with self._lock:
            if path not in self._open:
                self._make_room(MAX_OPEN_FILES - 1)
                self._open[path] = [_open_regular(path), 0]
            self._open.move_to_end(path)
            held = self._open[path]
            held[1] += 1
        try:
            return os.pread(held[0], size, offset)
        finally:
            with self._lock:
                held[1] -= 1

    def _make_room(self, most: int) -> None:
        idle = [path for path, (_, users) in self._open.items() if not users]
        for path in idle[: max(0, len(self._open) - most)]:
            os.close(self._open.pop(path)[0])

    def close(self, paths: Sequence[Path]) -> None:
        with self._lock:
            for path in paths:
                if path in self._open and not self._open[path][1]:
                    os.close(self._open.pop(path)[0])

    def forked(self) -> None:
        """In a child: threads that held the lock or a file are not there."""
        self._lock = threading.Lock()
        for held in self._open.values():
            held[1] = 0


def _open_regular(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "no longer a regular file", str(path))


_FILES = _OpenFiles()
os.register_at_fork(after_in_child=_FILES.forked)


def close_files(archive: Archive) -> None:
    """Close what this process has open of an archive: another file may lie there now."""
    _FILES.close(archive.paths)
