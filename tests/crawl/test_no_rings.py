"""What belongs to a request is freed with it, without the garbage collector: that comes by only now and then."""

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import aiohttp
import pytest
from crawl_server import QUICK, FaultServer, Route, Visit, serving

from gristmill.crawl import Answer, Crawler, Resolver, run
from gristmill.crawl.budget import Hold
from gristmill.crawl.client import Exchange
from gristmill.crawl.watch import Attempt
from gristmill.crawl.work import Batch, Item, Place

OF_A_REQUEST = (Answer, Attempt, Batch, Exchange, Hold, Item, Place, aiohttp.ClientResponse)
REQUESTS = 4


async def good(visit: Visit) -> None:
    await visit.answer()


async def gone(visit: Visit) -> None:
    await visit.answer("404 Not Found", b"nothing")


async def redirects(visit: Visit) -> None:
    await visit.redirect("/good")


async def to_itself(visit: Visit) -> None:
    await visit.redirect(visit.path)


async def busy(visit: Visit) -> None:
    await visit.answer("503 Service Unavailable", b"")


async def resets(visit: Visit) -> None:
    visit.reset()


async def stalls(visit: Visit) -> None:
    await asyncio.sleep(30)


async def breaks_off(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nabc")
    visit.hang_up()


async def stalls_in_the_body(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nabc")
    await asyncio.sleep(30)


async def damaged(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc")
    visit.hang_up()


async def is_no_http(visit: Visit) -> None:
    await visit.send(b"hello\r\n\r\n")
    visit.hang_up()


async def not_for_us(visit: Visit) -> None:
    await visit.answer("200 OK", b"x", "X-Robots-Tag: noai")


async def too_large(visit: Visit) -> None:
    await visit.answer("200 OK", b"x" * (2 << 20))


ROUTES: dict[str, Route] = {
    f"/{route.__name__}": route
    for route in (
        good,
        gone,
        redirects,
        to_itself,
        busy,
        resets,
        stalls,
        breaks_off,
        stalls_in_the_body,
        damaged,
        is_no_http,
        not_for_us,
        too_large,
    )
}


@contextmanager
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def left() -> Counter[str]:
    return Counter(type(one).__name__ for one in gc.get_objects() if isinstance(one, OF_A_REQUEST))


async def crawl(server: FaultServer, crawler: Crawler, urls: list[str]) -> int:
    count = 0

    async def consume(number: int, answer: Answer) -> None:
        nonlocal count
        count += 1

    await crawler.crawl(enumerate(urls), consume)
    return count


@pytest.mark.parametrize("path", [*ROUTES, "/refused", "/nowhere"])
def test_nothing_of_a_request_outlives_it(path):
    settings = replace(QUICK, host_failures=0, breaker_hosts=0, tries=2, slow_after_s=0.05)

    async def main() -> Counter[str]:
        resolver = Resolver(settings, lookup=lambda host: [] if host == "nowhere" else ["127.0.0.1"])
        async with serving(ROUTES) as server, Crawler(settings, resolver=resolver) as crawler:
            base = {"/refused": "http://127.0.0.1:9", "/nowhere": "http://nowhere"}.get(path, server.url(""))
            urls = [f"{base}{path}?{number}" for number in range(REQUESTS)]
            assert await crawl(server, crawler, urls) == REQUESTS
        await asyncio.sleep(0)  # the last task's callbacks
        return left()

    with without_collector():
        assert not run(main())
