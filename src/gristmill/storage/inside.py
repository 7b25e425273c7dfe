"""Files of a dataset's folder, which may come from a stranger: regular ones, in it, of a size that can be read.

A link leads out of the folder, and a FIFO or a device has no end. So a folder is looked through before anything in
it is read, written or removed, and its state is read by descriptors of which the system says what they are.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from gristmill.spec.errors import DamagedOutput

__all__ = [
    "irregular",
    "irregularity",
    "is_below",
    "kind_of",
    "open_regular",
    "read_regular",
    "read_rest",
]

STATE_BYTES = 1 << 30
"""More than that no file of a folder's state has that is read at once."""

_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def is_below(relative: str) -> bool:
    """Say whether a path, with ``/`` between its names, stays in the folder that it is relative to."""
    return not any(name in ("", ".", "..") or "\0" in name for name in relative.split("/"))


def irregularity(folder: Path, relative: str) -> str | None:
    """Say what a path below ``folder`` is if no regular file in regular folders; None if it is, or is not there.

    Args:
        folder: A dataset's folder; it may be a link itself, since a person named it.
        relative: Path below it.
    """
    names = relative.split("/")
    if not is_below(relative):
        return "no path in this folder"
    path = str(folder)
    for depth, name in enumerate(names, 1):
        path = f"{path}/{name}"
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeEncodeError) as err:
            return f"no file that can be looked at ({err})"
        if depth < len(names) and not stat.S_ISDIR(mode):
            return f"in {'/'.join(names[:depth])}, which is {kind_of(mode)}"
        if depth == len(names) and not stat.S_ISREG(mode):
            return kind_of(mode)
    return None


def irregular(folder: Path, *names: str) -> Iterator[tuple[str, str]]:
    """Say what is neither a regular file nor a folder at or below ``names`` in ``folder``: its path, and what it is.

    Raises:
        OSError: As the system says: a folder that cannot be read.
    """
    waiting = []
    for name in names:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            waiting.append(name)
        elif os.path.lexists(path):
            yield name, kind_of(os.lstat(path).st_mode)
    while waiting:
        at = waiting.pop()
        with os.scandir(folder / at) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{at}/{entry.name}")
                elif not entry.is_file(follow_symlinks=False):
                    yield f"{at}/{entry.name}", kind_of(entry.stat(follow_symlinks=False).st_mode)


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading, and nothing else: it is never waited for.

    Raises:
        FileNotFoundError: There is none.
        DamagedOutput: It is something else, such as a link.
        OSError: As the system says.
    """
    try:
        mode = os.lstat(path).st_mode
        if not stat.S_ISREG(mode):
            raise DamagedOutput(f"{path} is {kind_of(mode)}, and a regular file is expected.")
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except NotADirectoryError as err:
        raise DamagedOutput(f"{path} lies in something that is no folder.") from err
    return os.fdopen(fd, "rb")


def read_regular(path: Path, most_bytes: int = STATE_BYTES) -> bytes:
    """All of a regular file.

    Raises:
        FileNotFoundError: There is none.
        DamagedOutput: It is something else, or larger than that.
        OSError: As the system says.
    """
    with open_regular(path) as stream:
        return read_rest(stream, path, most_bytes)


def read_rest(stream: BufferedReader, path: Path, most_bytes: int = STATE_BYTES) -> bytes:
    """Read what is left of a regular file, as long as it is now.

    Python reserves as much memory as it is asked to read, so it is asked for no more than there is.

    Args:
        path: Of the file, for messages.

    Raises:
        DamagedOutput: It is larger than that.
        OSError: As the system says.
    """
    left = max(os.fstat(stream.fileno()).st_size - stream.tell(), 0)
    if left > most_bytes:
        raise DamagedOutput(f"{path} is larger than the {most_bytes:,} bytes that such a file may have.")
    return stream.read(left)


def kind_of(mode: int) -> str:
    """Say what something that is no regular file is, by its ``st_mode``."""
    return _KINDS.get(stat.S_IFMT(mode), "no regular file")
