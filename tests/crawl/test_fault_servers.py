"""What one server may do to us, and the one reason that each comes to."""

import asyncio
import gzip
import random
import zlib
from collections.abc import Coroutine
from dataclasses import replace

import brotli
import pytest
import zstandard
from crawl_server import BODY, QUICK, FaultServer, Route, Visit, serving

from gristmill.crawl import Answer, Crawler, CrawlSettings, run
from gristmill.spec.reasons import Reason

PATIENT = replace(QUICK, total_s=10.0, connect_s=5.0, stall_s=2.0, min_rate_window_s=1.5)


async def ask(route: Route, settings: CrawlSettings = QUICK) -> tuple[Answer, FaultServer]:
    async with serving({"/x": route}) as server, Crawler(settings) as crawler:
        answer = await crawler.fetch(server.url("/x"))
        assert crawler._budget.used_bytes == 0
        assert crawler._flying == 0
        return answer, server


def raw(*parts: bytes, pause_s: float = 0.0, close: bool = True) -> Route:
    async def route(visit: Visit) -> None:
        for part in parts:
            await visit.send(part)
            await asyncio.sleep(pause_s)
        if close:
            visit.hang_up()

    return route


def head(*lines: str) -> bytes:
    return "\r\n".join(("HTTP/1.1 200 OK", *lines, "", "")).encode("latin-1")


def sized(body: bytes, *lines: str) -> bytes:
    return head(f"Content-Length: {len(body)}", *lines) + body


async def silent(visit: Visit) -> None:
    await asyncio.sleep(30)


async def silent_in_body(visit: Visit) -> None:
    await visit.send(head("Content-Length: 100") + b"abc")
    await asyncio.sleep(30)


async def drip_head(visit: Visit) -> None:
    for byte in sized(BODY):
        await visit.send(bytes([byte]))
        await asyncio.sleep(0.05)


async def drip_body(visit: Visit) -> None:
    await visit.send(head("Content-Length: 5000"))
    for _ in range(5000):
        await visit.send(b"x")
        await asyncio.sleep(0.05)


async def too_long_for_the_deadline(visit: Visit) -> None:
    await visit.send(head("Content-Length: 1000000"))
    for _ in range(100):
        await visit.send(b"x" * 2000)
        await asyncio.sleep(0.1)


async def endless(visit: Visit) -> None:
    await visit.send(head())
    while True:
        await visit.send(b"\0" * 65536)


async def endless_chunks(visit: Visit) -> None:
    await visit.send(head("Transfer-Encoding: chunked"))
    while True:
        await visit.send(b"10000\r\n" + b"\0" * 65536 + b"\r\n")


async def endless_informational(visit: Visit) -> None:
    while True:
        await visit.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await asyncio.sleep(0.01)


async def reset(visit: Visit) -> None:
    visit.reset()


async def reset_in_body(visit: Visit) -> None:
    await visit.send(head("Content-Length: 100") + b"abc")
    await asyncio.sleep(0.02)
    visit.reset()


ZSTD = zstandard.ZstdCompressor().compress(BODY)
ZSTD_BOMB = zstandard.ZstdCompressor().compress(bytes(200 << 20))
WIDE = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
_WIDE = zstandard.ZstdCompressor(compression_params=WIDE).compressobj()
WIDE_ZSTD = _WIDE.compress(BODY) + _WIDE.flush()

