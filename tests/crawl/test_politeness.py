import asyncio
import random
import time
from collections import Counter
from dataclasses import replace
from email.utils import formatdate
from itertools import pairwise

import pytest
from crawl_server import BODY, QUICK, Visit, serving

from gristmill.crawl import Answer, Crawler, Resolver, run
from gristmill.spec.reasons import Reason


async def good(visit: Visit) -> None:
    await asyncio.sleep(0.005)
    await visit.answer()


class Sink:
    """Keeps answers; every URL may come once."""

    def __init__(self) -> None:
        self.answers: dict[int, Answer] = {}
        self.order: list[int] = []

    async def __call__(self, index: int, answer: Answer) -> None:
        assert index not in self.answers
        self.answers[index] = answer
        self.order.append(index)

    @property
    def reasons(self) -> Counter[Reason | None]:
        return Counter(answer.reason for answer in self.answers.values())


def test_one_host_never_sees_more_than_its_connections() -> None:
    async def main() -> None:
        sink = Sink()
        async with serving(otherwise=good) as server, Crawler(replace(QUICK, per_host=3)) as crawler:
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(200)), sink)
            assert sink.reasons == {None: 200}
            assert server.busy_peak == 3
            assert server.open_peak == 3

    run(main())


def test_the_limit_also_holds_for_the_host_that_others_redirect_to() -> None:
    async def main() -> None:
        sink = Sink()
        async with serving(otherwise=good) as landing:

            async def redirect(visit: Visit) -> None:
                await visit.redirect(f"http://landing.example:{landing.port}{visit.path}")

            async with serving(otherwise=redirect) as server:
                resolver = Resolver(QUICK, lookup=lambda host: ["127.0.0.1"])
                async with Crawler(replace(QUICK, per_host=2), resolver=resolver) as crawler:
                    urls = [f"http://h{i}.example:{server.port}/{i}" for i in range(60)]
                    await crawler.crawl(enumerate(urls), sink)
            assert sink.reasons == {None: 60}
            assert landing.busy_peak == 2
            assert landing.connections < 20

    run(main())


def test_in_flight_is_bounded_over_all_hosts() -> None:
    async def main() -> None:
        resolver = Resolver(QUICK, lookup=lambda host: ["127.0.0.1"])
        async with serving(otherwise=good) as server:
            async with Crawler(replace(QUICK, in_flight=7), resolver=resolver) as crawler:
                urls = [f"http://h{i}.example:{server.port}/" for i in range(60)]
                await crawler.crawl(enumerate(urls), Sink())
            assert server.busy_peak == 7

    run(main())


def test_a_host_with_many_urls_starves_nobody() -> None:
    async def main() -> None:
        resolver = Resolver(QUICK, lookup=lambda host: ["127.0.0.1"])
        sink = Sink()
        async with (
            serving(otherwise=good) as server,
            Crawler(replace(QUICK, in_flight=12, per_host=4), resolver=resolver) as crawler,
        ):
            big = [f"http://big.example:{server.port}/{i}" for i in range(400)]
            small = [f"http://small{i}.example:{server.port}/" for i in range(30)]
            await crawler.crawl(enumerate(big + small), sink)
        assert len(sink.order) == 430
        assert max(sink.order.index(i) for i in range(400, 430)) < 100

    run(main())


def after(server_log: list[tuple[str, float]], path: str) -> list[float]:
    times = [at for p, at in server_log if p == path]
    return [b - a for a, b in pairwise(times)]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_obeyed_for_the_whole_host(status: int, form: str) -> None:
    async def main() -> None:
        now_s = 1_800_000_000.0

        async def route(visit: Visit) -> None:
            if visit.path == "/first" and visit.number == 1:
                value = "1" if form == "seconds" else formatdate(now_s + 1, usegmt=True)
                await visit.answer(f"{status} Slow down", b"", f"Retry-After: {value}")
            else:
                await visit.answer()

        sink = Sink()
        settings = replace(QUICK, per_host=1)
        async with (
            serving(otherwise=route) as server,
            serving(otherwise=good) as other,
            Crawler(settings, wall_clock=lambda: now_s) as crawler,
        ):
            urls = [server.url("/first"), *(server.url(f"/{i}") for i in range(5)), other.url("/")]
            await crawler.crawl(enumerate(urls), sink)
            assert sink.reasons == {None: 7}
            assert sink.order[0] == 6
            asked_s = sorted(at for _, at in server.log)
            assert asked_s[1] - asked_s[0] >= 1.0
            assert sink.answers[0].tries == 2
            assert sink.answers[0].retry_after_s == pytest.approx(1.0)

    run(main())


