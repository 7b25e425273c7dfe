"""Puts files of an export into an object store as they are finished, and lets their bytes on this machine go.

What was put leaves a mark, a link that leads nowhere and says what it was: an export that goes on after a kill finds
it, and need not write that again. A file that is written again all the same is put again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gristmill.storage.files import sha256_file
from gristmill.storage.store import Store

__all__ = ["PUT_MARKS", "Drain", "put_mark"]

_AT_ONCE = 8
_RUN = 64
PUT_MARKS = ".put"
"""The folder of the marks, beside what is made; they have the names of the files."""


def put_mark(size_bytes: int, sha256: str) -> str:
    """Say where the mark of a file leads that was put."""
    return f"{size_bytes}:{sha256}"


class Drain:
    """The way of an export's files from the folder in which they are made to a store.

    Args:
        folder: Where they are made; names that begin with a dot, and what lies in such folders, stay.
        store: Where they go, under the names that they have in the folder.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder, self._marks, self._store = folder, folder / PUT_MARKS, store

    def put(self, within: str = "") -> None:
        """Put all that lies there, or in a folder in it, and is finished.

        Raises:
            MachineError: The store refuses.
            OSError: As the system says.
        """
        paths = list(_files(self._folder / within))
        for at in range(0, len(paths), _RUN):  # what was not begun when one is refused is not begun any more
            some = paths[at : at + _RUN]
            with ThreadPoolExecutor(_AT_ONCE) as threads:
                for path, mark in zip(some, threads.map(self._put, some), strict=True):
                    place = self._marks / self._name(path)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.unlink(missing_ok=True)
                    place.symlink_to(mark)
                    path.unlink()

    def _put(self, path: Path) -> str:
        self._store.put(self._name(path), path)
        return put_mark(path.stat().st_size, sha256_file(path))

    def remove_others(self, keep: Sequence[str]) -> Sequence[str]:
        """Remove from the store what was not put from this folder, but by an earlier attempt; ``keep`` stays.

        Returns:
            Names of what was put and is not there any more.
        """
        own = {path.relative_to(self._marks).as_posix() for path in _files(self._marks)}
        there = {one.name for one in self._store.list()}
        for other in sorted(there - own - {*keep}):
            self._store.delete(other)
        return [
            name for name in sorted(own - there) if self._store.size(name) is None
        ]  # listings may lag behind

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


def _files(folder: Path) -> Iterator[Path]:
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(top, name) for name in sorted(names) if not name.startswith("."))
