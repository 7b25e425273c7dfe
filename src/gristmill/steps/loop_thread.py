"""An event loop in a thread of its own, for steps whose work is mostly waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from gristmill.crawl.loop import new_loop

__all__ = ["LoopThread"]

R = TypeVar("R")
_LOOKED_UP_S = 0.5
"""So often whoever waits looks up. A signal that comes as a wait begins does not end it, and its handler would run
only when the work is done.
"""


class LoopThread:
    """Runs coroutines for other threads."""

    def __init__(self, name: str) -> None:
        self._loop = new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, R]) -> Future[R]:
        """Begin something."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def wait_for(self, work: Coroutine[Any, Any, R]) -> R:
        """Have something done, and wait for it. Several threads may do so at once."""
        future = self.submit(work)
        while not wait([future], timeout=_LOOKED_UP_S).done:
            pass
        return future.result()

    def close(self) -> None:
        """Stop the loop; what is still in work there is over."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
