"""What a server may do to us, as routes of :class:`crawl_server.FaultServer`, and how to ask one."""

import asyncio
from dataclasses import replace

from crawl_server import BODY, QUICK, FaultServer, Route, Visit, serving

from gristmill.crawl import Answer, Crawler, CrawlSettings

PATIENT = replace(QUICK, total_s=10.0, connect_s=5.0, stall_s=2.0, min_rate_window_s=1.5)


async def ask(route: Route, settings: CrawlSettings = QUICK) -> tuple[Answer, FaultServer]:
    async with serving({"/x": route}) as server, Crawler(settings) as crawler:
        answer = await crawler.fetch(server.url("/x"))
        assert crawler.in_hand.at_rest
        return answer, server


def raw(*parts: bytes, pause_s: float = 0.0, close: bool = True) -> Route:
    async def route(visit: Visit) -> None:
        for part in parts:
            await visit.send(part)
            await asyncio.sleep(pause_s)
        if close:
            visit.hang_up()

    return route


def head(*lines: str) -> bytes:
    return "\r\n".join(("HTTP/1.1 200 OK", *lines, "", "")).encode("latin-1")


def sized(body: bytes, *lines: str) -> bytes:
    return head(f"Content-Length: {len(body)}", *lines) + body


async def silent(visit: Visit) -> None:
    await asyncio.sleep(30)


async def silent_in_body(visit: Visit) -> None:
    await visit.send(head("Content-Length: 100") + b"abc")
    await asyncio.sleep(30)


async def drip_head(visit: Visit) -> None:
    for byte in sized(BODY):
        await visit.send(bytes([byte]))
        await asyncio.sleep(0.05)


async def drip_body(visit: Visit) -> None:
    await visit.send(head("Content-Length: 5000"))
    for _ in range(5000):
        await visit.send(b"x")
        await asyncio.sleep(0.05)


async def too_long_for_the_deadline(visit: Visit) -> None:
    await visit.send(head("Content-Length: 1000000"))
    for _ in range(100):
        await visit.send(b"x" * 2000)
        await asyncio.sleep(0.1)


async def endless(visit: Visit) -> None:
    await visit.send(head())
    while True:
        await visit.send(b"\0" * 65536)


async def endless_chunks(visit: Visit) -> None:
    await visit.send(head("Transfer-Encoding: chunked"))
    while True:
        await visit.send(b"10000\r\n" + b"\0" * 65536 + b"\r\n")


async def endless_informational(visit: Visit) -> None:
    while True:
        await visit.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await asyncio.sleep(0.01)


async def reset(visit: Visit) -> None:
    visit.reset()


async def reset_in_body(visit: Visit) -> None:
    await visit.send(head("Content-Length: 100") + b"abc")
    await asyncio.sleep(0.02)
    visit.reset()
