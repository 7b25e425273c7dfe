"""Hosts that stall, refuse or are overloaded cost their own URLs, and little of anybody's time."""

import asyncio
import time
from dataclasses import replace

from crawl_server import QUICK, Visit, serving
from test_politeness import Sink, good

from gristmill.crawl import Crawler, Resolver, run
from gristmill.spec.reasons import Reason

IMPATIENT = replace(QUICK, host_patience_s=0.3, host_memory_s=1.0, host_failures=6)


def loopback(settings=QUICK) -> Resolver:
    return Resolver(settings, lookup=lambda host: ["127.0.0.1"])


async def silent(visit: Visit) -> None:
    await asyncio.sleep(30)


def test_a_dead_host_is_given_up_after_a_few_requests() -> None:
    async def main() -> None:
        sink = Sink()
        async with serving(otherwise=silent) as dead, serving(otherwise=good) as alive:
            async with Crawler(IMPATIENT) as crawler:
                urls = [dead.url(f"/{i}") for i in range(500)] + [alive.url(f"/{i}") for i in range(50)]
                await crawler.crawl(enumerate(urls), sink)
            assert dead.visits.total() <= 12
        assert sink.reasons == {Reason.STALLED: 500, None: 50}
        unasked = [
            answer for answer in sink.answers.values() if "not asked: the host failed" in answer.detail
        ]
        assert len(unasked) >= 488
        assert sink.answers[499].tries == 0

    began_s = time.monotonic()
    run(main())
    assert time.monotonic() - began_s < 25


def test_a_host_that_refuses_is_asked_with_growing_pauses_and_then_given_up() -> None:
    async def main() -> None:
        async with serving() as server:
            refused = server.url("/")
        sink = Sink()
        async with Crawler(IMPATIENT) as crawler:
            await crawler.crawl(((i, refused + str(i)) for i in range(300)), sink)
        assert sink.reasons == {Reason.CONNECT_FAILED: 300}
        assert sum(answer.tries for answer in sink.answers.values()) <= 40

    run(main())


def test_a_host_that_was_given_up_is_tried_again_later_and_may_recover() -> None:
    async def main() -> None:
        well = False

        async def route(visit: Visit) -> None:
            await (visit.answer() if well else silent(visit))

        async with serving(otherwise=route) as server, Crawler(IMPATIENT) as crawler:
            sink = Sink()
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(50)), sink)
            assert sink.reasons == {Reason.STALLED: 50}
            asked = server.visits.total()
            assert (await crawler.fetch(server.url("/soon"))).tries == 0
            assert server.visits.total() == asked
            well = True
            await asyncio.sleep(1.1)
            sink = Sink()
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(50)), sink)
            assert sink.reasons == {None: 50}

    run(main())


def test_slow_hosts_give_way_to_others() -> None:
    async def main() -> None:
        settings = replace(QUICK, in_flight=4, slow_after_s=0.1, stall_s=1.5, total_s=3.0, tries=1)
        sink = Sink()
        async with serving(otherwise=silent) as dead, serving(otherwise=good) as alive:
            async with Crawler(settings, resolver=loopback(settings)) as crawler:
                urls = [f"http://dead{i}.example:{dead.port}/" for i in range(40)]
                urls += [f"http://good{i}.example:{alive.port}/" for i in range(40)]
                await crawler.crawl(enumerate(urls), sink)
                assert (crawler._flying, crawler._waiting, crawler._budget.used_bytes) == (0, 0, 0)
            assert dead.busy_peak == 40
            assert alive.busy_peak <= 4
        assert sink.reasons == {Reason.STALLED: 40, None: 40}
        assert set(sink.order[:40]) == set(range(40, 80))

    run(main())


def test_how_many_slow_ones_may_wait_is_bounded() -> None:
    async def main() -> None:
        settings = replace(
            QUICK, in_flight=3, in_flight_slow=5, slow_after_s=0.05, stall_s=0.4, connect_s=0.1, tries=1
        )
        sink = Sink()
        async with serving(otherwise=silent) as dead:
            async with Crawler(settings, resolver=loopback(settings)) as crawler:
                requests = ((i, f"http://dead{i}.example:{dead.port}/") for i in range(20))
                crawl = asyncio.create_task(crawler.crawl(requests, sink))
                peak = 0
                while not crawl.done():
                    await asyncio.sleep(0.01)
                    peak = max(peak, crawler._flying + crawler._waiting)
                await crawl
            assert peak == 8
        assert sink.reasons == {Reason.STALLED: 20}

    run(main())


def test_a_dripping_body_gives_way_and_its_bytes_are_still_counted() -> None:
    async def main() -> None:
        settings = replace(
            QUICK, in_flight=1, slow_after_s=0.1, bytes_in_memory=10_000_000, min_rate_bytes_s=1, tries=1
        )

        async def drip(visit: Visit) -> None:
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n")
            for _ in range(40):
                await visit.send(b"x" * 10)
                await asyncio.sleep(0.01)

        sink = Sink()
        async with (
            serving(otherwise=drip) as slow,
            serving(otherwise=good) as alive,
            Crawler(settings) as crawler,
        ):
            await crawler.crawl(enumerate([slow.url("/"), alive.url("/1"), alive.url("/2")]), sink)
            assert crawler._budget.used_bytes == 0
        assert sink.reasons == {None: 3}
        assert sink.order == [1, 2, 0]
        assert sink.answers[0].body == b"x" * 400

    run(main())


def test_an_overloaded_host_is_asked_less_at_once_until_it_can_follow() -> None:
    async def main() -> None:
        refused = 0

        async def two_at_once(visit: Visit) -> None:
            nonlocal refused
            if visit.server.busy_now > 2:
                refused += 1
                await visit.answer("503 Busy", b"")
            else:
                await asyncio.sleep(0.01)
                await visit.answer()

        sink = Sink()
        settings = replace(QUICK, per_host=16, tries=5)
        async with serving(otherwise=two_at_once) as server, Crawler(settings) as crawler:
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(300)), sink)
        assert sink.reasons[None] >= 295
        assert refused < 100

    run(main())