@pytest.mark.parametrize("header", [None, "0", "soon", "-5", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_without_a_useful_retry_after_the_back_off_holds(header: str | None) -> None:
    async def main() -> None:
        async def route(visit: Visit) -> None:
            extra = () if header is None else (f"Retry-After: {header}",)
            await visit.answer("429 Slow down", b"", *extra)

        async with (
            serving(otherwise=route) as server,
            Crawler(replace(QUICK, backoff_s=0.1), random=lambda: 0.5) as crawler,
        ):
            answer = await crawler.fetch(server.url("/x"))
            assert (answer.reason, answer.tries, server.visits["/x"]) == (Reason.HTTP_429, 3, 3)
            first, second = after(server.log, "/x")
            assert 0.099 <= first < 0.8
            assert 0.199 <= second < 0.8

    run(main())


def test_a_host_that_wants_too_much_patience_is_left_alone() -> None:
    async def main() -> None:
        async def route(visit: Visit) -> None:
            await visit.answer("429 Slow down", b"", "Retry-After: 1000000000")

        sink = Sink()
        async with serving(otherwise=route) as server, Crawler(replace(QUICK, per_host=2)) as crawler:
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(500)), sink)
            assert sink.reasons == {Reason.HTTP_429: 500}
            assert server.visits.total() <= 2
            assert 1e9 in {answer.retry_after_s for answer in sink.answers.values()}
            assert (await crawler.fetch(server.url("/later"))).reason is Reason.HTTP_429
            assert server.visits.total() <= 2
            unasked = sink.answers[499]
            assert (unasked.tries, unasked.status) == (0, None)
            assert "not asked" in unasked.detail

    run(main())


def test_a_host_that_pauses_us_again_and_again_is_given_up() -> None:
    async def main() -> None:
        async def route(visit: Visit) -> None:
            await visit.answer("503 Busy", b"")

        sink = Sink()
        settings = replace(QUICK, per_host=1, backoff_s=0.05, max_host_pause_s=0.5)
        async with serving(otherwise=route) as server, Crawler(settings) as crawler:
            began_s = time.monotonic()
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(200)), sink)
            assert time.monotonic() - began_s < 20  # and not 200 times a pause
            assert sink.reasons == {Reason.HTTP_5XX: 200}
            assert 3 <= server.visits.total() <= 30

    run(main())


def test_back_off_occupies_no_place_in_flight() -> None:
    async def main() -> None:
        async def sick(visit: Visit) -> None:
            await visit.answer("500 Sick", b"")

        sink = Sink()
        settings = replace(QUICK, in_flight=1, backoff_s=0.3)
        async with (
            serving(otherwise=sick) as server,
            serving(otherwise=good) as other,
            Crawler(settings, random=lambda: 0.5) as crawler,
        ):
            urls = [server.url("/sick"), *(other.url(f"/{i}") for i in range(10))]
            await crawler.crawl(enumerate(urls), sink)
        assert sink.order[-1] == 0
        assert sink.answers[0].tries == 3

    run(main())


