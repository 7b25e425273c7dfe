"""A loopback HTTP server in a thread, close enough to the socket that it can misbehave byte by byte.

It speaks the part of HTTP/1.1 that clients of the made-up web and hub need: requests with or without a
body of known length, and kept connections. Handlers answer through an `Exchange`: politely with `send`,
or with any bytes at all.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["LoopbackServer", "Request", "Served"]

Headers = Iterable[tuple[str, str]]

_MAX_HEAD_BYTES = 64 * 1024
_START_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it arrived: ``target`` is path and query as sent, ``path`` is unquoted."""

    method: str
    target: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    address: str  # the loopback address that was asked
    nth: int  # how often this target has been asked for, this time included


@dataclass(slots=True)
class Served:
    """A request and the connection to answer it on."""

    request: Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    keep: bool = field(default=True)  # whether the connection may serve another request

    async def send(
        self,
        body: bytes = b"",
        *,
        status: int = 200,
        content_type: str = "application/octet-stream",
        headers: Headers = (),
    ) -> None:
        """Answer as HTTP wants it; the body is left out for HEAD."""
        fields = [("Content-Type", content_type), ("Content-Length", str(len(body))), *headers]
        shown = b"" if self.request.method == "HEAD" else body
        await self.raw(head(status, fields) + shown)

    async def raw(self, data: bytes) -> None:
        """Put these bytes on the wire, whatever they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def hold(self) -> None:
        """Say nothing more until the client leaves (or the server is closed)."""
        self.keep = False
        await self.reader.read()

    def hang_up(self) -> None:
        """Close after what was sent, in good order (FIN)."""
        self.keep = False

    def reset(self) -> None:
        """Break the connection off (RST), whatever was under way."""
        self.keep = False
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def head(status: int, fields: Headers) -> bytes:
    """Status line and header fields of an answer, with the blank line."""
    known = {code.value: code.phrase for code in HTTPStatus}
    lines = [
        f"HTTP/1.1 {status} {known.get(status, 'Unknown')}",
        *(f"{name}: {value}" for name, value in fields),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class LoopbackServer(ABC):
    """Serves on one port of several loopback addresses, from its own thread; a context manager.

    Args:
        addresses: how many of 127.0.0.1, 127.0.0.2, ... to listen on (more than one needs Linux).
        port: 0 takes a free one.
        latency_s: how long every answer is put off.
        ssl_context: serve HTTPS with it.

    Attributes:
        hits: requests by target.
        log: the last 10,000 requests.
        peak_connections: most connections open at once, by address.
    """

    def __init__(
        self,
        *,
        addresses: int = 1,
        port: int = 0,
        latency_s: float = 0.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.addresses = [f"127.0.0.{number + 1}" for number in range(addresses)]
        self.port = port
        self.latency_s = latency_s
        self.hits: Counter[str] = Counter()
        self.log: deque[Request] = deque(maxlen=10_000)
        self.peak_connections: Counter[str] = Counter()
        self._open: Counter[str] = Counter()
        self._ssl = ssl_context
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None

    # what subclasses say

    @abstractmethod
    async def answer(self, exchange: Served) -> None:
        """Answer one request; anything may be done to the connection."""

    # for users

    def origin(self, address: int = 0) -> str:
        """Scheme, address and port: ``http://127.0.0.1:40001``; ``address`` counts from 0 and wraps round."""
        scheme = "https" if self._ssl else "http"
        return f"{scheme}://{self.addresses[address % len(self.addresses)]}:{self.port}"

    def forget(self) -> None:
        """Forget all requests so far: counters are zero and what had healed is ill again."""
        self.hits.clear()
        self.log.clear()
        self.peak_connections.clear()

    def __enter__(self) -> Self:
        sockets = self._bind()
        started: threading.Event = threading.Event()
        name = type(self).__name__
        self._thread = threading.Thread(target=self._run, args=(sockets, started), name=name, daemon=True)
        self._thread.start()
        if not started.wait(_START_LIMIT_S):
            raise RuntimeError(f"{name} did not start within {_START_LIMIT_S:g} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving; all that wait are cut off."""
        if self._loop is not None and self._closing is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join()
            self._thread = self._loop = self._closing = None

    # the machine

    def _bind(self) -> list[socket.socket]:
        sockets: list[socket.socket] = []
        for address in self.addresses:
            sock = socket.create_server((address, self.port), backlog=1024)
            # asyncio leaves that out for a socket that was not made by name of the protocol; the end of an answer
            # would then wait, 40 ms, for the receipt of what came before
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.port = sock.getsockname()[1]
            sockets.append(sock)
        return sockets

    def _run(self, sockets: list[socket.socket], started: threading.Event) -> None:
        asyncio.run(self._serve(sockets, started))

    async def _serve(self, sockets: list[socket.socket], started: threading.Event) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        servers = [
            await asyncio.start_server(self._connection, sock=sock, limit=_MAX_HEAD_BYTES, ssl=self._ssl)
            for sock in sockets
        ]
        started.set()
        await self._closing.wait()
        for server in servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        address = writer.get_extra_info("sockname")[0]
        self._open[address] += 1
        self.peak_connections[address] = max(self.peak_connections[address], self._open[address])
        try:
            while await self._one_exchange(reader, writer, address):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError):
            pass  # the client left, or talked nonsense
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._open[address] -= 1
            writer.close()

    async def _one_exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> bool:
        request = await self._read_request(reader, address)
        self.log.append(request)
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        exchange = Served(request, reader, writer)
        await self.answer(exchange)
        return exchange.keep and request.headers.get("connection", "").lower() != "close"

    async def _read_request(self, reader: asyncio.StreamReader, address: str) -> Request:
        block = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = block.split("\r\n")[:-2]
        method, target, _ = first.split(" ", 2)
        fields = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        parts = urlsplit(target)
        self.hits[target] += 1
        return Request(
            method=method,
            target=target,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query)),
            headers=headers,
            body=await reader.readexactly(int(headers.get("content-length", 0))),
            address=address,
            nth=self.hits[target],
        )
