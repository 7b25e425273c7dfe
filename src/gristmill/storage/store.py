"""A store: where the files of one dataset lie. A folder is one; an object store is another.

A store knows files by names, which have ``/`` between their words, and gives and takes them whole. It need not
rename, append or lock. A folder can, and so has journals that grow, and leases for commands on all machines that
share it. Elsewhere records are small files of their own, and leases hold for the commands of one machine.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, ClassVar, TypeAlias

from gristmill.spec.errors import UsageError
from gristmill.storage.files import new_temporary, sweep_temporaries, sync_folder, whole_file, write_whole
from gristmill.storage.inside import irregular, irregularity, is_below, open_regular, read_rest
from gristmill.storage.leases import Leases

__all__ = [
    "Journal",
    "LocalStore",
    "Place",
    "Store",
    "Stored",
    "own_name",
    "store_at",
]

_COPY_BYTES = 1 << 20
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What a file system says that has no hard links."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One file of a store, as a listing tells of it; ``tag`` changes with its content, where a store tells one."""

    name: str
    size_bytes: int
    tag: str = field(default="", compare=False)


class Store(ABC):
    """The files of one dataset. ``str()`` of it is what a person calls the place, ``title`` the last word of that.

    A file that is not there raises FileNotFoundError. What else goes wrong raises an OSError, or an error of
    ``gristmill.spec.errors`` with its sentence. A file is there whole or not at all, whatever is interrupted.
    """

    listed_every_s: ClassVar[float] = 5.0
    """How often at most a running command looks for what others did meanwhile: listings cost time and money."""

    @abstractmethod
    def fetch(self, name: str, digest: str = "") -> Path:
        """Give a file's bytes as a file on this machine, to be read and not to be changed.

        It is there until as much was fetched since as the store keeps; what is open stays readable. Where the digest
        is known that a record gives for it, a copy that has it may be given without a look at the store.
        """

    @abstractmethod
    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """Read so many bytes of a file from ``start`` on, or all; fewer where it ends before.

        Raises:
            DamagedOutput: All were asked for, and they are more than memory should hold.
        """

    @abstractmethod
    def put(self, name: str, body: bytes | Path) -> None:
        """Put a file there, in the place of any of that name; of a path, its bytes."""

    @abstractmethod
    def put_if_absent(self, name: str, body: bytes) -> bool:
        """Put a file there unless one of that name is; False if one is, whoever was first.

        Of one with the very same bytes a store may say that it is ours: the answer to a first try may have been lost.
        """

    @abstractmethod
    def list(self, folder: str = "") -> Iterator[Stored]:
        """List all files below a folder, in the order of their names; none where there is no such folder."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove a file; harmless if it is not there."""

    @abstractmethod
    def work(self, name: str) -> Path:
        """Say where here a file of that name is in the making, and survives a kill; its folder may be missing.

        Of a store that is a folder it is the file's own place, so that nothing is to be moved when it is done.
        """

    def settle(self, name: str, digest: str = "") -> None:
        """Let go of a file in the making: it was put, and a record speaks of it, by that digest."""
        self.work(name).unlink(missing_ok=True)

    def __truediv__(self, name: str) -> Store:
        """Give the store of a folder in this one, as a path does.

        Raises:
            UsageError: It is the place of one dataset, and has no folders.
        """
        raise UsageError(f"{self} holds one dataset alone.")

    @property
    def above(self) -> Store | None:
        """Give the store that has this one as a folder; None where none has."""
        return None

    def at(self, place: str) -> Store:
        """Give the store at another place; what this one is asked with, an object store beside it is asked with too.

        Raises:
            UsageError: As :func:`store_at`.
        """
        return store_at(place)

    def keeps_what_is_first(self) -> bool:
        """Try whether, of two that put a file if absent, the second is refused; some object stores put both."""
        name = f".gristmill/probe-{own_name()}"
        try:
            return [self.put_if_absent(name, body) for body in (b"1", b"2")] == [True, False]
        finally:
            self.delete(name)

    def asked(self) -> dict[str, int]:
        """Count what this process asked of the store since the last call, by kind, and bytes; empty of a folder."""
        return {}

    @property
    def local(self) -> Path | None:
        """Say in which folder on this machine all of it lies under its names; None where it does not."""
        return None

    @property
    def title(self) -> str:
        """Say what the dataset's place is called."""
        return str(self).rstrip("/").rpartition("/")[2]

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Say how many bytes a file has; None if it is not there. Cheap."""

    def open(self, name: str, start: int = 0) -> BufferedReader:
        """Open a file from ``start`` on; the caller closes it."""
        stream = self.fetch(name).open("rb")
        stream.seek(start)
        return stream

    def open_here(self, name: str) -> BufferedReader | None:
        """Open a file whose bytes are on this machine, as :meth:`open`; None where they would have to be fetched."""
        return self.open(name)

    def pieces(self, name: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """Read several ranges of a file, from where to where; fewer bytes of one that does not lie in it."""
        return [self.read(name, start, stop - start) for start, stop in ranges]

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """Open a stream whose bytes are put there if the block ends well."""
        path = self.work(f"{name}.{secrets.token_hex(4)}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("wb") as stream:
                yield stream
            self.put(name, path)
        finally:
            path.unlink(missing_ok=True)

    def journal(self, folder: str) -> Journal:
        """Begin a journal of this process's own in a folder of the store; nothing is there before the first line."""
        from gristmill.storage.segments import Segments

        return Segments(self, f"{folder}/{own_name()}")

    def leases(self, name: str) -> Leases:
        """Give what several commands on one store divide their work by; of a store that is no folder, on one machine.

        Raises:
            OSError: Nothing can be written, or locked, there.
        """
        return Leases(self.work(name))

    def irregular(self, *folders: str) -> Iterator[tuple[str, str]]:
        """Say what lies there and is neither file nor folder: its name, and what it is. An object store has none."""
        return iter(())

    def irregularity(self, name: str) -> str | None:
        """Say what a name stands for, if for no file of the store; None of one that is, or is not there."""
        return None if is_below(name) else "no path in this folder"

    def below(self, name: str) -> tuple[str, ...]:
        """List the folders just below that hold a file of that name."""
        deep = (one.name for one in self.list() if one.name.endswith(f"/{name}"))
        return tuple(folder for found in deep if "/" not in (folder := found.removesuffix(f"/{name}")))

    def sweep(self, *folders: str) -> None:  # noqa: B027 - where files are put whole, nothing is left
        """Remove what interrupted commands left half-written in folders of the store."""


