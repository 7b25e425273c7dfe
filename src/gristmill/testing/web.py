"""A made-up web on the loopback: real photographs, and every fault by path.

    with FakeWeb() as web:
        web.url("/photo/17.jpg")              # http://127.0.0.1:40001/photo/17.jpg
        web.url("/photo/17.png?w=800", host=3)
        web.url("/fault/5xx-heals/17")        # see gristmill.testing.faults.FAULTS

``/photo/NUMBER.jpg|png|webp|gif[?w=PIXELS]`` is a photograph that depends only on the number, the format and
the width. A name that is no number works too.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import TracebackType
from typing import Self

from gristmill.testing.faults import FAULTS
from gristmill.testing.pictures import Picture, Pictures, shipped_pictures
from gristmill.testing.serving import LoopbackServer, Served

__all__ = ["FakeWeb", "picture_number"]

_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif"}
_WIDTHS_PX = range(16, 4097)
_UINT64 = 2**64


@dataclass(frozen=True, slots=True)
class _Page:
    body: bytes
    status: int
    content_type: str
    headers: tuple[tuple[str, str], ...]


class FakeWeb(LoopbackServer):
    """The made-up web; a context manager that serves from a thread of its own.

    Args:
        hosts: how many loopback addresses stand for hosts (more than one needs Linux).
        port: 0 takes a free one; a fixed one gives the same addresses in every run.
        pictures: where photographs come from.
        latency_s: how long every answer is put off.
        drip_interval_s: pause between the bytes that ``drip`` and ``drip-headers`` send.
        ssl_context: serve HTTPS with it.

    Attributes:
        hits: requests by path and query.
        log: the last 10,000 requests with their headers.
        peak_connections: most connections open at once, by loopback address.
    """

    def __init__(
        self,
        *,
        hosts: int = 8,
        port: int = 0,
        pictures: Pictures | None = None,
        latency_s: float = 0.0,
        drip_interval_s: float = 1.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(addresses=hosts, port=port, latency_s=latency_s, ssl_context=ssl_context)
        self.pictures = pictures or shipped_pictures()
        self.drip_interval_s = drip_interval_s
        self._pages: dict[str, _Page] = {}
        self._canary = _Canary()
        self._painter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures")

    def url(self, path: str, host: int = 0) -> str:
        """Address of a path on one of the hosts, which count from 0 and wrap round."""
        return self.origin(host) + path

    def put(
        self,
        path: str,
        body: bytes,
        *,
        status: int = 200,
        content_type: str = "application/octet-stream",
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Serve these bytes under a path (without query) from now on, for example ``/robots.txt``."""
        self._pages[path] = _Page(body, status, content_type, tuple(headers))

    @property
    def canary_url(self) -> str:
        """A loopback port beside the web that nobody should be led to."""
        return self._canary.origin() + "/canary"

    @property
    def canary_hits(self) -> int:
        """Say how often somebody was."""
        return self._canary.hits.total()

    def forget(self) -> None:
        """Forget all requests so far: counters are zero and what had healed is ill again."""
        super().forget()
        self._canary.forget()

    def __enter__(self) -> Self:
        self._canary.__enter__()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving; all that wait are cut off."""
        super().close()
        self._canary.close()
        self._painter.shutdown()

    async def answer(self, exchange: Served) -> None:
        """Serve a page that was `put`, a photograph, a fault, or 404."""
        path = exchange.request.path
        if page := self._pages.get(path):
            await exchange.send(
                page.body, status=page.status, content_type=page.content_type, headers=page.headers
            )
        elif path.startswith("/photo/"):
            await self._answer_photo(exchange, PurePosixPath(path))
        elif (name := path.removeprefix("/fault/").partition("/")[0]) in FAULTS and path.startswith(
            "/fault/"
        ):
            await FAULTS[name].play(exchange, self)
        else:
            await exchange.send(b"not found", status=404, content_type="text/plain")

    async def picture(self, name: str, kind: str = "jpg") -> bytes:
        """A photograph that depends on the name, as jpg, png, webp or gif."""
        return (await self._paint(picture_number(name), kind, None)).data

    async def _answer_photo(self, exchange: Served, path: PurePosixPath) -> None:
        kind, width = path.suffix[1:].replace("jpeg", "jpg"), exchange.request.query.get("w")
        if kind not in _TYPES or (width and not (width.isdecimal() and int(width) in _WIDTHS_PX)):
            return await exchange.send(b"no such picture", status=404, content_type="text/plain")
        picture = await self._paint(picture_number(path.stem), kind, int(width) if width else None)
        await exchange.send(picture.data, content_type=_TYPES[kind])

    async def _paint(self, number: int, kind: str, width_px: int | None) -> Picture:
        if self.pictures.ready(number, kind, width_px):
            return self.pictures.get(number, kind, width_px)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._painter, self.pictures.get, number, kind, width_px)


class _Canary(LoopbackServer):
    """Counts its visitors."""

    async def answer(self, exchange: Served) -> None:
        await exchange.send(b"you should not be here", content_type="text/plain")


def picture_number(name: str) -> int:
    """The number of a picture's name: itself if it is one, else a hash of it."""
    if name.isdecimal() and int(name) < _UINT64:
        return int(name)
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
