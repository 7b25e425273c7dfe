"""A folder that is there whole or not at all: made beside its place, and renamed when nothing is missing.

What a killed export left is gone on with by the same export on the same machine since it started: then all
files that have their names are whole. Otherwise it is made anew.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from gristmill.spec.errors import GristmillError, UsageError
from gristmill.spec.sample import Json
from gristmill.storage.files import sync_folder, write_whole

__all__ = ["MADE_OF", "found_whole", "remove", "whole_folder"]

MADE_OF = ".gristmill.json"
"""Says what the folder was made of, and the account of that; hidden, so that no loader takes it for data."""
_BEGUN = ".begun.json"
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def found_whole(out: Path, made_of: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """The account of a folder that was made of the same; None where there is none, or an empty one.

    Raises:
        UsageError: Something else lies there.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file. Name a folder with --out.")
    if not out.exists() or not any(out.iterdir()):
        return None
    found = _read(out / MADE_OF)
    if found.get("made_of") == made_of:
        account: Mapping[str, Json] = found["account"]
        return account
    if found:
        raise UsageError(
            f"{out} was made of another dataset, of other shards of it or with other options. Remove it, or name an "
            "empty folder with --out."
        )
    raise UsageError(f"{out} is not empty. Name an empty folder with --out.")


@contextmanager
def whole_folder(
    out: Path, made_of: Mapping[str, Json], keep: Collection[str] = ()
) -> Iterator[tuple[Path, dict[str, Json]]]:
    """A folder to write into that appears as ``out`` if the block ends well.

    Args:
        out: Its place, where nothing is or an empty folder.
        made_of: Plain data that says what it is made of.
        keep: Hidden files and folders that are not removed at the end.

    Yields:
        The folder to write into, and a mapping for the account that :func:`found_whole` gives back. What lies there
        is of an earlier attempt; what has a name that begins with a dot is removed at the end.

    Raises:
        UsageError: Another export is writing it.
        OSError: As the system says.
    """
    out = out.resolve()
    work = out.with_name(f".{out.name}.part")
    work.mkdir(parents=True, exist_ok=True)
    lock = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with suppress(OSError):  # a file system without locks
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    f"Another export is writing {out}. Wait for it, or name another --out."
                ) from None
        begun = {"made_of": made_of, "since": _since()}
        if _read(work / _BEGUN) != begun:
            _empty(work)
            (work / _BEGUN).write_text(json.dumps(begun))
        account: dict[str, Json] = {}
        try:
            yield work, account
        except GristmillError:  # it cannot be made so: nothing is left of it
            shutil.rmtree(work)
            raise
        _sync(lock)
        for hidden in work.glob(".*"):
            if hidden.name not in keep:
                remove(hidden)
        write_whole(work / MADE_OF, json.dumps({"made_of": made_of, "account": account}).encode())
        work.rename(out)
        sync_folder(out.parent)
    finally:
        os.close(lock)


def _since() -> str:
    """A text that is another one on another machine, and after this one was started anew."""
    with suppress(OSError):
        return f"{socket.gethostname()} {_BOOT.read_text().strip()}"
    return f"{socket.gethostname()} {os.getpid()}"


def _read(path: Path) -> dict[str, Json]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remove(path: Path) -> None:
    """Take away a file, which may be another name of somebody's, or a folder; nothing, if there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        remove(path)


def _sync(fd: int) -> None:
    """Make all that was written to the file system of an open folder durable, at once."""
    with suppress(OSError, AttributeError):
        if ctypes.CDLL(None, use_errno=True).syncfs(fd) == 0:
            return
    os.sync()