def test_bodies_in_memory_are_bounded_by_bytes_until_consumed() -> None:
    async def main() -> None:
        body = bytes(100_000)
        budget = 1_000_000
        held = peak = 0

        async def route(visit: Visit) -> None:
            await visit.answer("200 OK", body)

        async def slow(index: int, answer: Answer) -> None:
            nonlocal held, peak
            held += len(answer.body or b"")
            peak = max(peak, held)
            await asyncio.sleep(0.02)
            held -= len(answer.body or b"")

        settings = replace(QUICK, per_host=50, bytes_in_memory=budget, total_s=0.5, stall_s=0.3)
        async with serving(otherwise=route) as server, Crawler(settings) as crawler:
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(200)), slow)
            assert 3 * len(body) <= peak <= budget + len(body)
            assert crawler.in_hand.peak_bytes <= budget + QUICK.max_body_bytes
            assert crawler.in_hand.held_bytes == 0

    run(main())


def test_waiting_for_our_own_memory_is_not_held_against_the_server() -> None:
    async def main() -> None:
        body = bytes(600_000)
        sink = Sink()

        async def route(visit: Visit) -> None:
            await visit.answer("200 OK", body)

        async def slow(index: int, answer: Answer) -> None:
            await asyncio.sleep(0.15)
            await sink(index, answer)

        settings = replace(QUICK, per_host=8, bytes_in_memory=700_000, total_s=0.4, stall_s=0.3, tries=1)
        async with serving(otherwise=route) as server, Crawler(settings) as crawler:
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(16)), slow)
        assert sink.reasons == {None: 16}

    run(main())


def test_every_url_has_one_outcome_whatever_the_web_does() -> None:
    """Faults drawn by seed, over many hosts; the counts must add up, and nothing may be left behind."""

    async def main(seed: int, patience: float) -> dict[int, set[Reason | None]]:
        draw = random.Random(seed)
        plan = {
            f"/{i}": draw.choices(range(10), weights=(40, 8, 8, 8, 8, 8, 5, 5, 5, 5))[0] for i in range(300)
        }

        async def route(visit: Visit) -> None:
            kind = plan.get(visit.path, 0)
            if kind == 0:
                await visit.answer("200 OK", BODY[: 1 + 37 * len(visit.path)])
            elif kind == 1:
                await visit.answer("404 Not Found", b"")
            elif kind == 2:
                visit.reset()
            elif kind == 3:
                await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc")
                visit.hang_up()
            elif kind == 4:
                await visit.answer("500 Sick" if visit.number == 1 else "200 OK")
            elif kind == 5:
                await visit.redirect(f"http://r{visit.number}.example:{visit.server.port}/landing")
            elif kind == 6:
                await asyncio.sleep(30)
            elif kind == 7:
                await visit.answer("429 Slow", b"", "Retry-After: 0")
            elif kind == 8:
                await visit.send(b"nonsense\r\n\r\n")
                visit.hang_up()
            else:
                await visit.answer("200 OK", BODY, "X-Robots-Tag: noai")

        settings = replace(QUICK, stall_s=patience, connect_s=patience, total_s=3 * patience, in_flight=64)
        resolver = Resolver(settings, lookup=lambda host: ["127.0.0.1"])
        sink = Sink()
        async with serving(otherwise=route) as server, Crawler(settings, resolver=resolver) as crawler:
            urls = [f"http://h{draw.randrange(40)}.example:{server.port}/{i}" for i in range(300)]
            await crawler.crawl(enumerate(urls), sink)
            assert sorted(sink.answers) == list(range(300))
            by_kind: dict[int, set[Reason | None]] = {}
            for i, answer in sink.answers.items():
                assert (answer.body is None) == (answer.reason is not None)
                by_kind.setdefault(plan[f"/{i}"], set()).add(answer.reason)
            assert crawler.in_hand.at_rest

            return by_kind

    wanted: dict[int, set[Reason | None]] = {
        0: {None},
        1: {Reason.HTTP_404},
        2: {Reason.RESET},
        3: {Reason.SHORT_BODY},
        4: {None},
        5: {None},
        6: {Reason.STALLED},
        7: {Reason.HTTP_429},
        8: {Reason.BAD_HTTP},
        9: {Reason.OPTED_OUT},
    }
    if run(main(7, 0.6)) != wanted:  # a busy machine: the same with more time
        assert run(main(7, 6.0)) == wanted