FAULTS: list[tuple[str, Route, Reason, int]] = [
    ("silent", silent, Reason.STALLED, 3),
    ("silent in the body", silent_in_body, Reason.STALLED, 3),
    ("head byte by byte", drip_head, Reason.STALLED, 3),
    ("body byte by byte", drip_body, Reason.STALLED, 3),
    ("longer than the deadline", too_long_for_the_deadline, Reason.DEADLINE, 3),
    ("informational without end", endless_informational, Reason.STALLED, 3),
    ("endless, no length", endless, Reason.TOO_LARGE, 1),
    ("endless chunks", endless_chunks, Reason.TOO_LARGE, 1),
    ("announces too much", raw(head("Content-Length: 2000000")), Reason.TOO_LARGE, 1),
    ("announces absurdly much", raw(head("Content-Length: 9999999999999999")), Reason.TOO_LARGE, 1),
    ("closes without a word", raw(), Reason.RESET, 3),
    ("reset", reset, Reason.RESET, 3),
    ("reset in the body", reset_in_body, Reason.SHORT_BODY, 3),
    ("length too long", raw(head("Content-Length: 100") + b"abc"), Reason.SHORT_BODY, 3),
    ("chunks cut off", raw(head("Transfer-Encoding: chunked") + b"5\r\nabc"), Reason.SHORT_BODY, 3),
    ("no last chunk", raw(head("Transfer-Encoding: chunked") + b"3\r\nabc\r\n"), Reason.SHORT_BODY, 3),
    ("bad chunk size", raw(head("Transfer-Encoding: chunked") + b"zz\r\nabc"), Reason.SHORT_BODY, 3),
    (
        "bad chunk, later",
        raw(head("Transfer-Encoding: chunked"), b"zz\r\n", pause_s=0.05),
        Reason.SHORT_BODY,
        3,
    ),
    ("negative length", raw(head("Content-Length: -5") + b"abc"), Reason.BAD_HTTP, 1),
    ("length no number", raw(head("Content-Length: many") + b"abc"), Reason.BAD_HTTP, 1),
    ("length overflows", raw(head("Content-Length: " + "9" * 30) + b"abc"), Reason.BAD_HTTP, 1),
    ("two lengths", raw(head("Content-Length: 3", "Content-Length: 4") + b"abcd"), Reason.BAD_HTTP, 1),
    (
        "length and chunks",
        raw(head("Content-Length: 3", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n"),
        Reason.BAD_HTTP,
        1,
    ),
    (
        "chunks and length",
        raw(head("Transfer-Encoding: chunked", "Content-Length: 3") + b"abc"),
        Reason.BAD_HTTP,
        1,
    ),
    ("not HTTP", raw(b"SSH-2.0-OpenSSH_9.2\r\n"), Reason.BAD_HTTP, 1),
    ("bare body", raw(b"\xff\xd8\xff\xe0" + BODY), Reason.BAD_HTTP, 1),
    ("a header of 200 kB", raw(head("X: " + "y" * 200_000)), Reason.BAD_HTTP, 1),
    ("5000 headers", raw(head(*(f"X-{i}: y" for i in range(5000)))), Reason.BAD_HTTP, 1),
    ("NUL in a header", raw(head("X: a\0b") + b"abc"), Reason.BAD_HTTP, 1),
    ("empty", raw(sized(b"")), Reason.EMPTY, 1),
    ("empty without length", raw(head()), Reason.EMPTY, 1),
    ("no content", raw(b"HTTP/1.1 204 No Content\r\n\r\n"), Reason.HTTP_OTHER, 1),
    ("not modified", raw(b"HTTP/1.1 304 Not Modified\r\n\r\n"), Reason.HTTP_OTHER, 1),
    ("partial", raw(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\nabc"), Reason.HTTP_OTHER, 1),
    ("status 999", raw(b"HTTP/1.1 999 Go away\r\nContent-Length: 0\r\n\r\n"), Reason.HTTP_OTHER, 1),
    ("gzip cut off", raw(sized(gzip.compress(BODY)[:-20], "Content-Encoding: gzip")), Reason.SHORT_BODY, 3),
    (
        "gzip damaged",
        raw(sized(gzip.compress(BODY)[:10] + b"\x07" * 9, "Content-Encoding: gzip")),
        Reason.BAD_HTTP,
        1,
    ),
    ("gzip bomb", raw(sized(gzip.compress(bytes(2 << 20)), "Content-Encoding: gzip")), Reason.BOMB, 1),
    ("deflate bomb", raw(sized(zlib.compress(bytes(2 << 20)), "Content-Encoding: deflate")), Reason.BOMB, 1),
    (
        "gzip in gzip",
        raw(sized(gzip.compress(gzip.compress(BODY)), "Content-Encoding: gzip, gzip")),
        Reason.BOMB,
        1,
    ),
    ("brotli damaged", raw(sized(b"\xff" * 40, "Content-Encoding: br")), Reason.BAD_HTTP, 1),
    ("brotli cut off", raw(sized(brotli.compress(BODY)[:-20], "Content-Encoding: br")), Reason.SHORT_BODY, 3),
    (
        "brotli bomb",
        raw(sized(brotli.compress(bytes(200 << 20), quality=5), "Content-Encoding: br")),
        Reason.BOMB,
        1,
    ),
    ("zstd damaged", raw(sized(ZSTD[:9] + b"\xff" * 30, "Content-Encoding: zstd")), Reason.BAD_HTTP, 1),
    ("zstd cut off", raw(sized(ZSTD[:-20], "Content-Encoding: zstd")), Reason.SHORT_BODY, 3),
    ("zstd bomb", raw(sized(ZSTD_BOMB, "Content-Encoding: zstd")), Reason.BOMB, 1),
    ("zstd of a huge window", raw(sized(WIDE_ZSTD, "Content-Encoding: zstd")), Reason.BAD_HTTP, 1),
    ("compress unasked", raw(sized(b"\x1f\x9dabc", "Content-Encoding: compress")), Reason.BAD_HTTP, 1),
    ("brotli in gzip", raw(sized(b"abc", "Content-Encoding: br, gzip")), Reason.BOMB, 1),
    ("another protocol", raw(b"ICY 200 OK\r\nContent-Length: 3\r\n\r\nabc"), Reason.BAD_HTTP, 1),
    (
        "a status that is no number",
        raw(b"HTTP/1.1 2OO OK\r\nContent-Length: 3\r\n\r\nabc"),
        Reason.BAD_HTTP,
        1,
    ),
    ("a status of two digits", raw(b"HTTP/1.1 20 OK\r\nContent-Length: 3\r\n\r\nabc"), Reason.BAD_HTTP, 1),
    ("a cookie of 1 MB", raw(head("Set-Cookie: a=" + "b" * 1_000_000)), Reason.BAD_HTTP, 1),
]


@pytest.mark.parametrize(("route", "reason", "tries"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_fault(route: Route, reason: Reason, tries: int) -> None:
    settings = QUICK
    answer, server = run(ask(route, settings))
    if (answer.reason, server.visits["/x"]) != (reason, tries):  # a busy machine: the same with more time
        settings = PATIENT
        answer, server = run(ask(route, settings))
    assert answer.reason is reason, answer
    assert answer.body is None
    assert answer.tries == tries
    assert server.visits["/x"] == tries
    assert len(answer.detail) <= 200
    assert answer.detail.isprintable()
    assert answer.elapsed_s < 3 * (settings.total_s + 0.3)


TWO_MEMBERS = gzip.compress(BODY[:99]) + gzip.compress(BODY[99:])
RAW_DEFLATE = zlib.compressobj(wbits=-15)
GOOD: list[tuple[str, Route]] = [
    ("plain", raw(sized(BODY))),
    ("until the end", raw(head() + BODY)),
    ("HTTP/1.0", raw(b"HTTP/1.0 200 OK\r\n\r\n" + BODY)),
    ("chunks", raw(head("Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))),
    (
        "in pieces",
        raw(head(f"Content-Length: {len(BODY)}"), *(BODY[i : i + 999] for i in range(0, len(BODY), 999))),
    ),
    ("same length twice", raw(sized(BODY, "X: y"))),
    ("more bytes than announced", raw(sized(BODY) + b"surplus")),
    ("early hints first", raw(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + sized(BODY))),
    ("no reason phrase", raw(b"HTTP/1.1 200\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY))),
    ("non-ASCII header", raw(head("X: caf\xe9", f"Content-Length: {len(BODY)}") + BODY)),
    ("gzip unasked", raw(sized(gzip.compress(BODY), "Content-Encoding: gzip"))),
    ("gzip in pieces", raw(head("Content-Encoding: x-gzip"), *(bytes([b]) for b in gzip.compress(BODY)))),
    (
        "gzip of two members",
        raw(sized(TWO_MEMBERS, "Content-Encoding: GZIP")),
    ),
    ("gzip with padding", raw(sized(gzip.compress(BODY) + bytes(20), "Content-Encoding: gzip"))),
    ("said to be gzip and is not", raw(sized(BODY, "Content-Encoding: gzip"))),
    ("deflate with a zlib head", raw(sized(zlib.compress(BODY), "Content-Encoding: deflate"))),
    (
        "bare deflate",
        raw(sized(RAW_DEFLATE.compress(BODY) + RAW_DEFLATE.flush(), "Content-Encoding: deflate")),
    ),
    ("brotli unasked", raw(sized(brotli.compress(BODY), "Content-Encoding: br"))),
    ("brotli in pieces", raw(head("Content-Encoding: br"), *(bytes([b]) for b in brotli.compress(BODY)))),
    ("zstd unasked", raw(sized(ZSTD, "Content-Encoding: zstd"))),
    ("zstd in pieces", raw(head("Content-Encoding: zstd"), *(bytes([b]) for b in ZSTD))),
    ("HTTP/1.0 with a length", raw(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY))),
    ("identity", raw(sized(BODY, "Content-Encoding: identity"))),
    ("an encoding that is none", raw(sized(BODY, "Content-Encoding: utf-8"))),
]


@pytest.mark.parametrize("route", [g[1] for g in GOOD], ids=[g[0] for g in GOOD])
def test_good(route: Route) -> None:
    answer, server = run(ask(route))
    assert answer.ok, answer
    assert answer.body == BODY
    assert (answer.status, answer.tries, server.visits["/x"]) == (200, 1, 1)


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
            return crawler._budget.peak_bytes

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


def test_damaged_answers_come_to_a_reason_and_nothing_worse() -> None:
    """Answers with bytes changed, cut, doubled or dropped, by seed."""

    async def main() -> None:
        draw = random.Random(11)
        seeds = [
            sized(BODY[:300], "Content-Type: image/jpeg", "X-Robots-Tag: all", "ETag: x"),
            head("Transfer-Encoding: chunked") + b"a\r\n0123456789\r\n3\r\nabc\r\n0\r\nTrailer: x\r\n\r\n",
            sized(gzip.compress(BODY), "Content-Encoding: gzip"),
            b"HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 3\r\n\r\nabc",
            b"HTTP/1.1 500 Busy\r\nRetry-After: 0\r\nContent-Length: 3\r\n\r\nabc",
        ]

        def damaged(answer: bytes) -> bytes:
            data = bytearray(answer)
            for _ in range(draw.randint(1, 4)):
                at = draw.randrange(len(data)) if draw.random() < 0.3 else draw.randrange(min(len(data), 120))
                kind = draw.randrange(4)
                if kind == 0:
                    data[at] = draw.choice(b"\x00\r\n \t:;,0129az\xff%-")
                elif kind == 1:
                    del data[at : at + draw.randint(1, 9)]
                elif kind == 2:
                    data[at:at] = data[at : at + draw.randint(1, 40)]
                else:
                    data[at:at] = draw.choice(
                        [b"\r\n", b"\r\n\r\n", b"\x00", b"9" * 20, b": ", b"\xe2\x80\xa8"]
                    )
            return bytes(data)

        replies = [damaged(draw.choice(seeds)) for _ in range(600)]

        async def route(visit: Visit) -> None:
            if visit.path[1:].isdigit():
                await visit.send(replies[int(visit.path[1:])])
                visit.hang_up()
            else:
                await visit.answer()

        answers: dict[int, Answer] = {}

        async def keep(index: int, answer: Answer) -> None:
            assert index not in answers
            answers[index] = answer

        settings = replace(QUICK, per_host=32, tries=1)
        async with serving(otherwise=route) as server, Crawler(settings) as crawler:
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(len(replies))), keep)
        assert len(answers) == len(replies)
        broken = [a for a in answers.values() if a.reason is Reason.INTERNAL_ERROR]
        assert not broken, broken
        assert len({a.reason for a in answers.values()}) > 5

    run(main())


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
