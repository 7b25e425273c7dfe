"""Leases on tasks, so that several runs on one folder share the work.

One file, one byte-range lock for each task, at an offset taken from the task's id: the kernel frees a dead
process's locks at once, nothing is left to clean up, and NFSv4 carries byte ranges natively. Locks belong to
the process, so two runs in one process do not see each other's: the command line starts one.

Of a store that is no folder the file lies on the machine: commands on one machine divide the work by it, those on
several are each told their share.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from pathlib import Path
from types import TracebackType

__all__ = ["Leases"]

_SPAN = 1 << 62
_MARK_BYTES = 16


class Leases:
    """Leases held by this process on one dataset's tasks."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        self._held: set[str] = set()

    def take(self, name: str, *, shared: bool = False) -> bool:
        """Try to get the lease on ``name`` (hex digits or any text); False if another process holds it.

        Args:
            name: What to lease.
            shared: Any number of processes may hold it so, or one alone may hold it otherwise.

        Raises:
            OSError: The file system cannot lock.
        """
        if name in self._held:
            return True
        try:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.lockf(self._fd, kind | fcntl.LOCK_NB, 1, _offset(name))
        except OSError as err:
            if err.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        self._held.add(name)
        return True

    def is_held(self, name: str) -> bool:
        """Say whether any process, this one too, holds the lease on ``name``.

        Raises:
            OSError: The file system cannot lock.
        """
        if name in self._held:
            return True
        if not self.take(name, shared=True):
            return True
        self.release(name)
        return False

    def only_holder(self, name: str) -> bool:
        """Hold a shared lease alone from now on; False, and it stays shared, if another process shares it."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(name))
        except OSError as err:
            if err.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        return True

    def share(self, name: str) -> None:
        """Let others share again what was held alone."""
        fcntl.lockf(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, _offset(name))

    def mark(self) -> str:
        """Tell this file from those that other machines have: by what was written into it when it was first asked.

        Raises:
            OSError: The file system cannot lock, or is full.
        """
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, _offset("mark"))
        try:
            if len(os.pread(self._fd, _MARK_BYTES, 0)) < _MARK_BYTES:
                os.pwrite(self._fd, secrets.token_hex(_MARK_BYTES // 2).encode(), 0)
            return os.pread(self._fd, _MARK_BYTES, 0).decode()
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _offset("mark"))

    def release(self, name: str) -> None:
        """Give the lease back; harmless if it is not held."""
        if name in self._held:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _offset(name))
            self._held.discard(name)

    def close(self) -> None:
        """Give all leases back."""
        os.close(self._fd)
        self._held.clear()

    def __enter__(self) -> Leases:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _offset(name: str) -> int:
    import hashlib

    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % _SPAN
