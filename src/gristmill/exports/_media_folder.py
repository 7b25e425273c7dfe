"""Writes media of an export into a folder, each once, under names that upstream gave them or that shards have.

What lies in a shard is copied byte for byte, large files in pieces; nothing is decoded. Names from annotations are a
stranger's: one that could lead out of the folder, or that some file system cannot hold, is not used.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from gristmill.exports._conversation import Medium
from gristmill.spec.body import Body, pieces_of, size_of
from gristmill.spec.errors import UsageError
from gristmill.storage.inside import is_below

__all__ = ["NAMES", "MediaFolder"]

NAMES = ("original", "key")
_MOST_NAME_BYTES = 240
_MOST_PATH_BYTES = 1000
_SAME = {"jpg": "jpg", "jpeg": "jpg", "jpe": "jpg", "tif": "tiff"}


class MediaFolder:
    """A folder that media are put into.

    Args:
        folder: Where it is.
        incoming: A file on the same disk that is written first; whatever it holds is worth nothing.
        names: ``original``: as the annotations have them; where they have none, and for ``key``: the name in the
            shard, in a folder of its shard.
        link: A folder whose files are linked to where they have the same name and the same bytes.

    Attributes:
        apart: Media that have another name than upstream, since that has other bytes already.
    """

    def __init__(self, folder: Path, incoming: Path, names: str, link: Path | None = None) -> None:
        if names not in NAMES:
            raise UsageError(f"--names {names!r}: expected {' or '.join(NAMES)}")
        self.apart = 0
        if link is not None and not link.is_dir():
            raise UsageError(f"--link {link}: there is no such folder")
        self._folder, self._incoming, self._original = folder, incoming, names == "original"
        self._link = link

    def put(self, key: str, shard: int, medium: Medium) -> str:
        """Write a medium, unless it is there; returns its path in the folder.

        Args:
            key: Of its sample.
            shard: Number of the shard that it lies in.
            medium: Its bytes and names.

        Raises:
            OSError: As the system says.
        """
        for number, name in enumerate(self._names(key, shard, medium)):
            if self._is_there(name, medium.body):
                self.apart += number > 0
                return name
        raise AssertionError("there is always another name")

    def _names(self, key: str, shard: int, medium: Medium) -> Iterator[str]:
        """Names for a medium, the best first; a later one is for bytes that the ones before do not have."""
        own = f"{shard:05d}/{key}.{medium.part}"
        first = own
        if self._original and is_safe(medium.original):
            first = medium.original if medium.as_upstream else _with_ending(medium)
        yield first
        digest = _digest(medium.body)
        path = PurePosixPath(first)
        yield str(path.with_name(f"{path.stem}-{digest[:8]}{path.suffix}"))
        yield own
        yield f"{shard:05d}/{digest}{path.suffix}"

    def _is_there(self, name: str, body: Body) -> bool:
        """Whether the file has these bytes, written now if there is none; not if it has others or cannot be."""
        path = self._folder / name
        try:
            return _has(path, body)
        except FileNotFoundError:
            pass
        except NotADirectoryError:
            return False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):  # a folder is wanted where a file is
            return False
        self._incoming.unlink(missing_ok=True)  # it may be another name of somebody's file
        if not self._linked(name, body):
            with self._incoming.open("xb") as stream:
                stream.writelines(pieces_of(body))
        self._incoming.rename(path)
        return True

    def _linked(self, name: str, body: Body) -> bool:
        """Give the file of the folder to link to, if it has these bytes, a second name."""
        if self._link is None:
            return False
        try:
            found = (self._link / name).resolve()
            if not _has(found, body):
                return False
            self._incoming.hardlink_to(found)
        except OSError:  # it is not there, or on another disk: the bytes are copied
            return False
        return True


def _digest(body: Body) -> str:
    seen = hashlib.sha256()
    for piece in pieces_of(body):
        seen.update(piece)
    return seen.hexdigest()


def _has(path: Path, body: Body) -> bool:
    """Whether something is a regular file of these bytes.

    Raises:
        OSError: As the system says: there is nothing.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size != size_of(body):
        return False
    with path.open("rb") as stream:
        return all(stream.read(len(piece)) == piece for piece in pieces_of(body))


def is_safe(name: str) -> bool:
    """Say whether a name from annotations may be a path in a folder of ours, on any file system."""
    if not name or not is_below(name) or not name.isprintable() or "\\" in name or ":" in name:
        return False
    try:
        parts = [part.encode() for part in name.split("/")]
    except UnicodeEncodeError:
        return False
    hidden = any(part.startswith((b".", b"~", b"-")) or part.endswith((b".", b" ")) for part in parts)
    return not hidden and max(map(len, parts)) <= _MOST_NAME_BYTES and len(name.encode()) <= _MOST_PATH_BYTES


def _with_ending(medium: Medium) -> str:
    """The original name of a medium that was encoded anew, with the ending of what it is now."""
    path = PurePosixPath(medium.original)
    ending, now = path.suffix[1:].lower(), medium.part.rpartition(".")[2]
    if _SAME.get(ending, ending) == _SAME.get(now, now):
        return medium.original
    return str(path.with_suffix(f".{now}"))
