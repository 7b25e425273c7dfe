"""Hosts that stall, refuse or are overloaded cost their own URLs, and little of anybody's time."""

import asyncio
import time
from dataclasses import replace

import pytest
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
        unasked = [answer for answer in sink.answers.values() if "not asked: the host has" in answer.detail]
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
                assert crawler.in_hand.at_rest
            assert dead.busy_peak == 40
            # Four places; where the machine is busy, an answer that took 0.1 s gave way, too.
            assert alive.busy_peak < 20
        assert sink.reasons == {Reason.STALLED: 40, None: 40}
        assert set(sink.order[:40]) == set(range(40, 80))

    run(main())


def test_how_many_slow_ones_may_wait_is_bounded() -> None:
    async def main() -> None:
        settings = replace(QUICK, in_flight=3, in_flight_slow=5, slow_after_s=0.05, stall_s=0.8, tries=1)
        sink = Sink()
        async with serving(otherwise=silent) as dead:
            async with Crawler(settings, resolver=loopback(settings)) as crawler:
                requests = ((i, f"http://dead{i}.example:{dead.port}/") for i in range(20))
                crawl = asyncio.create_task(crawler.crawl(requests, sink))
                peak = 0
                while not crawl.done():
                    await asyncio.sleep(0.01)
                    peak = max(peak, crawler.in_hand.asking + crawler.in_hand.waiting)
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
            assert crawler.in_hand.held_bytes == 0
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


SOON = replace(QUICK, host_patience_s=0.1, total_s=5.0, min_rate_window_s=0.3)
"""A host that answers nothing is given up after one time-out of 0.3 s and 0.6 s that its others have waited."""


async def drip(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n")
    for _ in range(400):
        await visit.send(b"x")
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("page", [silent, drip])
def test_requests_of_a_silent_host_stand_for_one_another(page) -> None:
    async def main() -> None:
        sink = Sink()
        async with serving(otherwise=page) as server, Crawler(SOON) as crawler:
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(60)), sink)
            assert server.visits.total() == SOON.per_host
            assert (crawler.silent, crawler.in_hand.watched) == (0, 0)
        assert sink.reasons == {Reason.STALLED: 60}
        assert {answer.tries for answer in sink.answers.values()} == {0, 1}
        details = [answer.detail for answer in sink.answers.values()]
        assert sum("not asked: the host has answered nothing" in detail for detail in details) == 54

    run(main())


def test_what_waits_for_a_host_that_is_given_up_waits_no_longer() -> None:
    async def main() -> None:
        settings = replace(SOON, stall_s=1.0)
        sink = Sink()
        async with serving(otherwise=silent) as server, Crawler(settings) as crawler:
            first = asyncio.create_task(crawler.crawl(((i, server.url(f"/{i}")) for i in range(4)), sink))
            await asyncio.sleep(0.5)
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(4, 6)), sink)
            await first
        assert sink.reasons == {Reason.STALLED: 6}
        for late in (4, 5):
            assert "when the host was given up" in sink.answers[late].detail
            assert sink.answers[late].elapsed_s < 0.9

    run(main())


def test_a_single_url_of_a_silent_host_is_asked_twice_and_the_second_time_longer() -> None:
    async def main() -> None:
        async with serving(otherwise=silent) as server, Crawler(SOON) as crawler:
            answer = await crawler.fetch(server.url("/"))
            assert server.visits.total() == 2
        assert (answer.reason, answer.tries) == (Reason.STALLED, 2)
        assert answer.elapsed_s > 0.85

    run(main())


def test_a_host_that_is_slower_than_the_limit_is_found_alive_by_its_second_try() -> None:
    async def late(visit: Visit) -> None:
        await asyncio.sleep(0.45)
        await visit.answer()

    async def main() -> None:
        async with serving(otherwise=late) as server, Crawler(replace(SOON, stall_s=0.35)) as crawler:
            answer = await crawler.fetch(server.url("/"))
        assert (answer.reason, answer.tries) == (None, 2)

    run(main())


def test_a_slow_but_living_host_keeps_all_its_pictures() -> None:
    async def at_times_late(visit: Visit) -> None:
        await asyncio.sleep(0.2 if int(visit.path[1:]) % 2 else 0.6)
        await visit.answer()

    async def main() -> None:
        settings = replace(SOON, stall_s=0.4)
        sink = Sink()
        async with serving(otherwise=at_times_late) as server, Crawler(settings) as crawler:
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(40)), sink)
        assert sink.reasons == {None: 40}

    run(main())


def test_a_living_host_gets_all_tries_for_what_stalls_and_keeps_the_rest() -> None:
    async def at_times_silent(visit: Visit) -> None:
        await (silent(visit) if int(visit.path[1:]) % 5 == 3 else good(visit))

    async def main() -> None:
        sink = Sink()
        settings = replace(SOON, host_patience_s=5.0)
        async with serving(otherwise=at_times_silent) as server, Crawler(settings) as crawler:
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(25)), sink)
        assert sink.reasons == {None: 20, Reason.STALLED: 5}
        assert {sink.answers[i].tries for i in range(3, 25, 5)} == {3}

    run(main())


def test_a_long_answer_under_way_is_a_sign_of_life() -> None:
    async def long_or_none(visit: Visit) -> None:
        if visit.path != "/0":
            await silent(visit)
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n")
        for _ in range(30):
            await visit.send(b"x" * 1000)
            await asyncio.sleep(0.03)

    async def main() -> None:
        sink = Sink()
        settings = replace(SOON, host_failures=50)
        async with serving(otherwise=long_or_none) as server, Crawler(settings) as crawler:
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(6)), sink)
        assert sink.reasons == {None: 1, Reason.STALLED: 5}
        assert {sink.answers[i].tries for i in range(1, 6)} == {3}

    run(main())


def test_silence_while_our_own_network_is_down_is_forgiven(monkeypatch) -> None:
    down = False
    probes = 0

    async def route(visit: Visit) -> None:
        await (silent(visit) if down else good(visit))

    async def reaches(*_: object) -> bool:
        nonlocal down, probes
        probes += down
        down = down and probes < 3
        return not down

    monkeypatch.setattr("gristmill.crawl.probe.Probe.reaches_a_witness", reaches)

    async def main() -> None:
        nonlocal down
        settings = replace(SOON, breaker_hosts=4, breaker_patience_s=2.0)
        sink = Sink()
        async with (
            serving(otherwise=route) as server,
            Crawler(settings, resolver=loopback(settings)) as crawler,
        ):
            await crawler.crawl([(0, f"http://h.example:{server.port}/")], sink)
            down = True
            urls = [f"http://h{i % 8}.example:{server.port}/{i}" for i in range(80)]
            await crawler.crawl(enumerate(urls, 1), sink)
        assert probes == 3
        assert sink.reasons == {None: 81}

    run(main())


def test_a_host_is_given_up_as_soon_as_its_requests_have_waited_long_enough_together() -> None:
    async def main() -> None:
        settings = replace(SOON, stall_s=1.0, host_stalls=2)
        sink = Sink()
        async with serving(otherwise=silent) as server, Crawler(settings) as crawler:
            first = asyncio.create_task(crawler.crawl([(0, server.url("/0"))], sink))
            await asyncio.sleep(0.6)
            await crawler.crawl([(1, server.url("/1"))], sink)
            await first
        # one second, and half a second of the other; then half a second of both together, at about 1.3 s
        assert "when the host was given up" in sink.answers[1].detail
        assert sink.answers[1].elapsed_s < 0.95

    run(main())
