"""A file being written, hashed on the way."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import BinaryIO, Self

__all__ = ["HashingStream"]

_CHUNK_BYTES = 1 << 20
_SYNCED_BYTES = 64 << 20
"""The disk is waited for every so often, beside whoever writes: little is left to wait for at the end."""


class HashingStream:
    """Passes writes on and hashes them, both in a thread of its own: neither needs the interpreter meanwhile.

    What was written is all passed on when the block ends, and an error of the stream's raised there at the latest.
    Memory: a chunk that is being filled, and one on its way.

    Args:
        stream: A file to write to; stays open.
        hashed: Hash it too; else it is only written.

    Attributes:
        size: Bytes written.
    """

    def __init__(self, stream: BinaryIO, *, hashed: bool = True) -> None:
        self._stream = stream
        self._digest = hashlib.sha256() if hashed else None
        self._chunk: list[bytes] = []
        self._chunk_bytes = self._unsynced_bytes = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hash")  # begun with the first chunk
        self._on_its_way: Future[None] | None = None
        self.size = 0
        self.closed = False

    def write(self, body: bytes) -> int:
        """Take up ``body``.

        Raises:
            OSError: Of an earlier write, as the system says.
        """
        self.writelines((body,))
        return len(body)

    def writelines(self, bodies: Sequence[bytes]) -> None:
        """Take up several; as :meth:`write`."""
        size = sum(map(len, bodies))
        self._chunk += bodies
        self._chunk_bytes += size
        self.size += size
        if self._chunk_bytes >= _CHUNK_BYTES:
            self._await()
            self._on_its_way = self._thread.submit(self._pass_on, b"".join(self._chunk))
            self._chunk, self._chunk_bytes = [], 0

    def _await(self) -> None:
        if self._on_its_way is not None:
            self._on_its_way.result()

    def _pass_on(self, chunk: bytes) -> None:
        if self._digest is not None:
            self._digest.update(chunk)
        self._stream.write(chunk)
        self._unsynced_bytes += len(chunk)
        if self._unsynced_bytes >= _SYNCED_BYTES:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._unsynced_bytes = 0

    def hexdigest(self) -> str:
        """SHA-256 of all that was written, in hex; once the block has ended. Empty if it is not hashed."""
        return "" if self._digest is None else self._digest.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()  # waits for the chunk on its way
        self.closed = True
        if kind is None:
            self._await()
            self._pass_on(b"".join(self._chunk))

    def tell(self) -> int:
        """Bytes written."""
        return self.size

    def flush(self) -> None:
        """Nothing: the block's end does it."""

    def close(self) -> None:
        """Nothing: the block's end does it."""

    def writable(self) -> bool:
        """True."""
        return True

    def readable(self) -> bool:
        """False."""
        return False

    def seekable(self) -> bool:
        """False."""
        return False
