"""What a consumer asks for in consequence of an answer."""

import asyncio
import threading
from dataclasses import replace

import pytest
from crawl_server import QUICK, Visit, serving

from gristmill.crawl import Answer, Crawler, CrawlStopped, run


async def plain(visit: Visit) -> None:
    await visit.answer()


async def slow(visit: Visit) -> None:
    await asyncio.sleep(0.05)
    await visit.answer()


def test_what_is_returned_is_asked_for_until_nothing_more_is() -> None:
    async def main() -> None:
        seen: list[int] = []
        async with serving({}, otherwise=plain) as server, Crawler(replace(QUICK, per_host=2)) as crawler:

            async def chain(index: int, answer: Answer) -> list[tuple[int, str]]:
                assert answer.ok
                seen.append(index)
                return [(index + 1, server.url(f"/{index + 1}"))] if index % 10 < 4 else []

            first = [(start, server.url(f"/{start}")) for start in (0, 10, 20)]
            await crawler.crawl(first, chain)
            assert sorted(seen) == [start + n for start in (0, 10, 20) for n in range(5)]
            assert [n for n in seen if n < 10] == [0, 1, 2, 3, 4]
            assert crawler.in_hand.at_rest

    run(main())


def test_what_cannot_be_asked_for_gets_its_answer_too() -> None:
    async def main() -> None:
        answers: dict[int, Answer] = {}
        async with serving({}, otherwise=plain) as server, Crawler(QUICK) as crawler:

            async def keep(index: int, answer: Answer) -> list[tuple[int, str]]:
                answers[index] = answer
                return [(1, "ftp://127.0.0.1/a"), (2, server.url("/2"))] if index == 0 else []

            await crawler.crawl([(0, server.url("/0"))], keep)
        assert sorted(answers) == [0, 1, 2]
        assert answers[1].reason == "bad_scheme"
        assert answers[2].ok

    run(main())


def test_a_stop_leaves_consequences_unasked_and_counts_them() -> None:
    async def main() -> None:
        stop, seen = threading.Event(), []
        async with serving({}, otherwise=slow) as server, Crawler(QUICK) as crawler:

            async def chain(index: int, answer: Answer) -> list[tuple[int, str]]:
                seen.append(index)
                if len(seen) == 3:
                    stop.set()
                return [(index + 1, server.url(f"/{index + 1}"))]

            with pytest.raises(CrawlStopped) as caught:
                await crawler.crawl([(0, server.url("/0"))], chain, stop=stop, grace_s=0.3)
            assert caught.value.unanswered == 1
            visited = server.visits.total()
            await asyncio.sleep(0.2)
            assert server.visits.total() == visited == len(seen) < 6

    run(main())


def test_an_error_of_the_consumer_is_raised_and_nothing_more_is_asked() -> None:
    async def main() -> None:
        async with serving({}, otherwise=plain) as server, Crawler(QUICK) as crawler:

            async def broken(index: int, answer: Answer) -> list[tuple[int, str]]:
                if index == 2:
                    raise KeyError("a bug")
                return [(index + 1, server.url(f"/{index + 1}"))]

            with pytest.raises(KeyError):
                await crawler.crawl([(0, server.url("/0"))], broken)
            assert server.visits.total() == 3

    run(main())
