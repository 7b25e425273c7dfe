"""Faults of the server and of the connection: statuses, silence, resets, framing."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from http import HTTPStatus

from gristmill.spec.reasons import Reason
from gristmill.testing import odd_bytes
from gristmill.testing.faults.base import FaultStage, fault, send_picture
from gristmill.testing.serving import Served, head

_HUGE_HEADER_BYTES = 200_000
_ONE_DAY_AGO_S = 86_400
_LENGTH = "Content-Length"
_SORRY = b"<!doctype html><title>Sorry</title><p>Not today."


# statuses


def _status(name: str, status: int, what: str, *reasons: Reason | None, **headers: str) -> None:
    fields = [(field.replace("_", "-"), value) for field, value in headers.items()]

    @fault(name, what, *reasons, host_wide=status == HTTPStatus.TOO_MANY_REQUESTS)
    async def play(x: Served, stage: FaultStage) -> None:
        await x.send(_SORRY, status=status, content_type="text/html", headers=fields)


_status("404", 404, "not found", Reason.HTTP_404)
_status("410", 410, "gone", Reason.HTTP_410)
_status("403", 403, "forbidden", Reason.HTTP_403)
_status("451", 451, "withheld for legal reasons", Reason.HTTP_451)
_status("400", 400, "bad request, for ever", Reason.HTTP_4XX)
_status("429", 429, "too many requests, for ever, without Retry-After", Reason.HTTP_429)
_status("429-after-ages", 429, "Retry-After: 1000000000", Reason.HTTP_429, Retry_After="1000000000")
_status("500", 500, "server error, for ever", Reason.HTTP_5XX)


@fault("429-after-1", "429 with Retry-After: 1, then the picture", None, host_wide=True)
async def _429_after_1(x: Served, stage: FaultStage) -> None:
    if x.request.nth > 1:
        return await send_picture(x, stage)
    await x.send(_SORRY, status=429, content_type="text/html", headers=[("Retry-After", "1")])


@fault(
    "503-after-date",
    "503 with Retry-After as a date one second ahead, then the picture",
    None,
    host_wide=True,
)
async def _503_after_date(x: Served, stage: FaultStage) -> None:
    if x.request.nth > 1:
        return await send_picture(x, stage)
    when = formatdate(time.time() + 1, usegmt=True)
    await x.send(_SORRY, status=503, content_type="text/html", headers=[("Retry-After", when)])


@fault(
    "503-after-past", "503 with Retry-After as a date of yesterday, then the picture", None, host_wide=True
)
async def _503_after_past(x: Served, stage: FaultStage) -> None:
    if x.request.nth > 1:
        return await send_picture(x, stage)
    when = formatdate(time.time() - _ONE_DAY_AGO_S, usegmt=True)
    await x.send(_SORRY, status=503, content_type="text/html", headers=[("Retry-After", when)])


@fault("5xx-heals", "502, then 500, then the picture", None)
async def _5xx_heals(x: Served, stage: FaultStage) -> None:
    if x.request.nth > 2:
        return await send_picture(x, stage)
    await x.send(_SORRY, status=(502, 500)[x.request.nth - 1], content_type="text/html")


# the connection


@fault("reset", "the connection is reset before the answer", Reason.RESET)
async def _reset(x: Served, stage: FaultStage) -> None:
    x.reset()


@fault("reset-mid", "the connection is reset in the middle of the body", Reason.RESET, Reason.SHORT_BODY)
async def _reset_mid(x: Served, stage: FaultStage) -> None:
    await _half(x, stage)
    await asyncio.sleep(0.02)  # or the client's kernel drops the half that it has not read
    x.reset()


async def _half(x: Served, stage: FaultStage) -> None:
    """Half the picture, announced whole."""
    data = await stage.picture(x.request.path)
    fields = [("Content-Type", "image/jpeg"), (_LENGTH, str(len(data)))]
    await x.raw(head(200, fields) + odd_bytes.truncated(data, 0.5))


@fault("stall", "accepts, and never answers", Reason.STALLED, Reason.DEADLINE, waits=True)
async def _stall(x: Served, stage: FaultStage) -> None:
    await x.hold()


@fault("stall-mid", "half the body, then silence", Reason.STALLED, Reason.DEADLINE, waits=True)
async def _stall_mid(x: Served, stage: FaultStage) -> None:
    await _half(x, stage)
    await x.hold()


@fault("drip", "the body at one byte a second", Reason.DEADLINE, Reason.STALLED, waits=True)
async def _drip(x: Served, stage: FaultStage) -> None:
    data = await stage.picture(x.request.path)
    await x.raw(head(200, [("Content-Type", "image/jpeg"), (_LENGTH, str(len(data)))]))
    await _slowly(x, data, stage.drip_interval_s)


@fault("drip-headers", "the header at one byte a second", Reason.DEADLINE, Reason.STALLED, waits=True)
async def _drip_headers(x: Served, stage: FaultStage) -> None:
    data = await stage.picture(x.request.path)
    fields = [("Content-Type", "image/jpeg"), (_LENGTH, str(len(data)))]
    await _slowly(x, head(200, fields), stage.drip_interval_s)
    await x.raw(data)


async def _slowly(x: Served, data: bytes, interval_s: float) -> None:
    for position in range(len(data)):
        await x.raw(data[position : position + 1])
        await asyncio.sleep(interval_s)


@fault("endless", "a body without length or end", Reason.TOO_LARGE, heavy=True)
async def _endless(x: Served, stage: FaultStage) -> None:
    await x.raw(head(200, [("Content-Type", "image/jpeg")]) + await stage.picture(x.request.path))
    while True:
        await x.raw(bytes(1 << 16))


# framing


@fault("short-body", "half the body that was announced, then closed", Reason.SHORT_BODY, Reason.RESET)
async def _short_body(x: Served, stage: FaultStage) -> None:
    await _half(x, stage)
    x.hang_up()


@fault("long-length", "all of the picture, but 1,000 bytes more announced", Reason.SHORT_BODY, Reason.RESET)
async def _long_length(x: Served, stage: FaultStage) -> None:
    data = await stage.picture(x.request.path)
    await x.raw(head(200, [("Content-Type", "image/jpeg"), (_LENGTH, str(len(data) + 1000))]) + data)
    x.hang_up()


@fault(
    "short-length",
    "twice as many bytes as were announced",
    Reason.TRUNCATED,
    Reason.BAD_HTTP,
    Reason.UNDECODABLE,
)
async def _short_length(x: Served, stage: FaultStage) -> None:
    data = await stage.picture(x.request.path)
    await x.raw(head(200, [("Content-Type", "image/jpeg"), (_LENGTH, str(len(data) // 2))]) + data)
    x.hang_up()


def _lengths(name: str, what: str, *fields: tuple[str, str]) -> None:
    @fault(name, what, Reason.BAD_HTTP)
    async def play(x: Served, stage: FaultStage) -> None:
        data = await stage.picture(x.request.path)
        said = [(field, value.format(size=len(data), more=len(data) + 7)) for field, value in fields]
        await x.raw(head(200, [("Content-Type", "image/jpeg"), *said]) + data)
        x.hang_up()


_lengths("negative-length", "Content-Length: -1", (_LENGTH, "-1"))
_lengths("two-lengths", "two lengths that differ", (_LENGTH, "{size}"), (_LENGTH, "{more}"))


@fault("te-cl", "a length and chunks at once (RFC 9112, 6.3: close, never reuse)", Reason.BAD_HTTP)
async def _te_cl(x: Served, stage: FaultStage) -> None:
    data = await stage.picture(x.request.path)
    fields = [("Content-Type", "image/jpeg"), (_LENGTH, "7"), ("Transfer-Encoding", "chunked")]
    await x.raw(head(200, fields) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))
    x.hang_up()


@fault("bad-chunk", "a chunk whose size is no number", Reason.SHORT_BODY, Reason.BAD_HTTP)
async def _bad_chunk(x: Served, stage: FaultStage) -> None:
    data = await stage.picture(x.request.path)
    await _chunks(x, b"400\r\n%b\r\nzz\r\n%b\r\n0\r\n\r\n" % (data[:1024], data[1024:]))


@fault("cut-chunk", "a chunk that ends early, then closed", Reason.SHORT_BODY, Reason.RESET)
async def _cut_chunk(x: Served, stage: FaultStage) -> None:
    data = await stage.picture(x.request.path)
    await _chunks(x, b"%x\r\n%b" % (len(data), data[: len(data) // 2]))


async def _chunks(x: Served, wire: bytes) -> None:
    await x.raw(head(200, [("Content-Type", "image/jpeg"), ("Transfer-Encoding", "chunked")]) + wire)
    x.hang_up()


@fault("big-header", "a header of 200 kB", Reason.BAD_HTTP)
async def _big_header(x: Served, stage: FaultStage) -> None:
    await send_picture(x, stage, ("X-Padding", "x" * _HUGE_HEADER_BYTES))
    x.hang_up()
