"""Whole files or none: written under a temporary name, synced, renamed, the folder synced."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from gristmill.spec.errors import GristmillError, MachineError, UsageError
from gristmill.spec.place import path_here
from gristmill.storage.inside import kind_of

__all__ = [
    "alone",
    "cache_folder",
    "check_name",
    "check_regular",
    "fingerprint_file",
    "machine_error",
    "naming",
    "new_temporary",
    "scratch_folder",
    "sha256_file",
    "sweep_temporaries",
    "sync_folder",
    "whole_file",
    "write_whole",
]

_CHUNK_BYTES = 1 << 20
_PIECE_BYTES = 1 << 16
_PIECES_HASHED = {".parquet": 2, ".pkl": 64, ".pickle": 64}
"""Pieces by which files are known that are not read whole for that."""
_TEMPORARY = ".tmp-"
_ELSEWHERE_S = 3600.0
"""A half-written file of another machine, whose locks may not show here, is left alone for so long."""

_SYSTEMS = ("/proc", "/sys")
_WAIT_S = 0.2

_FULL = (errno.ENOSPC, errno.EDQUOT)
_OF_DISKS = (*_FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
_MACHINE: dict[int, str] = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission was denied",
    errno.EPERM: "permission was denied",
    errno.EIO: "the disk reported an error",
    errno.EMFILE: "too many files are open in this process (see `ulimit -n`)",
    errno.ENFILE: "too many files are open on this machine",
    errno.ENAMETOOLONG: "the path is too long",
    errno.ENOMEM: "memory is used up",
}


def cache_folder() -> Path:
    """Say where on this machine lies what is under way for places that are no folder.

    Raises:
        UsageError: ``GRISTMILL_CACHE`` is an address.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    named = os.environ.get("GRISTMILL_CACHE")
    return Path(path_here(named) if named else Path(home) / "gristmill")


def machine_error(err: OSError, path: Path | str | None = None) -> GristmillError:
    """The sentence for an operating system's refusal.

    Args:
        err: What the system said.
        path: What was being read or written, if ``err`` does not know; of an object store its address.
    """
    where, remedy = err.filename or path or "the output folder", "put it right"
    if err.errno in _OF_DISKS and "://" in str(where):  # the disk is this machine's
        path = where = cache_folder()
    if Path(str(where)).is_relative_to(cache_folder()):
        if err.errno in _FULL:
            remedy = "make room there, or name a larger disk with GRISTMILL_CACHE=DIR"
        elif err.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "name another folder for what is under way with GRISTMILL_CACHE=DIR"
    what = _MACHINE.get(err.errno or 0, err.strerror or str(err))
    if err.errno == errno.ENOSPC and _no_file_fits(path or where):
        what = "no further file fits on the disk, whatever its room: its inodes are used up (see `df -i`)"
    if isinstance(err, (FileNotFoundError, NotADirectoryError, IsADirectoryError)):
        return UsageError(f"{where}: {what}. Check the path and give the command again.")
    return MachineError(
        f"{where}: {what}. Nothing finished is lost: {remedy}, then give the same command again."
    )


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name a place in what the system says of it: of a write that finds no room it names none.

    Raises:
        OSError: As the block does.
    """
    try:
        yield
    except OSError as err:
        if err.filename is None:
            err.filename = str(path)
        raise


def check_name(path: Path | str) -> None:
    """See that a path can be named in records, which are UTF-8; on a disk it may be of any bytes.

    Raises:
        UsageError: It cannot.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        name = os.fsencode(path)
        way = "Rename it, or what it lies in"
        with suppress(UnicodeDecodeError):
            name.decode()
            way = "It would be in another locale: set LC_ALL=C.UTF-8"
        raise UsageError(
            f"{name.decode('utf-8', 'backslashreplace')}: this name is not UTF-8, so no record can hold it. {way}."
        ) from None


def check_regular(path: Path) -> None:
    """See that a path is a file that lies on a disk, as those do that end: opening another may wait for ever.

    Raises:
        UsageError: It is something else.
        OSError: As the system says.
    """
    found = path.stat()
    plain = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)  # a folder is told by who opens it
    kind = None if plain else kind_of(found.st_mode)
    for system in _SYSTEMS:
        if kind is None and found.st_dev == _device(system) != _device("/") and stat.S_ISREG(found.st_mode):
            kind = f"a window into the system, as all that lies in {system}"
    if kind is not None:
        raise UsageError(
            f"{path} is {kind}, and a file is expected. Copy what it gives into one, and name that."
        )


@lru_cache(maxsize=4)
def _device(folder: str) -> int | None:
    with suppress(OSError):
        return os.stat(folder).st_dev
    return None


