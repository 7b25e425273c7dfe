"""Child processes that touch strangers' bytes: whatever crashes, hangs or eats memory costs what it was given.

Each child has one body in work, so it is always known whose fault an end was. The children are spoken to from an
event loop, so that nothing wakes a thread for an image.
(``multiprocessing.Pool`` hangs when a child dies, and ``ProcessPoolExecutor`` gives up all its work.)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from gristmill.media import wire
from gristmill.media.errors import Undecodable
from gristmill.media.limits import CPU_SIGNAL
from gristmill.spec.errors import MachineError
from gristmill.spec.reasons import Reason

__all__ = ["Child", "ChildPool"]

T = TypeVar("T")
_ENDED_BY = "ended by "

START_S = 60.0
"""A child that has not loaded its codecs by then will not."""

CRASHES = 2
"""Children that must crash over a body until it is believed, the last alone and fresh."""

KILLS = 6
"""Children that must be killed over it by somebody else, as by a kernel short of memory, until it is given up."""

_WAIT_S = 0.2
"""After a child was killed, and longer each time: what took the memory may be over by then."""

_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_LOG_LEVEL": "SILENT",
}


class _ChildEnded(Exception):
    """The child at the other end is gone; the text says by what."""


class _Killed(_ChildEnded):
    """SIGKILL ended it, and not ours: that is the machine's, or a person's, and not the body's."""


class _OutOfTime(_ChildEnded):
    """It has used up the processor time that a body may take."""


class _NeverReady(_ChildEnded):
    """It was gone before it had loaded its codecs, so no body is to blame."""


