import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from crawl_server import QUICK, Visit, serving

from gristmill.crawl import Answer, Crawler, Resolver, run
from gristmill.crawl.guard import Refused
from gristmill.spec.reasons import Reason

PUBLIC = replace(QUICK, allow_private_addresses=False)


class Names:
    """A name service: what each host comes to, and how often it was asked."""

    def __init__(self, **hosts: Sequence[str] | OSError | float) -> None:
        self.hosts = hosts
        self.asked: Counter[str] = Counter()
        self.now = self.peak = 0
        self.lock = threading.Lock()

    def __call__(self, host: str) -> Sequence[str]:
        with self.lock:
            self.asked[host] += 1
            self.now += 1
            self.peak = max(self.peak, self.now)
        try:
            found = self.hosts.get(host.partition(".")[0], ["8.8.8.8"])
            if isinstance(found, OSError):
                raise found
            if isinstance(found, float):
                time.sleep(found)
                return ["8.8.8.8"]
            return found
        finally:
            with self.lock:
                self.now -= 1


async def reason_for(resolver: Resolver, host: str) -> Reason | None:
    try:
        await resolver.addresses(host)
    except Refused as refusal:
        return refusal.reason
    return None


@pytest.mark.parametrize(
    ("found", "reason", "asked"),
    [
        (["8.8.8.8", "2606:4700::1111"], None, 1),
        ([], Reason.DNS_NOT_FOUND, 1),
        (["8.8.8.8", "10.0.0.1"], Reason.PRIVATE_ADDRESS, 1),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), Reason.DNS_NOT_FOUND, 1),
        (socket.gaierror(socket.EAI_NODATA, "no address"), Reason.DNS_NOT_FOUND, 1),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), Reason.DNS_FAILED, 2),
        (socket.gaierror(socket.EAI_FAIL, "servfail"), Reason.DNS_FAILED, 2),
        (OSError(24, "too many files"), Reason.DNS_FAILED, 2),
        (TimeoutError("slow"), Reason.DNS_FAILED, 2),
    ],
    ids=str,
)
def test_what_a_lookup_comes_to_is_remembered(
    found: Sequence[str] | OSError, reason: Reason | None, asked: int
) -> None:
    async def main() -> None:
        names = Names(h=found)
        resolver = Resolver(PUBLIC, lookup=names)
        for _ in range(3):
            assert await reason_for(resolver, "h.example") is reason
        assert names.asked["h.example"] == asked
        await resolver.close()

    run(main())


def test_memory_fades() -> None:
    async def main() -> None:
        names = Names(bad=socket.gaierror(socket.EAI_AGAIN, "try again"))
        now = [0.0]
        resolver = Resolver(PUBLIC, lookup=names, clock=lambda: now[0])
        for seconds, good, bad in ((0, 1, 2), (29, 1, 2), (31, 1, 4), (299, 1, 6), (301, 2, 6)):
            now[0] = float(seconds)
            await reason_for(resolver, "good.example")
            await reason_for(resolver, "bad.example")
            assert (names.asked["good.example"], names.asked["bad.example"]) == (good, bad), seconds
        await resolver.close()

    run(main())


def test_names_that_have_expired_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    names, now = Names(gone=[]), [0.0]

    async def main() -> None:
        resolver = Resolver(PUBLIC, lookup=names, clock=lambda: now[0])
        for number in range(50):
            await reason_for(resolver, f"h{number}.example")
        assert len(resolver.remembered()) == 50
        now[0] = PUBLIC.dns_ttl_s - 1
        await reason_for(resolver, "gone.example")
        assert len(resolver.remembered()) == 51
        now[0] += 2
        await reason_for(resolver, "later.example")
        assert resolver.remembered() == ["gone.example", "later.example"]
        monkeypatch.setattr("gristmill.crawl.dns.MAX_CACHED", 3)
        for number in range(5):
            await reason_for(resolver, f"n{number}.example")
        assert resolver.remembered() == ["n2.example", "n3.example", "n4.example"]
        await resolver.close()

    run(main())


def test_one_lookup_for_all_who_ask_at_once_even_if_one_gives_up() -> None:
    async def main() -> None:
        names = Names(slow=0.1)
        resolver = Resolver(PUBLIC, lookup=names)
        asking = [asyncio.create_task(resolver.addresses("slow.example")) for _ in range(20)]
        await asyncio.sleep(0.02)
        asking[0].cancel()
        results = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert results[1:] == [("8.8.8.8",)] * 19
        assert names.asked["slow.example"] == 1
        await resolver.close()

    run(main())


