"""How full a crawler says that it is."""

import asyncio
from dataclasses import replace

from crawl_server import QUICK, Visit, serving

from gristmill.crawl import Answer, Crawler, Resolver, run

SETTINGS = replace(QUICK, in_flight=20, per_host=2)


async def good(visit: Visit) -> None:
    await asyncio.sleep(0.005)
    await visit.answer()


def fills(urls_of, settings=SETTINGS, consume_s: float = 0.0) -> list[float]:
    """What it says each time that an answer is consumed, but for the tail of the list."""
    seen: list[float] = []

    async def main() -> None:
        resolver = Resolver(settings, lookup=lambda host: ["127.0.0.1"])
        async with serving(otherwise=good) as server, Crawler(settings, resolver=resolver) as crawler:

            async def consume(number: int, answer: Answer) -> None:
                await asyncio.sleep(consume_s)
                seen.append(crawler.fill)

            assert crawler.fill == 1  # nothing is known yet
            await crawler.crawl(enumerate(urls_of(server)), consume)
            assert crawler.fill == 0

    run(main())
    return seen[2 : len(seen) // 2]


def test_one_hosts_urls_fill_no_more_than_its_connections():
    seen = fills(lambda server: [server.url(f"/{n}") for n in range(100)])
    assert max(seen) <= 0.25


def test_many_hosts_urls_fill_it():
    seen = fills(lambda server: [f"http://h{n}.example:{server.port}/" for n in range(100)])
    assert min(seen) > 0.8


def test_answers_that_wait_for_a_slow_consumer_count():
    seen = fills(lambda server: [server.url(f"/{n}") for n in range(300)], consume_s=1.0)
    assert seen[20:]
    assert min(seen[20:]) > 0.5


def test_it_is_full_where_memory_is_the_limit():
    settings = replace(SETTINGS, bytes_in_memory=1)
    seen = fills(lambda server: [f"http://h{n}.example:{server.port}/" for n in range(40)], settings)
    assert set(seen) == {1.0}
