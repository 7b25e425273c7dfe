"""What single hosts ask for: few connections and bits of all workers together, widths, statuses that are final."""

import asyncio
import time
from dataclasses import replace

import pytest
from crawl_server import BODY, QUICK, Visit, serving
from test_politeness import Sink, good

from gristmill.crawl import Crawler, CrawlSettings, run
from gristmill.crawl.guard import parse
from gristmill.crawl.slots import SHARE_USED, TURN_S, Slots
from gristmill.spec.errors import MachineError
from gristmill.spec.host_rule import HostRule
from gristmill.spec.reasons import Reason

THUMBS = HostRule(
    host="pictures.example",
    connections=2,
    https=True,
    width=r"/(\d+)px-",
    widths=(120, 250, 960),
    permanent=((429, r"/\d+px-"),),
)


def rule_of(server, **more) -> HostRule:
    return replace(THUMBS, host=f"127.0.0.1:{server.port}", https=False, **more)


def test_two_crawlers_have_no_more_connections_than_one(tmp_path) -> None:
    async def main() -> None:
        sinks = [Sink(), Sink()]
        async with serving(otherwise=good) as server:
            settings = replace(QUICK, hosts=(rule_of(server),))
            async with Crawler(settings) as one, Crawler(settings) as other:
                for crawler in (one, other):
                    crawler.share(tmp_path / "hosts")
                await asyncio.gather(
                    *(
                        crawler.crawl(((i, server.url(f"/{n}-{i}")) for i in range(40)), sinks[n])
                        for n, crawler in enumerate((one, other))
                    )
                )
            assert [sink.reasons for sink in sinks] == [{None: 40}, {None: 40}]
            assert server.busy_peak == 2
            assert server.open_peak == 2
            assert server.connections < 40  # a connection is used again within a turn

    run(main())


