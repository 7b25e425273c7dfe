import asyncio
import threading
import time
from dataclasses import replace

import pytest
from crawl_server import QUICK, Visit, serving

from gristmill.crawl import Answer, Crawler, CrawlStopped, run


async def slow(visit: Visit) -> None:
    await asyncio.sleep(0.05)
    await visit.answer()


async def very_slow(visit: Visit) -> None:
    await asyncio.sleep(20)


def test_stop_ends_soon_and_what_was_consumed_was_consumed_once() -> None:
    async def main() -> None:
        stop = threading.Event()
        seen: list[int] = []

        async def keep(index: int, answer: Answer) -> None:
            assert answer.ok
            seen.append(index)
            if len(seen) == 10:
                stop.set()

        settings = replace(QUICK, per_host=4, total_s=9.0, stall_s=9.0)
        routes = {"/hang": very_slow}
        async with serving(routes, otherwise=slow) as server, Crawler(settings) as crawler:
            urls = [server.url("/hang"), *(server.url(f"/{i}") for i in range(120))]
            began_s = time.monotonic()
            with pytest.raises(CrawlStopped) as caught:
                await crawler.crawl(enumerate(urls), keep, stop=stop, grace_s=0.3)
            assert time.monotonic() - began_s < 8
            assert len(seen) == len(set(seen)) < 40
            assert caught.value.unanswered == 121 - len(seen)
            assert crawler.in_hand.at_rest
            visited = server.visits.total()
            await asyncio.sleep(0.2)
            assert server.visits.total() == visited
            stop.clear()
            rest = [(i, url) for i, url in enumerate(urls) if i not in seen and i != 0]
            await crawler.crawl(rest, keep)
            assert sorted(seen) == list(range(1, 121))

    run(main())


def test_stop_set_before_anything_was_begun() -> None:
    async def main() -> None:
        stop = threading.Event()
        stop.set()

        async def keep(index: int, answer: Answer) -> None: ...

        async with serving(otherwise=very_slow) as server, Crawler(QUICK) as crawler:
            with pytest.raises(CrawlStopped):
                await crawler.crawl([(0, server.url("/"))], keep, stop=stop, grace_s=0.3)
            assert server.visits.total() == 0

    run(main())


def test_stop_while_a_host_is_paused_and_others_back_off() -> None:
    async def main() -> None:
        async def later(visit: Visit) -> None:
            await visit.answer("429 Slow down", b"", "Retry-After: 30")

        async def keep(index: int, answer: Answer) -> None: ...

        stop = threading.Event()
        async with serving(otherwise=later) as server, Crawler(QUICK) as crawler:
            asyncio.get_running_loop().call_later(0.1, stop.set)
            with pytest.raises(CrawlStopped) as caught:
                await crawler.crawl(
                    ((i, server.url(f"/{i}")) for i in range(20)), keep, stop=stop, grace_s=0.3
                )
            assert caught.value.unanswered == 20

    run(main())


def test_what_the_consumer_raises_ends_the_crawl() -> None:
    async def main() -> None:
        async def broken(index: int, answer: Answer) -> None:
            raise LookupError(str(index))

        async with serving(otherwise=slow) as server, Crawler(QUICK) as crawler:
            with pytest.raises(LookupError):
                await crawler.crawl(((i, server.url(f"/{i}")) for i in range(100)), broken)
            assert crawler.in_hand.at_rest
            assert (await crawler.fetch(server.url("/"))).ok

    run(main())


def test_what_the_consumer_raises_is_not_hidden_by_a_stop() -> None:
    async def main() -> None:
        stop = threading.Event()

        async def broken(index: int, answer: Answer) -> None:
            stop.set()
            await asyncio.sleep(0.25)
            raise LookupError(str(index))

        async with serving(otherwise=slow) as server, Crawler(QUICK) as crawler:
            with pytest.raises(LookupError):
                await crawler.crawl(
                    ((i, server.url(f"/{i}")) for i in range(20)), broken, stop=stop, grace_s=2.0
                )

    run(main())


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.2])
def test_cancelling_a_crawl_leaves_nothing_behind(delay_s: float) -> None:
    async def main() -> None:
        async def keep(index: int, answer: Answer) -> None: ...

        async with serving(otherwise=slow) as server, Crawler(QUICK) as crawler:
            crawling = asyncio.create_task(
                crawler.crawl(((i, server.url(f"/{i}")) for i in range(100)), keep)
            )
            await asyncio.sleep(delay_s)
            crawling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await crawling
            assert crawler.in_hand.at_rest
            assert (await crawler.fetch(server.url("/"))).ok

    run(main())


def test_crawls_at_once_share_the_limits() -> None:
    async def main() -> None:
        counts = [0, 0, 0]

        async with serving(otherwise=slow) as server, Crawler(replace(QUICK, per_host=3)) as crawler:

            async def one(number: int) -> None:
                async def keep(index: int, answer: Answer) -> None:
                    counts[number] += answer.ok

                await crawler.crawl(((i, server.url(f"/{number}/{i}")) for i in range(20)), keep)

            await asyncio.gather(*map(one, range(3)))
            assert counts == [20, 20, 20]
            assert server.busy_peak == 3

    run(main())


def test_nothing_to_do() -> None:
    async def main() -> None:
        async def keep(index: int, answer: Answer) -> None:
            raise AssertionError

        async with Crawler(QUICK) as crawler:
            await crawler.crawl([], keep)

    run(main())
