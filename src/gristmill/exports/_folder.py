"""A folder that is there whole or not at all: made beside its place, and renamed when nothing is missing.

What a killed export left is gone on with by the same export on the same machine since it started: then all
files that have their names are whole. Otherwise it is made anew.

In an object store, which cannot rename, each file is whole or absent, and the one that says what the folder was made
of comes last. Another says until then what it is being made of: all that lies beside it is an unfinished export's.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import secrets
import shutil
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from gristmill.exports._drain import Drain
from gristmill.spec.errors import GristmillError, MachineError, UsageError
from gristmill.spec.sample import Json
from gristmill.storage.files import sync_folder, write_whole
from gristmill.storage.store import Place, Store

__all__ = ["MADE_OF", "Work", "found_whole", "remove", "whole_folder"]

MADE_OF = ".gristmill.json"
"""Says what the folder was made of, and the account of that; hidden, so that no loader takes it for data."""
_BEGUN = ".begun.json"
_COMING = ".gristmill.coming.json"
"""In an object store, until all is there: what is being made."""
_TOKEN = ".token"
"""On this machine: what the file that says what is coming says, too, as long as nobody else has begun there."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Work:
    """A folder that is being written.

    Attributes:
        folder: Where to write.
        account: What :func:`found_whole` gives back once it is there.
        drain: To where its files go; None where the folder itself takes its place.
    """

    folder: Path
    account: dict[str, Json] = field(default_factory=dict)
    drain: Drain | None = None

    def put(self, within: str = "") -> None:
        """Let go of all files, or those in a folder, to where they go: they are finished."""
        if self.drain is not None:
            self.drain.put(within)


def found_whole(out: Place, made_of: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """The account of a folder that was made of the same; None where there is none, or an empty one.

    Raises:
        UsageError: Something else lies there.
    """
    if isinstance(out, Store):
        return _found_stored(out, made_of)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file. Name a folder with --out.")
    if not out.exists() or not any(out.iterdir()):
        return None
    return _account(out, _read(out / MADE_OF), made_of)


def _found_stored(store: Store, made_of: Mapping[str, Json]) -> Mapping[str, Json] | None:
    found, coming = (_read_stored(store, name) for name in (MADE_OF, _COMING))
    if coming and found.get("made_of") == made_of:  # it was killed between the two
        store.delete(_COMING)
    if not found and (coming.get("made_of") == made_of or next(store.list(), None) is None):
        return None
    return _account(store, found or coming, made_of)


def _account(out: Place, found: Mapping[str, Json], made_of: Mapping[str, Json]) -> Mapping[str, Json]:
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
def whole_folder(out: Place, made_of: Mapping[str, Json], keep: Collection[str] = ()) -> Iterator[Work]:
    """A folder to write into that appears as ``out`` if the block ends well.

    Args:
        out: Its place, where nothing is or an empty folder.
        made_of: Plain data that says what it is made of.
        keep: Hidden files and folders that are not removed at the end.

    Yields:
        The folder to write into. What lies there is of an earlier attempt; what has a name that begins with a dot is
        removed at the end.

    Raises:
        UsageError: Another export is writing it.
        MachineError: The store refuses.
        OSError: As the system says.
    """
    if isinstance(out, Path):
        out = out.resolve()
        work = out.with_name(f".{out.name}.part")
    else:
        work = out.work("export")
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
        if isinstance(out, Store):
            with _stored(out, work, made_of) as made:
                yield made
            return
        made = Work(work)
        try:
            yield made
        except GristmillError:  # it cannot be made so: nothing is left of it
            shutil.rmtree(work)
            raise
        _sync(lock)
        for hidden in work.glob(".*"):
            if hidden.name not in keep:
                remove(hidden)
        write_whole(work / MADE_OF, json.dumps({"made_of": made_of, "account": made.account}).encode())
        work.rename(out)
        sync_folder(out.parent)
    finally:
        os.close(lock)


@contextmanager
def _stored(store: Store, folder: Path, made_of: Mapping[str, Json]) -> Iterator[Work]:
    """The same for a store: what is made in a folder of this machine goes there file by file."""
    token = folder / _TOKEN
    if not token.exists() or _read_stored(store, _COMING).get("token") != token.read_text():
        _empty(folder, but=_BEGUN)  # what it says that it put may be gone, or another's
        token.write_text(secrets.token_hex(8))
    store.put(_COMING, json.dumps({"made_of": made_of, "token": token.read_text()}).encode())
    made = Work(folder, drain=(drain := Drain(folder, store)))
    try:
        yield made
    except MachineError:  # the same command goes on
        raise
    except GristmillError:
        shutil.rmtree(folder)
        with suppress(
            MachineError
        ):  # then the first error is told, and what is left is an unfinished export's
            for name in [one.name for one in store.list() if one.name != _COMING]:
                store.delete(name)
            store.delete(_COMING)
        raise
    drain.put()
    if gone := drain.remove_others([_COMING]):
        _empty(folder)
        raise MachineError(
            f"{store}: {len(gone):,} files that this export put are gone again, {gone[0]} for one. Give the same "
            "command again: it makes all of them anew."
        )
    store.put(MADE_OF, json.dumps({"made_of": made_of, "account": made.account}).encode())
    store.delete(_COMING)
    shutil.rmtree(folder)
    with suppress(OSError):  # something else is in the making there
        folder.parent.rmdir()


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


def _read_stored(store: Store, name: str) -> dict[str, Json]:
    try:
        found = json.loads(store.read(name))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _empty(folder: Path, but: str = "") -> None:
    for path in folder.iterdir():
        if path.name != but:
            remove(path)


def _sync(fd: int) -> None:
    """Make all that was written to the file system of an open folder durable, at once."""
    with suppress(OSError, AttributeError):
        if ctypes.CDLL(None, use_errno=True).syncfs(fd) == 0:
            return
    os.sync()
