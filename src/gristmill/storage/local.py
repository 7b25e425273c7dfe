"""A folder as the place of a dataset: on this machine, or on a file system that several machines share."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, ClassVar

from gristmill.storage.files import new_temporary, sweep_temporaries, sync_folder, whole_file, write_whole
from gristmill.storage.inside import irregular, irregularity, open_regular, read_rest
from gristmill.storage.store import Journal, Store, Stored, own_name

__all__ = ["LocalStore"]

_COPY_BYTES = 1 << 20
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""Tells of a file system that has no hard links."""


@dataclass(frozen=True)
class LocalStore(Store):
    """A folder on this machine, or on a file system that several machines share."""

    folder: Path
    listed_every_s: ClassVar[float] = 0.0

    def __str__(self) -> str:
        return str(self.folder)

    def __truediv__(self, name: str) -> LocalStore:
        """See :class:`Store`."""
        return LocalStore(self.folder / name)

    @property
    def above(self) -> LocalStore:
        """See :class:`Store`."""
        return LocalStore(self.folder.resolve().parent)

    def keeps_what_is_first(self) -> bool:
        """See :class:`Store`: a file system links a name once."""
        return True

    @property
    def local(self) -> Path:
        """See :class:`Store`."""
        return self.folder

    @property
    def title(self) -> str:
        """See :class:`Store`."""
        return self.folder.resolve().name

    def fetch(self, name: str, digest: str = "") -> Path:
        """See :class:`Store`: the file itself."""
        return self.folder / name

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """See :class:`Store`."""
        with self.open(name, start) as stream:
            if size is not None:
                return stream.read(size)
            return read_rest(stream, self.folder / name)

    def put(self, name: str, body: bytes | Path) -> None:
        """See :class:`Store`: what is there already, under :meth:`work`, stays as it is."""
        path = self.folder / name
        if isinstance(body, bytes):
            write_whole(path, body)
        elif body != path:
            with body.open("rb") as source, whole_file(path) as stream:
                shutil.copyfileobj(source, stream, _COPY_BYTES)

    def put_if_absent(self, name: str, body: bytes) -> bool:
        """See :class:`Store`."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, fd = new_temporary(path)
        try:
            with os.fdopen(fd, "wb") as stream:
                stream.write(body)
                stream.flush()
                os.fsync(stream.fileno())
                return self._link(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink()

    @staticmethod
    def _link(temporary: Path, path: Path) -> bool:
        """Give a file its name unless another has it; where files cannot have two, by leases only one tries."""
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as err:
            if err.errno not in _NO_LINKS:
                raise
            if os.path.lexists(path):
                return False
            temporary.replace(path)
        sync_folder(path.parent)
        return True

    def list(self, folder: str = "") -> Iterator[Stored]:
        """See :class:`Store`; links and the like are told of too, and refused by who opens them."""
        top = self.folder / folder if folder else self.folder
        try:
            entries = sorted(os.scandir(top), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            with suppress(FileNotFoundError):  # removed meanwhile
                if entry.is_dir(follow_symlinks=False):
                    yield from self.list(name)
                else:
                    yield Stored(name, entry.stat(follow_symlinks=False).st_size)

    def below(self, name: str) -> tuple[str, ...]:
        """See :class:`Store`."""
        found = self.folder.glob(f"*/{name}")
        return tuple(sorted(path.relative_to(self.folder).parts[0] for path in found))

    def delete(self, name: str) -> None:
        """See :class:`Store`."""
        with suppress(NotADirectoryError):
            (self.folder / name).unlink(missing_ok=True)

    def work(self, name: str) -> Path:
        """See :class:`Store`."""
        return self.folder / name

    def settle(self, name: str, digest: str = "") -> None:
        """See :class:`Store`: it is the file itself, and stays."""

    def size(self, name: str) -> int | None:
        """See :class:`Store`."""
        try:
            return os.lstat(self.folder / name).st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def open(self, name: str, start: int = 0) -> BufferedReader:
        """See :class:`Store`.

        Raises:
            DamagedOutput: It is no regular file: a link, a FIFO.
        """
        stream = open_regular(self.folder / name)
        stream.seek(start)
        return stream

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """See :class:`Store`."""
        with whole_file(self.folder / name) as stream:
            yield stream

    def journal(self, folder: str) -> Journal:
        """See :class:`Store`."""
        return _Appended(self.folder, folder)

    def irregular(self, *folders: str) -> Iterator[tuple[str, str]]:
        """See :class:`Store`."""
        return irregular(self.folder, *folders)

    def irregularity(self, name: str) -> str | None:
        """See :class:`Store`."""
        return irregularity(self.folder, name)

    def sweep(self, *folders: str) -> None:
        """See :class:`Store`."""
        for folder in folders:
            sweep_temporaries(self.folder / folder)


class _Appended(Journal):
    """A file that grows by whole lines, each synced."""

    def __init__(self, top: Path, folder: str) -> None:
        self._top, self._name = top, f"{folder}/{own_name()}.jsonl"
        self._fd: int | None = None

    def append(self, line: bytes) -> tuple[str, int]:
        """See :class:`Journal`."""
        if self._fd is None:
            path = self._top / self._name
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(path, flags, 0o644)
            sync_folder(path.parent)
        start = os.fstat(self._fd).st_size
        try:
            written = 0
            while written < len(line):
                written += os.write(self._fd, line[written:])
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, start)  # a half-written line must not precede the next one
            raise
        return self._name, start + len(line)

    def close(self) -> None:
        """See :class:`Journal`."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
