"""What is asked of one server, how often, and what its answers come to."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace

import pytest
from crawl_server import BODY, QUICK, FaultServer, Route, Visit, serving
from fault_routes import ask, drip_body, endless, head, raw, reset, sized

from gristmill.crawl import Answer, Crawler, run
from gristmill.spec.reasons import Reason


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, Reason.HTTP_4XX),
        (401, Reason.HTTP_4XX),
        (403, Reason.HTTP_403),
        (404, Reason.HTTP_404),
        (410, Reason.HTTP_410),
        (418, Reason.HTTP_4XX),
        (451, Reason.HTTP_451),
    ],
)
def test_a_no_is_not_asked_again(status: int, reason: Reason) -> None:
    async def route(visit: Visit) -> None:
        await visit.answer(f"{status} No", BODY)

    answer, server = run(ask(route))
    assert (answer.reason, answer.status, answer.tries, server.visits["/x"]) == (reason, status, 1, 1)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 599, 408, 429])
def test_what_may_heal_is_asked_twice_more(status: int) -> None:
    async def route(visit: Visit) -> None:
        await visit.answer(f"{status} Later" if visit.number < 3 else "200 OK")

    answer, server = run(ask(route))
    assert answer.ok, answer
    assert (answer.status, answer.tries, server.visits["/x"]) == (200, 3, 3)


def test_a_server_error_for_good() -> None:
    async def route(visit: Visit) -> None:
        await visit.answer("500 Broken\x1b[31m", b"")

    answer, server = run(ask(route))
    assert (answer.reason, answer.status, answer.tries) == (Reason.HTTP_5XX, 500, 3)
    assert server.visits["/x"] == 3
    assert "\x1b" not in answer.detail


def test_the_number_of_tries_is_a_setting() -> None:
    answer, server = run(ask(reset, replace(QUICK, tries=1)))
    assert (answer.reason, answer.tries, server.visits["/x"]) == (Reason.RESET, 1, 1)


def test_a_stale_connection_costs_no_try() -> None:
    async def main() -> None:
        async def close_unless_first(visit: Visit) -> None:
            if server.connections == 1 and server.visits.total() > 2:
                visit.hang_up()
            else:
                await visit.answer()

        async with (
            serving(otherwise=close_unless_first) as server,
            Crawler(replace(QUICK, per_host=1)) as crawler,
        ):
            answers: dict[int, Answer] = {}

            async def keep(index: int, answer: Answer) -> None:
                answers[index] = answer

            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(5)), keep)
            assert [(a.ok, a.tries) for _, a in sorted(answers.items())] == [(True, 1)] * 5
            assert server.connections == 2
            assert server.visits["/2"] == 2

    run(main())


def test_junk_after_a_body_does_not_answer_the_next_request() -> None:
    async def main() -> None:
        async def junk(visit: Visit) -> None:
            await visit.send(sized(BODY) + sized(b"not yours"))

        async with serving(otherwise=junk) as server, Crawler(replace(QUICK, per_host=1)) as crawler:
            bodies = []

            async def keep(_: int, answer: Answer) -> None:
                bodies.append(answer.body)

            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(4)), keep)
            assert bodies == [BODY] * 4
            assert server.connections == 4

    run(main())


def test_connections_are_kept_while_their_host_has_more_urls() -> None:
    async def main() -> None:
        async def route(visit: Visit) -> None:
            await visit.answer()

        async def ignore(_: int, answer: Answer) -> None:
            assert answer.ok

        async with serving(otherwise=route) as server, Crawler(replace(QUICK, per_host=2)) as crawler:
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(50)), ignore)
            assert server.connections <= 3
            assert server.seen_headers[-1].get("connection") == "close"

    run(main())


def test_what_is_sent() -> None:
    async def main() -> None:
        async def route(visit: Visit) -> None:
            await visit.answer("200 OK", BODY, "Set-Cookie: a=b")

        settings = replace(QUICK, contact="https://example.org/crawl", per_host=1)
        async with serving(otherwise=route) as server, Crawler(settings) as crawler:
            for _ in range(2):
                url = server.url("/a b?ü").replace("://", "://user:secret@")
                answer = await crawler.fetch(url)
            assert answer.final_url == server.url("/a%20b?%C3%BC")
            assert "secret" not in repr(answer)
            assert list(server.visits) == ["/a%20b?%C3%BC"]
            for headers in server.seen_headers:
                assert headers["user-agent"] == "Gristmill/0.1 (+https://example.org/crawl)"
                assert headers["host"] == f"127.0.0.1:{server.port}"
                assert headers["accept-encoding"] == "identity"
                assert not {"cookie", "authorization", "referer"} & set(headers)

    run(main())


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_proxies_of_the_environment_are_not_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    answer, _ = run(ask(raw(sized(BODY))))
    assert answer.ok


def test_memory_stays_bounded_with_endless_bodies() -> None:
    async def main() -> int:
        async with (
            serving(otherwise=endless) as server,
            Crawler(replace(QUICK, per_host=40, bytes_in_memory=4 << 20, total_s=5.0)) as crawler,
        ):
            reasons = []

            async def keep(_: int, answer: Answer) -> None:
                reasons.append(answer.reason)

            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(80)), keep)
            assert set(reasons) == {Reason.TOO_LARGE}
            assert len(reasons) == 80
            return crawler.in_hand.peak_bytes

    assert run(main()) <= (4 << 20) + QUICK.max_body_bytes


def test_redirects() -> None:
    async def main() -> None:
        async def hops(visit: Visit) -> None:
            left = int(visit.path.rpartition("/")[2])
            await (visit.redirect(str(left - 1)) if left else visit.answer())

        def to(*location: str) -> Route:
            async def route(visit: Visit) -> None:
                await visit.redirect(*location)

            return route

        async def nowhere(visit: Visit) -> None:
            await visit.answer("302 Found", b"")

        async def healing(visit: Visit) -> None:
            await (visit.redirect("/hop/0") if visit.number > 1 else visit.answer("502 Bad Gateway", b""))

        routes = {f"/hop/{i}": hops for i in range(60)} | {
            "/self": to("/self"),
            "/ping": to("/pong"),
            "/pong": to("/ping"),
            "/endless": to("/endless2"),
            "/file": to("file:///etc/hostname"),
            "/ftp": to("ftp://127.0.0.1/x"),
            "/data": to("data:image/png;base64,AAAA"),
            "/bad": to("http://a b/"),
            "/nowhere": nowhere,
            "/healing": healing,
            "/empty": to(""),
            "/fragment": to("/hop/0#x"),
            "/opted": to("/hop/0", "X-Robots-Tag: noai"),
        }
        async with serving(routes) as server, Crawler(QUICK) as crawler:

            async def reason(path: str) -> Reason | None:
                return (await crawler.fetch(server.url(path))).reason

            answer = await crawler.fetch(server.url("/hop/5"))
            assert (answer.ok, answer.final_url, answer.body) == (True, server.url("/hop/0"), BODY)
            assert await reason("/hop/6") is Reason.REDIRECTS
            before = server.visits.total()
            assert await reason("/hop/50") is Reason.REDIRECTS
            assert server.visits.total() - before == 6
            assert await reason("/self") is Reason.REDIRECTS
            assert await reason("/ping") is Reason.REDIRECTS
            assert server.visits["/ping"] == server.visits["/pong"] == 1
            assert await reason("/file") is Reason.BAD_SCHEME
            assert await reason("/ftp") is Reason.BAD_SCHEME
            assert await reason("/data") is Reason.BAD_SCHEME
            assert await reason("/bad") is Reason.REDIRECTS
            assert await reason("/nowhere") is Reason.REDIRECTS
            assert await reason("/empty") is Reason.REDIRECTS
            assert await reason("/healing") is None
            assert await reason("/fragment") is None
            assert await reason("/opted") is Reason.OPTED_OUT

    run(main())


def test_the_deadline_holds_over_redirects() -> None:
    async def main() -> None:
        async def slow_hop(visit: Visit) -> None:
            await asyncio.sleep(0.3)
            await visit.redirect(visit.path + "x")

        settings = replace(QUICK, tries=1, total_s=0.7, stall_s=0.7, max_redirects=20)
        async with serving(otherwise=slow_hop) as server, Crawler(settings) as crawler:
            answer = await crawler.fetch(server.url("/"))
            assert answer.reason is Reason.DEADLINE
            assert 0.6 < answer.elapsed_s < 1.0

    run(main())


def test_opting_out() -> None:
    async def main() -> None:
        async def route(visit: Visit) -> None:
            await visit.send(
                head("X-Robots-Tag: nofollow", "X-Robots-Tag: NoAI", f"Content-Length: {1 << 19}")
            )
            await visit.send(bytes(1 << 19))

        answer, _ = await ask(route)
        assert (answer.reason, answer.opt_out, answer.tries) == (Reason.OPTED_OUT, "nofollow, noai", 1)
        assert answer.bytes_received == 0
        answer, _ = await ask(route, replace(QUICK, respect_opt_out=False))
        assert (answer.ok, answer.opt_out) == (True, "nofollow, noai")

    run(main())


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("TDM-Reservation: 1", "tdm-reservation=1"),
        ("tdm-reservation:  1", "tdm-reservation=1"),
        ("Content-Usage: train-ai=n", "train-ai=n"),
        ("Content-Usage: search=y, Train-AI=N;x=1", "train-ai=n"),
        ("CONTENT-USAGE: train-ai = n", "train-ai=n"),
        ("Content-Usage: train-ai=y, train-genai=n", "train-genai=n"),
        ("Content-Usage: ai=n", "ai=n"),
        ("Content-Usage: search=n\r\nContent-Usage: train-ai=n", "train-ai=n"),
        (
            "TDM-Reservation: 0\r\nTDM-RESERVATION: 1\r\ntdm-policy: https://example.org/p.json",
            "tdm-reservation=1",
        ),
        ("X-Robots-Tag: noml", "noml"),
    ],
)
def test_other_ways_of_opting_out(header: str, wanted: str) -> None:
    async def route(visit: Visit) -> None:
        await visit.answer("200 OK", BODY, header)

    answer, _ = run(ask(route))
    assert (answer.reason, answer.opt_out) == (Reason.OPTED_OUT, wanted)
    answer, _ = run(ask(route, replace(QUICK, respect_opt_out=False)))
    assert (answer.ok, answer.opt_out) == (True, wanted)


@pytest.mark.parametrize(
    "header",
    [
        "TDM-Reservation: 0",
        "TDM-Reservation: yes",
        "TDM-Reservation: 11",
        "TDM-Reservation:",
        "Content-Usage: train-ai=y",
        "Content-Usage: train-ai",
        "Content-Usage: search=n",
        "Content-Usage: x",
    ],
)
def test_what_reserves_nothing(header: str) -> None:
    async def route(visit: Visit) -> None:
        await visit.answer("200 OK", BODY, header)

    answer, _ = run(ask(route))
    assert (answer.ok, answer.opt_out) == (True, None)


def test_connection_refused_and_unanswered() -> None:
    async def main() -> None:
        async with serving() as server:
            refused = server.url("/")
        async with Crawler(QUICK) as crawler:
            answer = await crawler.fetch(refused)
            assert (answer.reason, answer.tries) == (Reason.CONNECT_FAILED, 3)

    run(main())


def test_a_full_backlog_is_a_connect_timeout() -> None:
    import socket

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
            address = listening.getsockname()
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            async with Crawler(replace(QUICK, tries=1)) as crawler:
                answer = await crawler.fetch(f"http://127.0.0.1:{address[1]}/")
            for filler in fillers:
                filler.close()
            assert answer.reason is Reason.CONNECT_TIMEOUT, answer
            assert answer.elapsed_s < 5

    run(main())


def test_the_plain_loop_does_as_well() -> None:
    def quick(main: Coroutine[object, object, tuple[Answer, FaultServer]]) -> Answer:
        return asyncio.run(main)[0]

    assert quick(ask(raw(sized(BODY)))).ok
    assert quick(ask(drip_body, replace(QUICK, tries=1))).reason is Reason.STALLED
    assert quick(ask(reset, replace(QUICK, tries=1))).reason is Reason.RESET