class Journal(ABC):
    """Lines that one process adds, each durable when it is added."""

    @abstractmethod
    def append(self, line: bytes) -> tuple[str, int]:
        """Add a line, which ends with a line feed.

        Returns:
            The file that now ends with it, and that file's size.

        Raises:
            OSError: As the system says; nothing of the line is there then.
        """

    def close(self) -> None:  # noqa: B027 - a file of one line is closed
        """Add no more."""


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


def own_name() -> str:
    """A name that no other process takes."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"


Place: TypeAlias = Path | Store
"""A store, or the folder that is one."""


def store_at(place: Place | str, options: Mapping[str, str] | None = None) -> Store:
    """Give the store that a place is: a path, ``file://`` and a path, or the address of an object store.

    Args:
        place: It may be a store already.
        options: Of an object store or its client, by obstore's names.

    Raises:
        UsageError: It is an address of something that no store is made for.
    """
    if isinstance(place, Store):
        return place
    scheme, separator, rest = str(place).partition(":/")
    if not separator or not scheme.isalnum() or Path(place).exists():
        return LocalStore(Path(place))
    if scheme == "file" and rest.startswith("/"):
        return LocalStore(Path(f"/{rest.lstrip('/')}"))
    from gristmill.storage.object import SCHEMES, ObjectStore

    if scheme not in SCHEMES:
        raise UsageError(
            f"{place}: there is no store for {scheme}: addresses. Name a folder, or one of "
            f"{', '.join(f'{known}://BUCKET/PREFIX' for known in SCHEMES if known != 'memory')}."
        )
    url = f"{scheme}://{rest}" if isinstance(place, Path) else place  # a path has lost one of its slashes
    return ObjectStore(url, options or {})