def _no_file_fits(path: Path | str) -> bool:
    """Whether the file system that a path is meant for has no inode left."""
    for place in (Path(path), *Path(path).parents):
        with suppress(OSError):
            found = os.statvfs(place)
            return found.f_files > 0 and found.f_favail == 0
    return False


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A stream whose bytes appear under ``path`` only if the block ends well.

    Args:
        path: Final name; its folder is made if missing. An existing file is replaced in one step.

    Raises:
        OSError: As the system says; the temporary file is then removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, fd = new_temporary(path)
    try:
        with os.fdopen(fd, "wb", buffering=_CHUNK_BYTES) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            temporary.replace(path)  # while it is locked: nobody sweeps it
    except BaseException:  # whatever it is: half a file is of no use; and it is raised on
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def new_temporary(path: Path) -> tuple[Path, int]:
    """A new file beside ``path``, and a descriptor of it that holds its lock for as long as this process lives."""
    while True:
        temporary = _temporary_name(path)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with suppress(OSError):  # a file system without locks: nobody sweeps there
            fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return temporary, fd
        os.close(fd)  # swept between its making and its lock


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}{_TEMPORARY}{_host()}-{secrets.token_hex(4)}")


def write_whole(path: Path, body: bytes) -> None:
    """Write ``body`` to ``path``, whole or not at all.

    Raises:
        OSError: As the system says.
    """
    with whole_file(path) as stream:
        stream.write(body)


def sync_folder(folder: Path) -> None:
    """Make renames within ``folder`` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def alone(path: Path, check: Callable[[], object]) -> Iterator[int]:
    """Hold the lock of a file, among the threads and processes of all machines that share the file system.

    Args:
        path: Is made if missing, as is its folder.
        check: Called now and then while others hold it; may end the wait by raising.

    Raises:
        OSError: As the system says.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            check()
            time.sleep(_WAIT_S)
        yield fd
    finally:
        os.close(fd)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A folder beside ``path`` for what is needed while that is made; removed at the end, after a kill by the next.

    Args:
        path: The file that is being made; its folder is made if missing.

    Raises:
        OSError: As the system says.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_temporaries(path.parent, of=path.name)
    while True:
        scratch = _temporary_name(path)
        scratch.mkdir()
        with suppress(FileNotFoundError):  # swept between its making and its lock
            fd = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(OSError):  # a file system without locks: nobody sweeps there
                fcntl.flock(fd, fcntl.LOCK_EX)
            if scratch.is_dir():
                break
            os.close(fd)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(fd)


def sweep_temporaries(folder: Path, of: str | None = None) -> int:
    """Remove what an interrupted process left half-written in ``folder``; returns how many.

    Whoever writes a file holds a lock on it, which ends with the process.

    Args:
        folder: Where to look.
        of: Only what was to become this name: in a folder that is a person's, not ours.
    """
    if not folder.is_dir():
        return 0
    begins = "." if of is None else f".{of}{_TEMPORARY}"
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if entry.name.startswith(begins) and _TEMPORARY in entry.name]
    return sum(_swept(Path(entry.path)) for entry in found)


def _swept(path: Path) -> bool:
    """Remove a half-written file or a scratch folder, unless somebody holds its lock, or may on another machine."""
    try:
        how = os.O_RDONLY if path.is_dir() else os.O_RDWR
        fd = os.open(path, how | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        found = os.fstat(fd)
        ours = path.name.rpartition(_TEMPORARY)[2].startswith(f"{_host()}-")
        folder = stat.S_ISDIR(found.st_mode)
        if not (folder or stat.S_ISREG(found.st_mode)):
            return False
        old = (
            not folder and time.time() - found.st_mtime > _ELSEWHERE_S
        )  # a folder that is worked in may look old
        if not (ours or old):
            return False
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder:
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:  # it is being written, it is gone, or nothing can be removed here
        return False
    finally:
        os.close(fd)
    return True


@lru_cache(maxsize=1)
def _host() -> str:
    """Short name of this machine: folders may be shared, process numbers are not."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint_file(path: Path, pieces: int | None = None) -> str:
    """A fingerprint of a file's content, in hex: SHA-256, of Parquet and pickles over their size and some of it.

    That tells a changed annotation file apart without reading hundreds of gigabytes. Of Parquet it is the first
    and last 64 KiB: the footer, at the end, holds offsets and statistics of all that stands before it. Of a pickle,
    which holds pictures, it is 64 such pieces, evenly spread. A list of lines is read whole. None of it depends on
    time or place.

    Args:
        path: The file.
        pieces: So many, whatever its name.
    """
    pieces = pieces or _PIECES_HASHED.get(path.suffix)
    size = path.stat().st_size
    if pieces is None or size <= pieces * _PIECE_BYTES:
        return sha256_file(path) if pieces is None else _digest_of(path, size, [(0, size)])
    last = size - _PIECE_BYTES
    starts = [i * last // (pieces - 1) for i in range(pieces)]
    return _digest_of(path, size, [(start, _PIECE_BYTES) for start in starts])


def _digest_of(path: Path, size: int, pieces: list[tuple[int, int]]) -> str:
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as stream:
        for start, length in pieces:
            stream.seek(start)
            digest.update(stream.read(length))
    return digest.hexdigest()
