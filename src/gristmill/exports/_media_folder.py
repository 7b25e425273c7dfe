"""Writes media of an export into a folder, each once, under names that upstream gave them or that shards have.

What lies in a shard is copied byte for byte, large files in pieces; nothing is decoded. Names from annotations are a
stranger's: one that could lead out of the folder, or that some file system cannot hold, is not used.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from gristmill.exports._conversation import Medium
from gristmill.exports._drain import put_mark
from gristmill.exports._folder import remove
from gristmill.exports._unfit import PICTURE_ENDINGS, VIDEO_ENDINGS
from gristmill.spec.body import Body, pieces_of, size_of
from gristmill.spec.errors import UsageError
from gristmill.storage.inside import is_below

__all__ = ["NAMES", "MediaFolder", "frame_name", "is_safe"]

NAMES = ("original", "key")
_MOST_NAME_BYTES = 240
_MOST_PATH_BYTES = 1000
_SAME = {"jpg": "jpg", "jpeg": "jpg", "jpe": "jpg", "tif": "tiff"}


class MediaFolder:
    """A folder that media are put into.

    Args:
        folder: Where it is.
        incoming: A file or a folder on the same disk that is written first; whatever it holds is worth nothing.
        names: ``original``: as the annotations have them; where they have none, and for ``key``: the name in the
            shard, in a folder of its shard.
        link: A folder whose files are linked to where they have the same name and the same bytes.
        marks: Where marks of those lie that were in the folder and went to where they go.

    Attributes:
        apart: Media that have another name than upstream, since that has other bytes already.
    """

    def __init__(
        self, folder: Path, incoming: Path, names: str, link: Path | None = None, marks: Path | None = None
    ) -> None:
        if names not in NAMES:
            raise UsageError(f"--names {names!r}: expected {' or '.join(NAMES)}")
        self.apart = 0
        if link is not None and not link.is_dir():
            raise UsageError(f"--link {link}: there is no such folder")
        self._folder, self._incoming, self._original = folder, incoming, names == "original"
        self._link, self._marks = link, marks

    def put(self, key: str, shard: int, medium: Medium) -> str:
        """Write a medium, unless it is there; returns its path in the folder: of frames that of a folder of theirs.

        Args:
            key: Of its sample.
            shard: Number of the shard that it lies in.
            medium: Its bytes and names.

        Raises:
            OSError: As the system says.
        """
        bodies = medium.frames or (medium.body,)
        is_there = self._are_there if medium.frames else self._is_there
        for number, name in enumerate(self._names(key, shard, medium)):
            if is_there(name, bodies):
                self.apart += number > 0
                return name
        raise AssertionError("there is always another name")

    def _names(self, key: str, shard: int, medium: Medium) -> Iterator[str]:
        """Names for a medium, the best first; a later one is for bytes that the ones before do not have."""
        own = f"{shard:05d}/{key}" if medium.frames else f"{shard:05d}/{key}.{medium.part}"
        first = own
        if self._original and is_safe(medium.original, of_video=medium.is_video):
            first = _published(medium)
        yield first
        digest = _digest(medium.frames or (medium.body,))
        path = PurePosixPath(first)
        ending = "" if medium.frames else path.suffix
        yield str(path.with_name(f"{path.name.removesuffix(ending)}-{digest[:8]}{ending}"))
        yield own
        yield f"{shard:05d}/{digest}{ending}"

    def _is_there(self, name: str, bodies: Sequence[Body]) -> bool:
        """Whether the file has these bytes, written now if there is none; not if it has others or cannot be."""
        (body,) = bodies
        if (put := self._was_put(name, {"": body})) is not None:
            return put
        return self._is_or_becomes(
            name, lambda path: _has(path, body), lambda: self._write(self._incoming, name, body)
        )

    def _are_there(self, name: str, bodies: Sequence[Body]) -> bool:
        """Whether the folder holds these frames and no others, written now if there is none."""
        names = [frame_name(n, len(bodies)) for n in range(len(bodies))]

        def has(path: Path) -> bool:
            found = sorted(os.listdir(path))  # with NotADirectoryError for a file
            return found == names and all(
                _has(path / frame, body) for frame, body in zip(names, bodies, strict=True)
            )

        def write() -> None:
            self._incoming.mkdir()
            for frame, body in zip(names, bodies, strict=True):
                self._write(self._incoming / frame, f"{name}/{frame}", body)

        if (put := self._was_put(name, dict(zip(names, bodies, strict=True)))) is not None:
            return put
        return self._is_or_becomes(name, has, write)

    def _was_put(self, name: str, files: Mapping[str, Body]) -> bool | None:
        """Whether what went to where it goes under a name is what is wanted; None if nothing did."""
        marks = self._marks
        if marks is None or not marks.exists():
            return None
        place = marks / name
        if any(above.is_symlink() for above in place.parents if above.is_relative_to(marks)):
            return False  # a folder is wanted where a file went
        if place.is_symlink():
            there = {"": place}
        elif place.is_dir():
            there = {path.name: path for path in place.iterdir()}
        else:
            return None
        return there.keys() == files.keys() and all(
            there[own].is_symlink() and os.readlink(there[own]) == put_mark(size_of(body), _digest((body,)))
            for own, body in files.items()
        )

    def _is_or_becomes(self, name: str, has: Callable[[Path], bool], write: Callable[[], None]) -> bool:
        """Whether what is there under a name is what is wanted, written now if nothing is."""
        path = self._folder / name
        try:
            return has(path)
        except FileNotFoundError:
            pass
        except NotADirectoryError:
            return False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):  # a folder is wanted where a file is
            return False
        remove(self._incoming)
        write()
        self._incoming.rename(path)
        return True

    def _write(self, path: Path, name: str, body: Body) -> None:
        """Write a file, or give the one that has this name in the folder to link to a second one."""
        if not self._linked(path, name, body):
            with path.open("xb") as stream:
                stream.writelines(pieces_of(body))

    def _linked(self, path: Path, name: str, body: Body) -> bool:
        """Give the file of the folder to link to, if it has these bytes, a second name."""
        if self._link is None:
            return False
        try:
            found = (self._link / name).resolve()
            if not _has(found, body):
                return False
            path.hardlink_to(found)
        except OSError:  # it is not there, or on another disk: the bytes are copied
            return False
        return True


def frame_name(number: int, count: int) -> str:
    """Name of a frame in the folder of its video: in the order of names, with the ending that VILA's head looks for.

    Args:
        number: From 0.
        count: Frames of the video.
    """
    return f"{number + 1:0{max(4, len(str(count)))}d}.jpeg"


def _digest(bodies: Sequence[Body]) -> str:
    seen = hashlib.sha256()
    for body in bodies:
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


def is_safe(name: str, *, of_video: bool = False) -> bool:
    """Say whether a name from annotations may be a path in a folder of ours, on any file system.

    Args:
        name: Any text.
        of_video: It may begin with a dash: ids of videos do, and published records name the files so.
    """
    if not name or not is_below(name) or not name.isprintable() or "\\" in name or ":" in name:
        return False
    try:
        parts = [part.encode() for part in name.split("/")]
    except UnicodeEncodeError:
        return False
    first = (b".", b"~") if of_video else (b".", b"~", b"-")
    hidden = any(part.startswith(first) or part.endswith((b".", b" ")) for part in parts)
    return not hidden and max(map(len, parts)) <= _MOST_NAME_BYTES and len(name.encode()) <= _MOST_PATH_BYTES


def _published(medium: Medium) -> str:
    """The original name of a medium, with the ending of what it is now where that is another; frames have none."""
    path = PurePosixPath(medium.original)
    ending, now = path.suffix[1:].lower(), medium.part.rpartition(".")[2]
    known = ending in (VIDEO_ENDINGS if medium.is_video else PICTURE_ENDINGS)
    if medium.frames:
        return str(path.with_suffix("")) if known else medium.original
    if medium.is_video and not known:
        return f"{medium.original}.{now}"  # an id, perhaps with a dot in it
    if medium.as_upstream or _SAME.get(ending, ending) == _SAME.get(now, now):
        return medium.original
    return str(path.with_suffix(f".{now}"))
