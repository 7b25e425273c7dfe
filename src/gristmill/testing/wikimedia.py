"""Wikimedia's server of pictures on loopback, with the rules that the real one enforces.

It is had as a proxy that knows one host, so that addresses stay as they are published:

    with FakeWikimedia({"commons/Kite.jpg": 3000}, tls) as wikimedia:
        gristmill run wit --proxy wikimedia.proxy ...

Rules: https; an agent with a contact; two connections at once; thumbnails in the published widths alone, and none
that is wider than its original. Where a picture lies is the MD5 of its name (see :mod:`gristmill.steps.wikimedia`,
whose code is not used here, nor are its numbers).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import Mapping

from gristmill.testing.pictures import shipped_pictures
from gristmill.testing.serving import LoopbackServer, Served
from gristmill.testing.web import picture_number

__all__ = ["FakeWikimedia"]

_HOST = "upload.wikimedia.org"
_WIDTHS_PX = frozenset({20, 40, 60, 120, 250, 330, 500, 960, 1280, 1920, 3840})
_CONNECTIONS = 2
_CONTACT = re.compile(r"https?://|@")
_PATH = re.compile(
    r"/wikipedia/(?P<project>[a-z-]+)/(?P<thumb>thumb/)?(?P<folders>[0-9a-f]/[0-9a-f]{2})/(?P<name>[^/]+)"
    r"(?(thumb)/(?P<page>lossy-page1-|lossless-page1-)?(?P<width>\d+)px-(?P<file>[^/]+))"
)
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><rect width="20" height="30"/></svg>'
_TIFF = b"II*\0" + bytes(60)
_DRAWN = {"svg": ".png", "tif": ".jpg", "tiff": ".jpg"}


class FakeWikimedia(LoopbackServer):
    """Answers for ``upload.wikimedia.org`` to those who take it for their proxy; a context manager.

    Args:
        originals: Widths in pixels, by ``PROJECT/NAME``, with underscores in the name.
        ssl_context: With a certificate for that host.

    Attributes:
        refused: Paths that were asked for against the rules, each with the status of the answer.
    """

    def __init__(self, originals: Mapping[str, int], ssl_context: ssl.SSLContext) -> None:
        super().__init__()
        self._originals = dict(originals)
        self._tls = ssl_context
        self.refused: list[tuple[int, str]] = []

    @property
    def proxy(self) -> str:
        """Address that ``--proxy`` is given."""
        return self.origin()

    @staticmethod
    def url(original: str) -> str:
        """The published address of ``PROJECT/NAME``, not encoded."""
        project, _, name = original.partition("/")
        return f"https://{_HOST}/wikipedia/{project}/{_folders(name)}/{name}"

    async def answer(self, exchange: Served) -> None:
        """Open a tunnel, or answer as the host does in one."""
        if exchange.writer.get_extra_info("ssl_object") is not None:
            await self._answer_as_host(exchange)
        elif exchange.request.method != "CONNECT":  # the recipe asks by https alone
            await self._refuse(exchange, 403, "https only")
        elif exchange.request.target != f"{_HOST}:443":
            await exchange.send(status=502)
        else:
            await exchange.raw(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await exchange.writer.start_tls(self._tls)

    async def _answer_as_host(self, exchange: Served) -> None:
        request = exchange.request
        if not _CONTACT.search(request.headers.get("user-agent", "")):
            return await self._refuse(exchange, 403, "Please set a user-agent with a contact")
        if self._open[request.address] > _CONNECTIONS:
            return await self._refuse(exchange, 429, "Too many requests")
        found = _PATH.fullmatch(request.path)
        name = found["name"] if found else ""
        width_px = self._originals.get(f"{found['project']}/{name}") if found else None
        if found is None or width_px is None or found["folders"] != _folders(name):
            return await exchange.send(b"File not found", status=404, content_type="text/html")
        ending = name.rpartition(".")[2].lower()
        if not found["thumb"]:
            body = {"svg": _SVG, "tif": _TIFF, "tiff": _TIFF}.get(ending)
            kind = ending
        elif int(found["width"]) not in _WIDTHS_PX:
            return await self._refuse(exchange, 429, "Use thumbnail steps")
        elif int(found["width"]) > width_px and ending != "svg":
            return await self._refuse(exchange, 400, "Requested width is larger than the original")
        elif found["file"] != name + _DRAWN.get(ending, "") or bool(found["page"]) != ending.startswith(
            "tif"
        ):
            return await exchange.send(b"File not found", status=404, content_type="text/html")
        else:
            body, width_px, kind = None, int(found["width"]), _DRAWN.get(ending, f".{ending}")[1:]
        if body is None:
            paint = shipped_pictures().get
            picture = await asyncio.to_thread(paint, picture_number(name), _format(kind), width_px)
            body = picture.data
        await exchange.send(body, content_type=f"image/{kind}")

    async def _refuse(self, exchange: Served, status: int, why: str) -> None:
        self.refused.append((status, exchange.request.path))
        await exchange.send(why.encode(), status=status, content_type="text/html")


def _format(ending: str) -> str:
    return "jpg" if ending == "jpeg" else ending


def _folders(name: str) -> str:
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return f"{digest[0]}/{digest[:2]}"