def test_lookups_at_once_are_bounded() -> None:
    async def main() -> None:
        names = Names(slow=0.02)
        resolver = Resolver(replace(PUBLIC, dns_lookups=3), lookup=names)
        await asyncio.gather(*(resolver.addresses(f"slow.{i}") for i in range(20)))
        assert names.peak == 3
        await resolver.close()

    run(main())


def test_a_lookup_that_hangs_costs_its_deadline_and_does_not_hold_up_the_end() -> None:
    async def main() -> float:
        resolver = Resolver(
            replace(PUBLIC, dns_lookups=2, dns_timeout_s=0.3, dns_tries=1), lookup=Names(hang=8.0)
        )
        began_s = time.monotonic()
        assert await reason_for(resolver, "hang.example") is Reason.DNS_FAILED
        assert await reason_for(resolver, "well.example") is None
        await resolver.close()
        return time.monotonic() - began_s

    assert run(main()) < 6


def test_names_that_hang_do_not_keep_others_from_being_looked_up() -> None:
    async def main() -> None:
        names = Names(hang=8.0)
        settings = replace(PUBLIC, dns_lookups=2, dns_timeout_s=0.5, dns_tries=1)
        resolver = Resolver(settings, lookup=names)
        hanging = [asyncio.create_task(reason_for(resolver, f"hang.{i}")) for i in range(4)]
        began_s = time.monotonic()
        assert await reason_for(resolver, "well.example") is None
        assert time.monotonic() - began_s < 6
        assert set(await asyncio.gather(*hanging)) == {Reason.DNS_FAILED}
        assert 2 < names.peak <= 2 * 8
        await resolver.close()

    run(main())


def test_the_wait_for_a_lookup_is_not_held_against_the_url() -> None:
    async def main() -> None:
        async def route(visit: Visit) -> None:
            await visit.answer()

        settings = replace(QUICK, total_s=0.3, dns_lookups=1)
        resolver = Resolver(settings, lookup=lambda host: time.sleep(0.1) or ["127.0.0.1"])
        reasons = []

        async def keep(_: int, answer: Answer) -> None:
            reasons.append(answer.reason)

        async with serving(otherwise=route) as server, Crawler(settings, resolver=resolver) as crawler:
            await crawler.crawl(((i, f"http://h{i}.example:{server.port}/") for i in range(8)), keep)
        assert reasons == [None] * 8

    run(main())


def test_answers_of_a_crawl_say_what_was_wrong_with_the_name() -> None:
    async def main() -> None:
        names = Names(
            gone=socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            down=socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
            local=["127.0.0.1"],
        )

        async def route(visit: Visit) -> None:
            await visit.answer()

        answers: dict[int, Answer] = {}

        async def keep(index: int, answer: Answer) -> None:
            answers[index] = answer

        async with (
            serving(otherwise=route) as server,
            Crawler(QUICK, resolver=Resolver(QUICK, lookup=names)) as crawler,
        ):
            urls = [
                f"http://{host}.example:{server.port}/{i}"
                for i in range(20)
                for host in ("gone", "down", "local")
            ]
            await crawler.crawl(enumerate(urls), keep)
        reasons = [answers[i].reason for i in range(60)]
        assert reasons == [Reason.DNS_NOT_FOUND, Reason.DNS_FAILED, None] * 20
        assert (names.asked["gone.example"], names.asked["down.example"]) == (1, 2)
        assert (
            names.asked["local.example"] <= 2
        )  # once more by the breaker, which wants to know whose fault it is
        assert {answers[i].tries for i in range(60)} == {1}

    run(main())


def test_the_system_knows_no_invalid_name_and_raises_nothing_odd() -> None:
    async def main() -> None:
        resolver = Resolver(replace(PUBLIC, dns_timeout_s=5.0, dns_tries=1))
        assert await reason_for(resolver, "localhost") is Reason.PRIVATE_ADDRESS
        assert await reason_for(resolver, "a" * 64 + ".example") is Reason.DNS_NOT_FOUND
        await resolver.close()

    run(main())