def test_bits_are_counted_over_all_who_share_a_host(tmp_path) -> None:
    pictures, bits_per_s = 24, 800_000

    async def main() -> None:
        sinks = [Sink(), Sink()]
        async with serving(otherwise=good) as server:
            settings = replace(QUICK, hosts=(rule_of(server, bits_per_s=bits_per_s),))
            async with Crawler(settings) as one, Crawler(settings) as other:
                one.share(tmp_path)
                other.share(tmp_path)
                began = time.monotonic()
                await asyncio.gather(
                    *(
                        crawler.crawl(((i, server.url(f"/{n}-{i}")) for i in range(pictures // 2)), sinks[n])
                        for n, crawler in enumerate((one, other))
                    )
                )
                took_s = time.monotonic() - began
        paid = pictures - 2  # the last body of each connection is paid for by whoever comes next
        assert took_s > 0.9 * paid * len(BODY) * 8 / (SHARE_USED * bits_per_s)
        assert sum(len(sink.answers) for sink in sinks) == pictures

    run(main())


def test_a_crawler_alone_keeps_to_the_rule_without_a_folder() -> None:
    async def main() -> None:
        sink = Sink()
        async with serving(otherwise=good) as server:
            settings = replace(QUICK, per_host=6, hosts=(rule_of(server),))
            async with Crawler(settings) as crawler:
                await crawler.crawl(((i, server.url(f"/{i}")) for i in range(30)), sink)
            assert sink.reasons == {None: 30}
            assert server.busy_peak == 2

    run(main())


def test_a_turn_ends_and_what_came_is_paid_for_by_the_next(tmp_path) -> None:
    now = 1_000_000.0
    rule = HostRule(host="a.example", connections=1, bits_per_s=8_000)

    async def main() -> None:
        one, other = Slots(rule, lambda: now), Slots(rule, lambda: now)
        for slots in (one, other):
            slots.share(tmp_path)
        slot = await one.take()
        waiting = asyncio.ensure_future(other.take())
        await asyncio.sleep(0.2)
        assert not waiting.done()
        nonlocal_now(TURN_S + 1)
        assert not one.keep_alive(slot, range(100))()
        one.give(slot, 80)  # a tenth of a second at 1,000 bytes a second, and more of the part that is used
        got = await asyncio.wait_for(waiting, 5)
        assert got.free_at_s == 1_000_000.1
        other.give(got, 0)
        one.close()
        other.close()

    def nonlocal_now(seconds: float) -> None:
        nonlocal now
        now += seconds

    run(main())


@pytest.mark.parametrize("text", ["", "not a time\n", "99999999999.000\n", "-5\n"])
def test_what_stands_in_a_slots_file_holds_nobody_up(tmp_path, text) -> None:
    (tmp_path / "a.example.0").write_text(text)

    async def main() -> None:
        slots = Slots(HostRule(host="a.example", connections=1, bits_per_s=8), clock=lambda: 1e9)
        slots.share(tmp_path)
        taking = asyncio.ensure_future(slots.take())
        await asyncio.sleep(0.1)
        assert taking.done() == (not text.startswith("9"))
        taking.cancel()
        slots.close()

    run(main())
    if text.startswith("9"):  # from a clock that was set otherwise: bounded
        assert (tmp_path / "a.example.0").read_text() == "1000000120.000\n"


def test_a_link_in_a_slots_place_is_not_followed(tmp_path) -> None:
    (tmp_path / "a.example.0").symlink_to(tmp_path / "elsewhere")

    async def main() -> None:
        slots = Slots(HostRule(host="a.example", connections=1))
        slots.share(tmp_path)
        with pytest.raises(MachineError, match=r"a\.example"):
            await slots.take()

    run(main())
    assert not (tmp_path / "elsewhere").exists()


def test_urls_are_asked_as_their_host_has_them() -> None:
    settings = CrawlSettings(hosts=(THUMBS,))
    asked = {
        "http://pictures.example/a/300px-b.jpg?x=1": "https://pictures.example/a/960px-b.jpg?x=1",
        "https://PICTURES.example:443/a/120px-b.jpg": "https://pictures.example/a/120px-b.jpg",
        "http://pictures.example/a/2000px-b.jpg": "https://pictures.example/a/960px-b.jpg",
        "http://pictures.example/a/b.jpg": "https://pictures.example/a/b.jpg",
        "http://other.example/a/300px-b.jpg": "http://other.example/a/300px-b.jpg",
    }
    assert {url: parse(url, settings).text for url in asked} == asked


def test_a_429_of_a_width_is_final_and_slows_nobody_down() -> None:
    async def answer(visit: Visit) -> None:
        if "px-" not in visit.path:
            await visit.answer()
        elif "wait" in visit.path and visit.number == 1:
            await visit.answer("429 Too Many Requests", b"", "Retry-After: 0")
        elif "wait" in visit.path:
            await visit.answer()
        else:
            await visit.answer("429 Use thumbnail steps", b"")

    async def main() -> None:
        sink = Sink()
        async with serving(otherwise=answer) as server:
            settings = replace(QUICK, max_host_pause_s=0.2, hosts=(rule_of(server),))
            urls = [*(f"/{i}/120px-a.jpg" for i in range(12)), "/wait/120px-a.jpg", "/plain.jpg"]
            async with Crawler(settings) as crawler:
                await crawler.crawl(((i, server.url(url)) for i, url in enumerate(urls)), sink)
        assert sink.reasons == {Reason.HTTP_4XX: 12, None: 2}
        assert {sink.answers[i].tries for i in range(12)} == {1}
        assert sink.answers[0].detail == "429 Use thumbnail steps; of this host that is final"
        assert sink.answers[12].tries == 2

    run(main())


def test_a_redirect_to_a_host_keeps_its_rule() -> None:
    async def main() -> None:
        sink = Sink()
        async with serving(otherwise=good) as landing:

            async def redirect(visit: Visit) -> None:
                await visit.redirect(landing.url(visit.path))

            async with serving(otherwise=redirect) as server:
                settings = replace(QUICK, hosts=(rule_of(landing),))
                async with Crawler(settings) as crawler:
                    urls = ((i, server.url(f"/{i}/100px-a.jpg")) for i in range(20))
                    await crawler.crawl(urls, sink)
            assert landing.busy_peak == 2
            assert {path.rpartition("/")[2] for path in landing.visits} == {"120px-a.jpg"}

    run(main())


@pytest.mark.parametrize(
    "wrong",
    [{"connections": 0}, {"bits_per_s": 0}, {"width": ""}, {"widths": ()}, {"width": "px-"}],
)
def test_rules_that_cannot_be(wrong) -> None:
    with pytest.raises(ValueError, match=r"pictures\.example"):
        replace(THUMBS, **wrong)


def test_rules_are_told_in_a_line_and_not_typed() -> None:
    rule = replace(THUMBS, bits_per_s=25_000_000, needs_contact=True)
    assert repr(rule) == (
        "pictures.example: 2 connections in all, 25 Mbit/s in all, only with a contact, by https, "
        r"widths 120 250 960, 429 of /\d+px- is final"
    )
    with pytest.raises(ValueError, match="hosts are rules of the recipe"):
        CrawlSettings(hosts="none")