class ChildPool:
    """A fixed number of child processes, used by any number of tasks of one event loop.

    Args:
        command: What to start for a child.
        module: What the child runs, for messages.
        processes: Children, and so bodies in work at the same time.
        deadline_s: Seconds of wall time without a word after which a child is killed and its body given up.
    """

    def __init__(self, command: Sequence[str], *, module: str, processes: int, deadline_s: float) -> None:
        self._command, self._module, self._deadline_s = command, module, deadline_s
        self._closed = False
        self._alone = asyncio.Lock()
        self._children = {Child(command, deadline_s) for _ in range(processes)}
        self._free: asyncio.LifoQueue[Child] = asyncio.LifoQueue()
        for child in self._children:
            self._free.put_nowait(child)

    async def insist(self, job: Callable[[Child], Awaitable[T]]) -> T:
        """Have a child do a job, and another when it ended over it, until the body itself must be to blame.

        Args:
            job: Asks the child that it is given, and says what it answered. It is called anew for each child that
                is tried.

        Raises:
            Undecodable: DECODER_CRASH if one child crashed over this body, and then a fresh one that had no other
                beside it; KILLED if children were killed over it again and again, by others; DECODER_TIMEOUT if one
                had to be killed. And what ``job`` raises.
            MachineError: If no child can be started, or the pool was closed.
        """
        crashes = kills = 0
        while True:
            try:
                return await self._asked(job, alone=crashes > 0 or kills >= KILLS // 2)
            except TimeoutError as err:
                said = f"no answer within {self._deadline_s:g} s"
                raise Undecodable(Reason.DECODER_TIMEOUT, said) from err
            except _OutOfTime as err:
                raise Undecodable(Reason.DECODER_TIMEOUT, "too much processor time") from err
            except _ChildEnded as err:
                if self._closed:
                    raise MachineError(
                        "The codec processes were stopped while an image or a video was in work."
                    ) from err
                kills += isinstance(err, _Killed)
                crashes += not isinstance(err, _Killed)
                if isinstance(err, _NeverReady) and crashes == CRASHES:
                    raise MachineError(
                        f"Codec processes do not start ({err}).\n"
                        f"See why: {sys.executable} -c 'import {self._module}'"
                    ) from err
                if crashes == CRASHES:
                    raise Undecodable(Reason.DECODER_CRASH, str(err)) from err
                if kills == KILLS:
                    said = f"{kills} decoders in a row were killed over it by others; memory may be short"
                    raise Undecodable(Reason.KILLED, said) from err
            await asyncio.sleep(_WAIT_S * kills)

    async def _asked(self, job: Callable[[Child], Awaitable[T]], *, alone: bool) -> T:
        """What a child answers; with ``alone`` a fresh one, while no other has a body in work."""
        async with self._taken(everyone=alone) as taken:
            if taken[0].gone or (alone and taken[0].asked):
                taken[0] = self._replaced(taken[0])
            try:
                answer = await job(taken[0])
            finally:
                if taken[0].busy:  # the job has ended before its child
                    taken[0].abandon()
            if taken[0].leaves:
                taken[0] = self._replaced(taken[0])  # now, so that it loads its codecs before it is needed
        return answer

    @contextlib.asynccontextmanager
    async def _taken(self, *, everyone: bool) -> AsyncIterator[list[Child]]:
        """A free child, or with ``everyone`` all of them; those that stand in the list at the end are free again."""
        if everyone:
            await self._alone.acquire()  # two that wait for all would wait for each other
        taken: list[Child] = []
        try:
            while len(taken) < (len(self._children) if everyone else 1):
                taken.append(await self._free.get())
            yield taken
        finally:
            for child in taken:
                self._free.put_nowait(child)
            if everyone:
                self._alone.release()

    def pids(self) -> set[int]:
        """Process ids of the children as they are now; one that is replaced leaves its place to another."""
        return {child.pid for child in self._children}

    async def close(self) -> None:
        """End the children. A call still in flight ends with a ``MachineError``."""
        self._closed = True
        for child in self._children:
            child.end()

    def _replaced(self, child: Child) -> Child:
        if self._closed:
            raise MachineError("The codec processes were stopped.")
        child.end()
        fresh = Child(self._command, self._deadline_s)
        self._children.discard(child)
        self._children.add(fresh)
        return fresh

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Child(asyncio.Protocol):
    """One child process and our end of the socket to it; asked by one task at a time.

    Attributes:
        gone: It answers no more.
        asked: It has had a body in work.
        busy: It has more to say of its body.
        leaves: It has said with its last answer that another must take its place.
    """

    def __init__(self, command: Sequence[str], deadline_s: float) -> None:
        self.gone = self.asked = self.busy = False
        self.leaves: bool | None = False
        self._late = False
        self._deadline_s = deadline_s
        self._transport: asyncio.WriteTransport | None = None
        self._got = bytearray()
        self._more: asyncio.Future[None] | None = None
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

    async def ask(self, lead: bytes, body: bytes) -> tuple[dict[str, Any], bytes]:
        """Give the child a body, and wait for what it says of it: facts and bytes.

        Args:
            lead: What goes before the body.
            body: Bytes.

        Raises:
            TimeoutError: The deadline has passed.
            _ChildEnded: The child is gone.
        """
        self.asked = self.busy = True
        try:
            transport = self._transport or await self._ready()
        except BaseException:  # a cancelled wait too; and it is raised on
            self.abandon()
            raise
        transport.writelines((lead, body))
        return await self.hear()

    async def hear(self) -> tuple[dict[str, Any], bytes]:
        """Wait for the next that the child says, while it is ``busy``; raises as :meth:`ask`.

        Whatever ends this but an answer ends the child: what it said later would be taken for an answer to the
        next body.
        """
        try:
            facts, stored = await self._heard(wire.answer_in, self._deadline_s)
        except (EOFError, ValueError) as err:
            raise self._ended() from err
        except BaseException:  # a cancelled wait too; and it is raised on
            self.abandon()
            raise
        self.leaves = facts.pop("leave", None)
        self.busy = self.leaves is None
        return facts, stored

    def abandon(self) -> None:
        """Kill the child, whose answer nobody waits for any more."""
        self.gone = True
        self._process.kill()

    async def _ready(self) -> asyncio.WriteTransport:
        """The way to the child, once it has loaded its codecs."""
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_unix_connection(lambda: self, sock=self._sock)
            await self._heard(wire.ready_in, START_S)
        except (OSError, EOFError, ValueError) as err:
            ended = self._ended()
            raise (ended if isinstance(ended, _Killed) else _NeverReady(str(ended))) from err
        self._transport = transport
        return transport

    async def _heard(self, read: Callable[[bytearray], T | None], limit_s: float) -> T:
        """What ``read`` makes of what the child says, once that is not None.

        Raises:
            EOFError: The child has closed its end before.
            TimeoutError: It took longer than ``limit_s``.
        """
        loop = asyncio.get_running_loop()
        self._late = False
        alarm = loop.call_later(limit_s, self._give_up)  # asyncio.timeout would cost five times as much
        try:
            while (said := read(self._got)) is None:
                if self.gone:
                    raise EOFError
                if self._late:
                    raise TimeoutError
                self._more = loop.create_future()
                await self._more
        finally:
            alarm.cancel()
        return said

    def _give_up(self) -> None:
        self._late = True
        self._wake()

    def data_received(self, data: bytes) -> None:
        """The child says something."""
        self._got += data
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The child is gone, or was ended."""
        self.gone = True
        self._wake()

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    def _ended(self) -> _ChildEnded:
        said = self.end()
        kinds = {signal.SIGKILL.name: _Killed, CPU_SIGNAL.name: _OutOfTime}
        return kinds.get(said.removeprefix(_ENDED_BY), _ChildEnded)(said)

    def end(self) -> str:
        """Kill the child if it lives, and say how it ended."""
        self.gone = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # wakes who waits for an answer
        with contextlib.suppress(subprocess.TimeoutExpired):
            # A child that crashed closes its sockets a moment before it can be waited for.
            self._process.wait(0.2)
        self._process.kill()
        code = self._process.wait()
        if self._transport is not None:
            self._transport.abort()
        self._sock.close()
        return f"{_ENDED_BY}{signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
