"""A store: where the files of one dataset lie. A folder is one; an object store is another.

A store knows files by names, which have ``/`` between their words, and gives and takes them whole. It need not
rename, append or lock. A folder can, and so has journals that grow, and leases for commands on all machines that
share it. Elsewhere records are small files of their own, and leases hold for the commands of one machine.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, ClassVar, TypeAlias

from gristmill.spec.errors import UsageError
from gristmill.spec.place import is_address, path_of
from gristmill.storage.inside import is_below
from gristmill.storage.leases import Leases

__all__ = [
    "Journal",
    "Place",
    "Store",
    "Stored",
    "StoredFile",
    "own_name",
    "store_at",
]


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
        """Let go of a file in the making: it was put, as were all of its task, whose record names that digest."""
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

    def under_way_here(self) -> Iterator[Store]:
        """List the places at or below this one of which something is, or was, in the making on this machine."""
        return iter(())

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


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a store, read where it lies. ``str()`` of it is what a person calls it."""

    store: Store
    name: str

    def __str__(self) -> str:
        return f"{self.store}/{self.name}"

    def fetch(self) -> Path:
        """See :meth:`Store.fetch`."""
        return self.store.fetch(self.name)

    def read(self, start: int, size: int) -> bytes:
        """See :meth:`Store.read`."""
        return self.store.read(self.name, start, size)

    def open_here(self) -> BufferedReader | None:
        """See :meth:`Store.open_here`."""
        return self.store.open_here(self.name)


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


def own_name() -> str:
    """A name that no other process takes."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"


Place: TypeAlias = Path | Store
"""A store, or the folder that is one."""


_COLLAPSED = re.compile(r"^(?!file:)([A-Za-z][A-Za-z0-9+.-]*):/(?!/)")


def store_at(place: Place | str, options: Mapping[str, str] | None = None) -> Store:
    """Give the store that a place is: a path, ``file://`` and a path, or the address of an object store.

    Args:
        place: It may be a store already.
        options: Of an object store or its client, by obstore's names.

    Raises:
        UsageError: It is an address of something that no store is made for, or looks like one.
    """
    if isinstance(place, Store):
        return place
    from gristmill.storage.local import LocalStore

    if isinstance(place, Path):  # an address that was made a path has lost one of its slashes
        place = _COLLAPSED.sub(r"\1://", str(place))
    place = path_of(place)
    if not is_address(place):
        # a relative path whose first name ends in a colon would be taken for an address later
        return LocalStore(Path(place).absolute() if ":" in place else Path(place))
    scheme, _, rest = place.partition("://")
    from gristmill.storage.object import SCHEMES, ObjectStore

    if scheme.lower() in SCHEMES and scheme not in SCHEMES:  # the same place must have one name
        raise UsageError(f"{place}: write it in small letters: {scheme.lower()}://{rest}")
    if scheme not in SCHEMES:
        raise UsageError(
            f"{place}: there is no store for {scheme}: addresses. Name a folder, or one of "
            f"{', '.join(f'{known}://BUCKET/PREFIX' for known in SCHEMES if known != 'memory')}."
        )
    return ObjectStore(place, options or {})
