"""Files of an object store as an input: listed, read in ranges, and fetched whole to this machine.

Nobody states a checksum of an object. It is known by its name, its size and its tag (``ETag``), which changes with
what it holds: each piece that is read is followed by a look at the object, so that no two versions are mixed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from gristmill.spec.errors import SourceError, UsageError
from gristmill.spec.task import digest_of
from gristmill.storage.files import alone, check_name, naming, sync_folder
from gristmill.storage.local import LocalStore
from gristmill.storage.object import SCHEMES, ObjectStore
from gristmill.storage.store import Store, Stored, store_at

__all__ = ["HERE", "StoredInput", "fetch_all", "fetch_stored", "is_stored", "read_stored", "stored_files"]

_PIECE_BYTES = 16 << 20
_MOST_FILES = 1_000_000
_AT_ONCE = 8
_RUN = 64
HERE = LocalStore(Path())
"""Stands for the dataset where none says with which options a store is asked: the environment does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInput:
    """Names one object that is an input: below a prefix, or by itself.

    Attributes:
        home: Address of the object, or of the prefix, which ends with a slash then.
        name: Of the object, its last word; else what follows the prefix.
        digest: Changes with what it holds.
    """

    home: str
    name: str
    size_bytes: int
    digest: str

    @property
    def address(self) -> str:
        """Say where it lies."""
        return self.home + self.name if self.home.endswith("/") else self.home


def is_stored(place: str) -> bool:
    """Say whether a place is an address in an object store.

    Raises:
        UsageError: It would be one in small letters.
    """
    scheme, separator, _ = place.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        return False
    if scheme not in SCHEMES:
        store_at(place)
    return True


def stored_files(address: str, near: Store) -> list[StoredInput]:
    """List the object of that address, or all below it, in the order of their names; nothing that begins with a dot.

    Args:
        address: Of an object or a prefix.
        near: See :func:`fetch_stored`.

    Raises:
        UsageError: There is none, or one whose name is no path in a folder.
        MachineError: The store refuses.
    """
    outer, _, name = address.rpartition("/")
    if name and not outer.endswith("/") and (one := _at(outer, near).look(name)) is not None:
        return [_file(address, one)]
    home = address.rstrip("/") + "/"
    store = _at(home.rstrip("/"), near)
    listed = list(islice(store.list(), _MOST_FILES + 1))
    if len(listed) > _MOST_FILES:
        raise UsageError(f"{address}: more than {_MOST_FILES:,} objects lie below it. Name what is meant.")
    folders = {"", *(str(above) for one in listed for above in PurePosixPath(one.name).parents)}
    files = [
        _file(home, one)
        for one in listed
        if (one.size_bytes or one.name not in folders)  # empty objects that consoles put for folders
        and not any(word[:1] == "." for word in one.name.split("/"))
    ]
    if not files:
        raise UsageError(f"{address}: there is no such object, and none below it.")
    for file in files:
        if store.irregularity(file.name) is not None:
            raise UsageError(f"{store} has an object {file.name[:200]!r}, whose name is no path in a folder.")
        check_name(Path(file.name))
    return files


def _file(home: str, one: Stored) -> StoredInput:
    return StoredInput(home=home, name=one.name, size_bytes=one.size_bytes, digest=_digest_of(one))


def _digest_of(one: Stored) -> str:
    return digest_of([one.name, one.size_bytes, one.tag])


def read_stored(file: StoredInput, start: int, stop: int, near: Store) -> bytes:
    """Read some bytes of an object, which is still the one that was listed.

    Raises:
        SourceError: It is not, or is gone.
        MachineError: The store refuses.
    """
    store, name = _place_of(file, near)
    try:
        body = store.read(name, start, stop - start)
        now = store.look(name)
    except FileNotFoundError:
        now = None
    said = "Put back what was there, or name a copy with --source KEY=ADDRESS"
    if now is None:
        raise SourceError(f"{file.address} is not there any more. {said}")
    if _digest_of(Stored(file.name, now.size_bytes, now.tag)) != file.digest:
        raise SourceError(f"{file.address} is another object than the one that was found there. {said}")
    if len(body) != stop - start:
        raise SourceError(
            f"{file.address}: {len(body):,} bytes came where {stop - start:,} were asked for. Give the same command "
            "again later."
        )
    return body


def fetch_stored(
    file: StoredInput,
    folder: Path,
    near: Store,
    tell: Callable[[int], None] = lambda have: None,
) -> Path:
    """Fetch an object to its name below a folder, unless it is there; what an interrupted call left is gone on with.

    Args:
        file: Which.
        folder: For objects of this digest, or a set of them, alone: what lies there under its name is taken for it.
        near: The dataset's store: a source in a store of its kind is asked with what that is asked with.
        tell: Told how many bytes of it there are, now and then; may end it by raising.

    Raises:
        SourceError: It is another by now, or gone.
        MachineError: The store refuses.
        OSError: Disk full and the like.
    """
    path = folder / file.name
    partial = path.with_name(f".{path.name}.{file.digest[:16]}.partial")
    with alone(partial, lambda: tell(0)) as fd:
        if path.is_file() and path.stat().st_size == file.size_bytes:  # by who had the lock before
            partial.unlink(missing_ok=True)
            return path
        have = os.fstat(fd).st_size
        if have > file.size_bytes:
            os.ftruncate(fd, have := 0)
        while have < file.size_bytes:
            body = read_stored(file, have, min(file.size_bytes, have + _PIECE_BYTES), near)
            with naming(path):
                _write(fd, body, have)
            have += len(body)
            tell(have)
        if not file.size_bytes:
            read_stored(file, 0, 0, near)
        os.fsync(fd)
        partial.replace(path)
        sync_folder(path.parent)
    return path


def fetch_all(
    files: Sequence[StoredInput],
    folder: Path,
    near: Store,
    tell: Callable[[int], None] = lambda have: None,
) -> None:
    """Fetch objects to their names below a folder, several at once; what an interrupted call left is gone on with.

    Args:
        files: Which.
        folder: See :func:`fetch_stored`.
        near: See :func:`fetch_stored`.
        tell: Told how many bytes of them there are, now and then, in this thread; may end it by raising.

    Raises:
        SourceError: One is another by now, or gone.
        MachineError: The store refuses.
        OSError: Disk full and the like.
    """
    have = 0
    for some in _runs(files):
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            for file, _ in zip(
                some, threads.map(lambda one: fetch_stored(one, folder, near), some), strict=True
            ):
                have += file.size_bytes
                tell(have)


def _runs(files: Sequence[StoredInput]) -> Iterator[Sequence[StoredInput]]:
    """Parts of a long list: what was not begun when something went wrong is not begun any more."""
    return (files[at : at + _RUN] for at in range(0, len(files), _RUN))


def _at(address: str, near: Store) -> ObjectStore:
    found = near.at(address)
    assert isinstance(found, ObjectStore)
    return found


def _place_of(file: StoredInput, near: Store) -> tuple[ObjectStore, str]:
    outer, _, name = file.home.rpartition("/")
    return _at(outer, near), name or file.name


def _write(fd: int, body: bytes, at: int) -> None:
    """Write a piece; one of which only some came there is written again by whoever goes on."""
    rest = memoryview(body)
    while rest:
        written = os.pwrite(fd, rest, at)
        rest, at = rest[written:], at + written
