"""Copies of a store's objects on this machine, each under its name and its tag, up to a number of bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from gristmill.storage.files import sha256_file

__all__ = ["Copies", "short_digest"]

_KEPT_BYTES = 8 << 30
"""So much of them stays; on a disk with less room no more than is free beside them, for what is under way."""
_IN_USE_S = 300.0
"""A copy that was asked for within that time stays: who asked may not have opened it yet."""
_HASHED_BYTES = 8 << 20
"""To hash more takes longer than to ask."""
_MARK = ".digest"
"""Beside a copy of what this machine put: its digest, as a record gives it; empty before there is a record."""
_LEFT: Counter[Path] = Counter()
"""By folder: bytes that this process may add before it looks whether they are too many."""


class Copies:
    """Copies in one folder, which processes share. What is open stays readable, whoever removes it.

    Args:
        folder: For objects of all stores; it may be missing.
        of: The store's address.
    """

    def __init__(self, folder: Path, of: str) -> None:
        self._folder, self._store = folder, of

    def path(self, name: str, tag: str) -> Path:
        """Say where the copy of an object is, or would be."""
        return self._of(name) / short_digest(tag) / name.rpartition("/")[2]

    def has(self, name: str) -> bool:
        """Say whether there is a copy of an object of that name, as it is or as it was."""
        return self._of(name).is_dir()

    def find(self, name: str, tag: str) -> Path | None:
        """Give the copy of an object, if there is one; it stays for some minutes then."""
        path = self.path(name, tag)
        with suppress(FileNotFoundError):
            os.utime(path.parent)
            return path if path.exists() else None
        return None

    def with_digest(self, name: str, digest: str) -> Path | None:
        """Give a copy of that name with that digest, whatever its tag; it stays for some minutes then.

        Either :meth:`mark` said that it has it, or it is small, and that is its SHA-256.
        """
        with suppress(FileNotFoundError):
            for place in self._of(name).iterdir():
                path, mark = place / name.rpartition("/")[2], place / _MARK
                small = path.stat().st_size <= _HASHED_BYTES
                marked = mark.read_text() if mark.exists() else ""
                if marked == digest if marked else small and sha256_file(path) == digest:
                    os.utime(place)
                    return path
        return None

    def mark(self, name: str, digest: str) -> None:
        """Note which digest a record gives for what :meth:`link` kept under a name; other copies stay unmarked."""
        with suppress(OSError):
            for mark in self._of(name).glob(f"*/{_MARK}"):
                if (
                    not mark.read_text()
                ):  # it may be of an earlier record, and another machine put what came after
                    mark.write_text(digest)

    def link(self, name: str, tag: str, path: Path) -> None:
        """Keep a file that was put as an object, and is not changed any more, as its only copy; if that can be."""
        copy = self.path(name, tag)
        self.drop(name)
        with suppress(OSError):
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, copy)
            (copy.parent / _MARK).touch()
            self.added(path.stat().st_size)

    def added(self, size_bytes: int) -> None:
        """Take note of a copy that was added; those asked for longest ago go where they are more than stays."""
        _LEFT[self._folder] -= size_bytes
        if _LEFT[self._folder] > 0:
            return
        found = []
        for place in self._folder.glob("*/*"):
            with suppress(OSError):
                found.append((place.stat().st_mtime, sum(p.stat().st_size for p in place.iterdir()), place))
        held = sum(size for _, size, _ in found)
        most = min(_KEPT_BYTES, (held + shutil.disk_usage(self._folder).free) // 2)
        _LEFT[self._folder] = most // 16
        excess = held - most
        for at, size, place in sorted(found):
            if excess <= 0 or time.time() - at < _IN_USE_S:
                return
            excess -= size
            shutil.rmtree(place, ignore_errors=True)
            with suppress(OSError):  # another copy of that name
                place.parent.rmdir()

    def drop(self, name: str) -> None:
        """Remove copies of objects of that name."""
        if self.has(name):
            shutil.rmtree(self._of(name), ignore_errors=True)

    def _of(self, name: str) -> Path:
        return self._folder / short_digest(f"{self._store}/{name}")


def short_digest(text: str) -> str:
    """Name something by what it is called, in sixteen characters."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
