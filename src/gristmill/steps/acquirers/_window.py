"""Bodies that are at hand: read one after another, and a few are in work at once."""

from __future__ import annotations

import asyncio
import os
import tempfile
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from gristmill.spec.body import FileBody, release
from gristmill.spec.errors import Stopped
from gristmill.spec.locator import Locator
from gristmill.spec.step import MediaContext
from gristmill.steps.acquirers import Acquired, Deliver, Wanted

__all__ = ["Settings", "Windowed", "filled", "written"]

_WINDOW_PER_CODEC = 6
_STOP_POLL_S = 0.25
_STOP_GRACE_S = 3.0
"""Seconds that are left after a signal, as a crawl leaves its requests."""
_FILES = 1
"""Bodies in work while the next is written to a file of its own: so there are at most two, be they whole videos."""


class Settings(Protocol):
    """Holds what such an acquirer wants to know of the step."""

    @property
    def max_body_bytes(self) -> int:
        """Largest body, in bytes."""

    @property
    def codecs(self) -> int:
        """Decoding processes."""


class Windowed(ABC):
    """An acquirer that says no more than how bodies are read.

    Attributes:
        most_bytes: A larger body is refused.
    """

    def __init__(self, step: Settings) -> None:
        self.most_bytes = step.max_body_bytes
        self._window = _WINDOW_PER_CODEC * step.codecs

    @abstractmethod
    def bodies(self, wanted: Wanted, box: MediaContext) -> AsyncIterator[tuple[int, Acquired]]:
        """Say what comes of each locator, in any order."""

    async def acquire(self, wanted: Wanted, deliver: Deliver, box: MediaContext) -> None:
        """See :class:`gristmill.steps.acquirers.Acquirer`."""
        more: list[tuple[int, Locator]] = []
        waiting: deque[asyncio.Future[None]] = deque()

        async def one(number: int, acquired: Acquired) -> None:
            done = False
            try:
                more.extend(await deliver(number, acquired))
                done = True
            finally:
                self.release(acquired, done=done)

        try:
            while wanted:
                async for number, acquired in self.bodies(wanted, box):
                    if box.stop.is_set():
                        raise Stopped("the run was asked to stop")
                    waiting.append(asyncio.ensure_future(one(number, acquired)))
                    made = isinstance(acquired.body, FileBody) and acquired.body.temporary
                    while len(waiting) > (_FILES if made else self._window):
                        await _unless_stopped(waiting[0], box)
                        waiting.popleft()
                while waiting:
                    await _unless_stopped(waiting[0], box)
                    waiting.popleft()
                wanted, more = more, []
        finally:
            for future in waiting:
                future.cancel()

    def release(self, acquired: Acquired, *, done: bool) -> None:
        """Give back what was delivered: what was made for it alone is removed.

        Args:
            acquired: As it was delivered.
            done: It is of no use any more; else the run is to stop, or has failed, and a later one may want it.
        """
        release(acquired.body)

    async def close(self) -> None:  # noqa: B027 - most hold nothing
        """See :class:`gristmill.steps.acquirers.Acquirer`: it holds nothing."""


async def _unless_stopped(future: asyncio.Future[None], box: MediaContext) -> None:
    """Wait for what becomes of a body; once the run is to stop, for some seconds more: a video may take minutes.

    Raises:
        Stopped: They are over.
    """
    while not future.done():
        stopping = box.stop.is_set()
        await asyncio.wait((future,), timeout=_STOP_GRACE_S if stopping else _STOP_POLL_S)
        if stopping and not future.done():
            raise Stopped("the run was asked to stop")
    future.result()


def written(pieces: Iterable[bytes], folder: Path) -> FileBody:
    """A large body in a file of its own, which is removed once it is delivered.

    Raises:
        OSError: As the system says, or whatever ``pieces`` raises; nothing is left behind.
    """

    def fill(stream: BinaryIO) -> None:
        for piece in pieces:
            stream.write(piece)

    return filled(fill, folder)


def filled(fill: Callable[[BinaryIO], None], folder: Path) -> FileBody:
    """The same of what ``fill`` writes, in whichever order."""
    fd, name = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(fd, "wb", buffering=0) as stream:
            fill(cast(BinaryIO, stream))
            size = os.fstat(stream.fileno()).st_size
    except BaseException:  # whatever it is: half a file is of no use; and it is raised on
        os.unlink(name)
        raise
    return FileBody(path=Path(name), size_bytes=size, temporary=True)
