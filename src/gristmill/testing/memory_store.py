"""A store in memory that can do no more than an object store: neither rename, append nor lock. It plays faults."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from gristmill.storage.files import write_whole
from gristmill.storage.store import Store, Stored

__all__ = ["MemoryStore"]


class MemoryStore(Store):
    """Files in memory, whole; fetched ones are copied into ``work``, under their digest.

    Args:
        work: A folder of this machine for what is fetched, and what is in the making.

    Attributes:
        calls: How often each verb was called.
        before: Called with the verb and the name before each call; what it raises, the call raises.
        after: Likewise when the call has taken effect: what it raises is like an answer that got lost.
    """

    def __init__(self, work: Path) -> None:
        self._work, self._files, self._lock = work, dict[str, bytes](), threading.Lock()
        self.calls: Counter[str] = Counter()
        self.before: Callable[[str, str], None] = lambda verb, name: None
        self.after: Callable[[str, str], None] = lambda verb, name: None

    def __str__(self) -> str:
        return "memory://"

    def from_machine(self, work: Path) -> MemoryStore:
        """Give the same files as another machine sees them, which has a folder of its own."""
        seen = type(self)(work)
        seen._files, seen._lock = self._files, self._lock
        return seen

    def fetch(self, name: str, digest: str = "") -> Path:
        """See :class:`gristmill.storage.store.Store`."""
        body = self._get("fetch", name)
        path = self._work / "fetched" / hashlib.sha256(body).hexdigest()[:16] / name.rpartition("/")[2]
        if not path.exists():
            write_whole(path, body)
        return path

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """See :class:`gristmill.storage.store.Store`."""
        body = self._get("read", name)
        return body[start:] if size is None else body[start : start + size]

    def _get(self, verb: str, name: str) -> bytes:
        self._begin(verb, name)
        with self._lock:
            if name not in self._files:
                raise FileNotFoundError(2, "not in this store", name)
            body = self._files[name]
        self.after(verb, name)
        return body

    def put(self, name: str, body: bytes | Path) -> None:
        """See :class:`gristmill.storage.store.Store`."""
        self._begin("put", name)
        whole = body if isinstance(body, bytes) else body.read_bytes()
        with self._lock:
            self._files[name] = whole
        self.after("put", name)

    def put_if_absent(self, name: str, body: bytes) -> bool:
        """See :class:`gristmill.storage.store.Store`."""
        self._begin("put_if_absent", name)
        with self._lock:
            first = name not in self._files
            self._files.setdefault(name, body)
        self.after("put_if_absent", name)
        return first

    def list(self, folder: str = "") -> Iterator[Stored]:
        """See :class:`gristmill.storage.store.Store`."""
        self._begin("list", folder)
        with self._lock:
            found = sorted((name, len(body)) for name, body in self._files.items())
        for name, size in found:
            if not folder or name.startswith(f"{folder}/"):
                yield Stored(name, size)

    def size(self, name: str) -> int | None:
        """See :class:`gristmill.storage.store.Store`."""
        self._begin("size", name)
        with self._lock:
            return len(self._files[name]) if name in self._files else None

    def delete(self, name: str) -> None:
        """See :class:`gristmill.storage.store.Store`."""
        self._begin("delete", name)
        with self._lock:
            self._files.pop(name, None)
        self.after("delete", name)

    def work(self, name: str) -> Path:
        """See :class:`gristmill.storage.store.Store`."""
        return self._work / "work" / name

    def _begin(self, verb: str, name: str) -> None:
        self.calls[verb] += 1
        self.before(verb, name)
