"""A raw server on loopback that misbehaves by path, and counts. Nothing here knows HTTP beyond the head."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from gristmill.crawl import CrawlSettings

BODY = bytes(range(256)) * 20
QUICK = CrawlSettings(
    allow_private_addresses=True,
    total_s=1.0,
    connect_s=0.5,  # on a busy machine loopback may take long to be noticed
    stall_s=0.3,
    min_rate_window_s=0.25,
    backoff_s=0.01,
    max_body_bytes=1 << 20,
    dns_timeout_s=0.3,
)


@dataclass
class Visit:
    """One request, and the means to answer it."""

    server: FaultServer
    path: str
    headers: dict[str, str]
    number: int  # of this path, from 1
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: str = "200 OK", body: bytes = BODY, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        await self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    async def redirect(self, location: str, *headers: str) -> None:
        await self.answer("302 Found", b"", f"Location: {location}", *headers)

    def hang_up(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        self.writer.transport.abort()


Route = Callable[[Visit], Awaitable[None]]


@dataclass
class FaultServer:
    """Counts connections and visits; answers each path by its route, and others with ``otherwise``."""

    routes: dict[str, Route] = field(default_factory=dict)
    otherwise: Route | None = None
    visits: Counter[str] = field(default_factory=Counter)
    log: list[tuple[str, float]] = field(default_factory=list)
    seen_headers: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    open_peak: int = 0
    busy_now: int = 0
    busy_peak: int = 0
    port: int = 0
    scheme: str = "http"
    name: str = "127.0.0.1"

    def url(self, path: str = "/") -> str:
        return f"{self.scheme}://{self.name}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_now += 1
        self.open_peak = max(self.open_peak, self.open_now)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
                while not writer.is_closing():
                    await self._visit(await reader.readuntil(b"\r\n\r\n"), writer)
        finally:
            self.open_now -= 1
            writer.close()

    async def _visit(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        path = first.split(" ")[1]
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
        self.visits[path] += 1
        self.log.append((path, asyncio.get_running_loop().time()))
        self.seen_headers.append(headers)
        route = self.routes.get(path.partition("?")[0], self.otherwise)
        visit = Visit(self, path, headers, self.visits[path], writer)
        self.busy_now += 1
        self.busy_peak = max(self.busy_peak, self.busy_now)
        try:
            if route is None:
                await visit.answer("404 Not Found", b"")
            else:
                await route(visit)
        finally:
            self.busy_now -= 1
        if headers.get("connection") == "close":
            writer.close()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def accepting(
    handle: Handler, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Hand each connection to ``handle``; yield the port, and leave no connection open at the end."""
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def handled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handle(reader, writer)

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # here, not in the task: one that is cancelled before its first step would leave it open
        writers.append(writer)
        task = asyncio.ensure_future(handled(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listening = await asyncio.start_server(connected, host, port, ssl=tls, limit=1 << 20)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for _ in range(100):  # a loop must not be closed under an open connection, and some are accepted late
            await asyncio.sleep(0.01)
            if not tasks and not writers:
                break
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            ending, writers[:] = list(writers), []
            for writer in ending:
                writer.transport.abort()
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await asyncio.gather(*(each.wait_closed() for each in ending), return_exceptions=True)


@asynccontextmanager
async def serving(
    routes: dict[str, Route] | None = None,
    *,
    otherwise: Route | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[FaultServer]:
    server = FaultServer(routes or {}, otherwise)
    async with accepting(server.serve, host, port, tls) as server.port:
        server.scheme = "https" if tls else "http"
        yield server
