"""Decoding in child processes: a decoder that crashes, hangs or eats memory costs one image.

Each slot of the pool is one child with one image in flight, so it is always known whose fault an end was.
(``multiprocessing.Pool`` hangs when a child dies, and ``ProcessPoolExecutor`` gives up all its work.)
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from gristmill.media import wire
from gristmill.media.errors import Undecodable
from gristmill.media.limits import CPU_SIGNAL
from gristmill.media.settings import ImageSettings
from gristmill.media.transcoded import Transcoded
from gristmill.spec.errors import MachineError
from gristmill.spec.reasons import Reason

__all__ = ["CodecPool"]

START_S = 60.0
"""A child that has not loaded its codecs by then will not."""

# without the garbage collector until all is loaded: none of that is garbage
_MAIN = "import gc; gc.disable(); from gristmill.media.worker import main; main()"

_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_LOG_LEVEL": "SILENT",
}


class _ChildEnded(Exception):
    """The child at the other end is gone; the text says by what."""


class _OutOfTime(_ChildEnded):
    """It has used up the processor time that a picture may take."""


class _NeverReady(_ChildEnded):
    """It was gone before it had loaded its codecs, so no image is to blame."""


class CodecPool:
    """A fixed number of codec processes, used from any number of threads.

    Args:
        settings: What to do with every image.
        processes: Children, and so images in work at the same time.
        deadline_s: Seconds of wall time after which a child is killed and its image given up.
        command: What to start instead of ``gristmill.media.worker``; for tests.
    """

    def __init__(
        self,
        settings: ImageSettings,
        *,
        processes: int,
        deadline_s: float = 20,
        command: Sequence[str] = (sys.executable, "-P", "-c", _MAIN),
    ) -> None:
        self._command = [*command, json.dumps(dataclasses.asdict(settings)), str(deadline_s)]
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._closed = False
        self._children = {_Child(self._command, deadline_s) for _ in range(processes)}
        self._free: queue.LifoQueue[_Child] = queue.LifoQueue()
        for child in self._children:
            self._free.put(child)

    def transcode(self, body: bytes) -> Transcoded:
        """``image.transcode`` in a child; waits for a free one. Releases the GIL while it waits.

        Raises:
            Undecodable: As ``image.transcode``; DECODER_CRASH if two children in a row died of this image;
                DECODER_TIMEOUT if one had to be killed.
            MachineError: If no child can be started, or the pool was closed.
        """
        child = self._free.get()
        try:
            # Twice, as a child may also die of the image before, of a person, or of the kernel's want of memory.
            for last in (False, True):
                try:
                    facts, stored = child.ask(body)
                except TimeoutError as err:
                    child = self._replaced(child)
                    said = f"no answer within {self._deadline_s:g} s"
                    raise Undecodable(Reason.DECODER_TIMEOUT, said) from err
                except _OutOfTime as err:
                    child = self._replaced(child)
                    raise Undecodable(Reason.DECODER_TIMEOUT, "too much processor time") from err
                except _ChildEnded as err:
                    child = self._replaced(child)
                    if last and isinstance(err, _NeverReady):
                        raise MachineError(
                            f"Codec processes do not start ({err}).\n"
                            f"See why: {sys.executable} -c 'import gristmill.media.worker'"
                        ) from err
                    if last:
                        raise Undecodable(Reason.DECODER_CRASH, str(err)) from err
                else:
                    break
            if facts.pop("leave"):
                child = self._replaced(child)
        finally:
            self._free.put(child)
        return _made(facts, stored)

    def close(self) -> None:
        """End the children. A call still in flight ends with a ``MachineError``."""
        with self._lock:
            self._closed = True
            children, self._children = self._children, set()
        for child in children:
            child.end()

    def _replaced(self, child: _Child) -> _Child:
        child.end()
        with self._lock:
            if self._closed:
                raise MachineError("The codec processes were stopped while an image was in work.")
            self._children.discard(child)
            child = _Child(self._command, self._deadline_s)
            self._children.add(child)
        return child

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Child:
    """One codec process and our end of the socket to it; asked by one thread at a time."""

    def __init__(self, command: Sequence[str], deadline_s: float) -> None:
        self._deadline_s, self._ready = deadline_s, False
        self._sock, theirs = socket.socketpair()
        for sock in (self._sock, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, wire.BUFFER_BYTES)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    command, stdin=theirs.fileno(), env={**os.environ, **_ENVIRONMENT}, process_group=0
                )
            except OSError as err:
                self._sock.close()
                raise MachineError(f"No codec process could be started: {err}") from err

    @property
    def pid(self) -> int:
        """Process number."""
        return self._process.pid

    def ask(self, body: bytes) -> tuple[dict[str, Any], bytes]:
        """Have one image transcoded.

        Raises:
            TimeoutError: The deadline has passed.
            _ChildEnded: The child is gone.
        """
        if not self._ready:
            self._await_ready()
        self._sock.settimeout(self._deadline_s)
        try:
            wire.send_request(self._sock, body)
            return wire.receive_answer(self._sock)
        except TimeoutError:
            raise
        except (OSError, EOFError, ValueError) as err:
            said = self.end()
            raise (_OutOfTime if CPU_SIGNAL.name in said else _ChildEnded)(said) from err

    def _await_ready(self) -> None:
        self._sock.settimeout(START_S)
        try:
            self._ready = wire.receive(self._sock, len(wire.READY)) == wire.READY
        except (OSError, EOFError) as err:
            raise _NeverReady(self.end()) from err

    def end(self) -> str:
        """Kill the child if it lives, and say how it ended."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for an answer
        with contextlib.suppress(subprocess.TimeoutExpired):
            # A child that crashed closes its sockets a moment before it can be waited for.
            self._process.wait(0.2)
        self._process.kill()
        code = self._process.wait()
        self._sock.close()
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _made(facts: dict[str, Any], stored: bytes) -> Transcoded:
    if "reason" in facts:
        raise Undecodable(Reason(facts["reason"]), facts["detail"])
    return Transcoded(body=stored, **facts)
