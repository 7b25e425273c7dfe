"""Faults of what is sent: redirects, bodies that are no picture or too much of one, and opt-outs."""

from __future__ import annotations

import gzip
from collections.abc import Callable

from gristmill.spec.reasons import Reason
from gristmill.testing import odd_bytes
from gristmill.testing.faults.base import FaultStage, fault, send_picture
from gristmill.testing.serving import Served

_REDIRECTS_IN_A_ROW = 50
_HTML = b"<!doctype html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>"
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="480"><rect width="9" height="9"/></svg>'


# redirects


async def _redirect(x: Served, location: str) -> None:
    await x.send(status=302, headers=[("Location", location)])


def _redirects(
    name: str,
    what: str,
    location: Callable[[Served, FaultStage], str],
    *reasons: Reason | None,
    guarded: bool = False,
) -> None:
    @fault(name, what, *reasons, guarded=guarded)
    async def play(x: Served, stage: FaultStage) -> None:
        await _redirect(x, location(x, stage))


_redirects("redirect-loop", "redirects to itself", lambda x, _: x.request.target, Reason.REDIRECTS)
_redirects(
    "redirect-file", "redirects to file:///etc/hostname", lambda *_: "file:///etc/hostname", Reason.BAD_SCHEME
)
_redirects(
    "redirect-private",
    "redirects to 169.254.169.254",
    lambda *_: "http://169.254.169.254/latest/meta-data/",
    Reason.PRIVATE_ADDRESS,
    guarded=True,
)
_redirects(
    "redirect-canary",
    "redirects to a loopback port that counts its visitors",
    lambda _, stage: stage.canary_url,
    Reason.PRIVATE_ADDRESS,
    guarded=True,
)


@fault("redirect-many", "fifty redirects, then the picture", Reason.REDIRECTS)
async def _redirect_many(x: Served, stage: FaultStage) -> None:
    hop = int(x.request.query.get("hop", 0)) + 1
    if hop > _REDIRECTS_IN_A_ROW:
        return await send_picture(x, stage)
    await _redirect(x, f"{x.request.path}?hop={hop}")


@fault("redirect-ok", "one relative redirect, then the picture", None)
async def _redirect_ok(x: Served, stage: FaultStage) -> None:
    if "hop" in x.request.query:
        return await send_picture(x, stage)
    await _redirect(x, f"{x.request.path}?hop=1")


# bodies


def _body(
    name: str,
    what: str,
    make: Callable[[bytes], bytes],
    *reasons: Reason | None,
    content_type: str = "image/jpeg",
    encoding: str = "",
    heavy: bool = False,
) -> None:
    fields = [("Content-Encoding", encoding)] if encoding else []

    @fault(name, what, *reasons, heavy=heavy)
    async def play(x: Served, stage: FaultStage) -> None:
        data = make(await stage.picture(x.request.path))
        await x.send(data, content_type=content_type, headers=fields)


_PIXELS, _NOT_IMAGE = Reason.TOO_MANY_PIXELS, Reason.NOT_AN_IMAGE
_body("html", "a page, called image/jpeg", lambda _: _HTML, _NOT_IMAGE)
_body("json", "JSON, called image/jpeg", lambda _: b'{"error": "not available"}', _NOT_IMAGE)
_body("empty", "nothing, called image/jpeg", lambda _: b"", Reason.EMPTY)
_body("svg", "an SVG drawing", lambda _: _SVG, _NOT_IMAGE, content_type="image/svg+xml")
_body("truncated", "60 % of a JPEG, well framed", odd_bytes.truncated, Reason.TRUNCATED)
_body("corrupt", "a JPEG with a broken Huffman table", odd_bytes.corrupt_jpeg, Reason.UNDECODABLE)
_body(
    "pixel-bomb",
    "60,000 x 60,000 pixels in 440 kB of PNG",
    lambda _: odd_bytes.png_of_zeros(60_000, 60_000, rgb=False),
    _PIXELS,
    content_type="image/png",
)
_body(
    "pixel-bomb-small",
    "12,000 x 12,000 pixels in 420 kB of PNG",
    lambda _: odd_bytes.png_of_zeros(12_000, 12_000, rgb=True),
    _PIXELS,
    content_type="image/png",
)
_body(
    "huge-chunk",
    "a PNG of 79 bytes that announces a chunk of 2 GiB",
    lambda _: odd_bytes.png_claiming_a_huge_chunk(),
    Reason.TRUNCATED,
    Reason.UNDECODABLE,
    content_type="image/png",
)
_body("gzip", "the picture, gzipped though not asked for", gzip.compress, None, encoding="gzip")
_body(
    "gzip-twice",
    "the picture, gzipped twice",
    lambda data: gzip.compress(gzip.compress(data)),
    Reason.BOMB,
    encoding="gzip, gzip",
)
_body(
    "gzip-bomb",
    "200 MiB of zeros in 204 kB of gzip",
    lambda _: odd_bytes.gzip_bomb(),
    Reason.BOMB,
    encoding="gzip",
    heavy=True,
)


@fault("truncated-png", "60 % of a PNG, well framed", Reason.TRUNCATED)
async def _truncated_png(x: Served, stage: FaultStage) -> None:
    data = await stage.picture(x.request.path, "png")
    await x.send(odd_bytes.truncated(data), content_type="image/png")


@fault("placeholder", "the same picture whatever was asked for", None)
async def _placeholder(x: Served, stage: FaultStage) -> None:
    await x.send(await stage.picture("placeholder"), content_type="image/jpeg")


# consent


def _opt_out(name: str, what: str, *values: str, reason: Reason | None = Reason.OPTED_OUT) -> None:
    fields = [("X-Robots-Tag", value) for value in values]

    @fault(name, what, reason)
    async def play(x: Served, stage: FaultStage) -> None:
        await send_picture(x, stage, *fields)


_opt_out("optout-noai", "X-Robots-Tag: noai", "noai")
_opt_out("optout-noimageai", "X-Robots-Tag: NoImageAI", "NoImageAI")
_opt_out("optout-noindex", "X-Robots-Tag: noindex", "noindex")
_opt_out("optout-noimageindex", "X-Robots-Tag: noimageindex", "noimageindex")
_opt_out("optout-mixed", "noai beside a rule with a value", "max-image-preview: large, noai")
_opt_out("optout-repeated", "two headers, the second is noai", "max-snippet: 20", "noai")
_opt_out("optout-agent", "X-Robots-Tag: gristmill: noai", "gristmill: noai")
_opt_out("optout-other-agent", "noai for another agent only", "otherbot: noai", reason=None)
