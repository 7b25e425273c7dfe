"""What one server may do to us, and the one reason that each comes to."""

import asyncio
import gzip
import random
import zlib
from dataclasses import replace
from itertools import count

import brotli
import pytest
import zstandard
from crawl_server import BODY, QUICK, Route, Visit, serving
from fault_routes import (
    PATIENT,
    ask,
    drip_body,
    drip_head,
    endless,
    endless_chunks,
    endless_informational,
    head,
    raw,
    reset,
    reset_in_body,
    silent,
    silent_in_body,
    sized,
    too_long_for_the_deadline,
)
from test_politeness import Sink

from gristmill.crawl import Answer, Crawler, client, costs, run
from gristmill.spec.reasons import Reason

BROTLI = brotli.compress(BODY, quality=5)
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
    ("brotli cut off", raw(sized(BROTLI[:-20], "Content-Encoding: br")), Reason.SHORT_BODY, 3),
    (
        "brotli bomb",
        raw(sized(brotli.compress(bytes(200 << 20), quality=1), "Content-Encoding: br")),
        Reason.BOMB,
        1,
    ),
    ("zstd damaged", raw(sized(ZSTD[:9] + b"\xff" * 30, "Content-Encoding: zstd")), Reason.BAD_HTTP, 1),
    ("zstd cut off", raw(sized(ZSTD[:-20], "Content-Encoding: zstd")), Reason.SHORT_BODY, 3),
    ("zstd bomb", raw(sized(ZSTD_BOMB, "Content-Encoding: zstd")), Reason.BOMB, 1),
    ("zstd of a huge window", raw(sized(WIDE_ZSTD, "Content-Encoding: zstd")), Reason.BAD_HTTP, 1),
    (
        "gzip of many members",
        raw(sized(gzip.compress(b"") * 1_001, "Content-Encoding: gzip")),
        Reason.BOMB,
        1,
    ),
    ("length in lists", raw(head("Content-Length: 3, 4") + b"abcd"), Reason.BAD_HTTP, 1),
    (
        "length with a blank in its name",
        raw(head("Content-Length : 3", "Content-Length: 4") + b"abcd"),
        Reason.BAD_HTTP,
        1,
    ),
    ("folded length", raw(head("X: y", " Content-Length: 3") + b"abcd"), Reason.BAD_HTTP, 1),
    ("length that goes on", raw(head("Content-Length: 3", " 4") + b"abcd"), Reason.BAD_HTTP, 1),
    ("length behind a bare CR", raw(head("X: y\rContent-Length: 3") + b"abcd"), Reason.BAD_HTTP, 1),
    ("length without a colon", raw(head("Content-Length 3") + b"abcd"), Reason.BAD_HTTP, 1),
    (
        "length and chunks with a blank",
        raw(head("Content-Length: 3", "Transfer-Encoding : chunked") + b"3\r\nabc\r\n0\r\n\r\n"),
        Reason.BAD_HTTP,
        1,
    ),
    ("informational by the thousand", raw(b"HTTP/1.1 103 Hints\r\n\r\n" * 1000), Reason.BAD_HTTP, 1),
    (
        "another part",
        raw(b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-2/4\r\nContent-Length: 3\r\n\r\nabc"),
        Reason.HTTP_OTHER,
        1,
    ),
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
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
RAW_DEFLATE = zlib.compressobj(wbits=-15)
GOOD: list[tuple[str, Route]] = [
    ("plain", raw(sized(BODY))),
    ("until the end", raw(head() + BODY)),
    ("HTTP/1.0", raw(b"HTTP/1.0 200 OK\r\n\r\n" + BODY)),
    ("chunks", raw(head("Transfer-Encoding: chunked") + CHUNKS)),
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
    ("brotli unasked", raw(sized(BROTLI, "Content-Encoding: br"))),
    ("brotli in pieces", raw(head("Content-Encoding: br"), *(bytes([b]) for b in BROTLI))),
    ("zstd unasked", raw(sized(ZSTD, "Content-Encoding: zstd"))),
    ("zstd in pieces", raw(head("Content-Encoding: zstd"), *(bytes([b]) for b in ZSTD))),
    ("HTTP/1.0 with a length", raw(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY))),
    ("identity", raw(sized(BODY, "Content-Encoding: identity"))),
    ("a name with a blank", raw(sized(BODY, "X Y: z"))),
    ("a name with brackets", raw(sized(BODY, "X-(Y): z"))),
    ("a name that is none", raw(sized(BODY, ": z"))),
    ("blanks around a name", raw(sized(BODY, "X-Y \t: z"))),
    ("blanks around the length", raw(head(f"Content-Length\t : \t{len(BODY)} ") + BODY)),
    ("no colon", raw(sized(BODY, "X-XSS-Protection=1;"))),
    ("CR CR LF", raw(sized(BODY, "X: y\r"))),
    ("CR CR LF at the end", raw(head(f"Content-Length: {len(BODY)}")[:-2] + b"\r\r\n" + BODY)),
    ("bare CR", raw(sized(BODY, "X: y\rz"))),
    ("LF alone", raw(sized(b"").replace(b"\r", b"").replace(b" 0", b" %d" % len(BODY)) + BODY)),
    ("folded", raw(sized(BODY, "X: y", "  z"))),
    ("length twice", raw(head(*[f"Content-Length: {len(BODY)}"] * 2) + BODY)),
    ("length in a list", raw(head(f"Content-Length: {len(BODY)}, {len(BODY)}") + BODY)),
    ("identity with a length", raw(sized(BODY, "Transfer-Encoding: Identity"))),
    ("chunks, a blank before the colon", raw(head("Transfer-Encoding : chunked") + CHUNKS)),
    (
        "a head byte by byte",
        raw(*(bytes([b]) for b in head(f"Content-Length: {len(BODY)}", "X (y) : z")), BODY),
    ),
    ("an encoding that is none", raw(sized(BODY, "Content-Encoding: utf-8"))),
]


@pytest.mark.parametrize("route", [g[1] for g in GOOD], ids=[g[0] for g in GOOD])
def test_good(route: Route) -> None:
    answer, server = run(ask(route))
    assert answer.ok, answer
    assert answer.body == BODY
    assert (answer.status, answer.tries, server.visits["/x"]) == (200, 1, 1)


@pytest.mark.parametrize(
    "status",
    ["201 Created", "202 Accepted", f"206 All\r\nContent-Range: bytes 0-{len(BODY) - 1}/{len(BODY)}"],
)
def test_successes_that_bring_all_of_it(status: str) -> None:
    answer, _ = run(ask(raw(sized(BODY).replace(b"200 OK", status.encode()))))
    assert answer.body == BODY
    assert answer.status == int(status[:3])


def test_a_mended_head_leaves_the_connection_fit_for_more() -> None:
    async def main() -> None:
        async def odd(visit: Visit) -> None:
            await visit.send(sized(BODY, "X (y) : z\r"))

        sink = Sink()
        async with (
            serving(otherwise=odd) as server,
            Crawler(replace(QUICK, per_host=1)) as crawler,
        ):
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(9)), sink)
        assert sink.reasons == {None: 9}
        assert server.connections == 1

    run(main())


@pytest.mark.parametrize("surplus", [3, 40, 60], ids=["a beginning", "a head", "an answer"])
def test_what_comes_between_two_requests_is_no_answer_to_the_second(surplus: int) -> None:
    async def main() -> None:
        async def route(visit: Visit) -> None:
            if visit.path == "/robots.txt":
                await visit.answer(body=b"User-agent: *\nCrawl-delay: 0.15\n")
                return
            await visit.send(sized(BODY))
            await asyncio.sleep(0.03)
            await visit.send(sized(b"another answer", "X: y" * 2)[:surplus])

        sink = Sink()
        settings = replace(PATIENT, robots=True, per_host=1, tries=1)
        async with serving(otherwise=route) as server, Crawler(settings) as crawler:
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(3)), sink)
        assert [sink.answers[i].body for i in range(3)] == [BODY] * 3

    run(main())


CHATTY = head("Transfer-Encoding: chunked") + b"1\r\nx\r\n" * 1_000_000


def test_a_host_whose_answers_cost_too_much_is_given_up_and_the_others_are_not(monkeypatch) -> None:
    """By a clock on which each piece of an answer costs 30 ms; 120 of them are allowed."""
    monkeypatch.setattr(client, "thread_time", map((0.01).__mul__, count()).__next__)
    monkeypatch.setattr(costs, "MOST_S", 3.6)
    monkeypatch.setattr(costs, "ANSWER_S", 0.0)

    async def main() -> None:
        sink = Sink()
        async with (
            serving(otherwise=raw(CHATTY)) as server,
            serving(otherwise=raw(sized(BODY))) as other,
            Crawler(replace(PATIENT, tries=3)) as crawler,
        ):
            urls = [server.url(f"/{i}") for i in range(40)] + [other.url(f"/{i}") for i in range(10)]
            await crawler.crawl(enumerate(urls), sink)
            assert sink.reasons == {Reason.COSTLY: 40, None: 10}
            assert server.visits.total() <= PATIENT.per_host
            assert all(sink.answers[i].tries <= 1 for i in range(40))

    run(main())


def test_a_host_that_sends_bomb_after_bomb_is_given_up() -> None:
    """One among good answers is not held against it."""
    bomb = raw(sized(gzip.compress(bytes(2 << 20)), "Content-Encoding: gzip"))

    async def main() -> None:
        async def mixed(visit: Visit) -> None:
            await (bomb if int(visit.path[1:]) % 3 else raw(sized(BODY)))(visit)

        sink, other = Sink(), Sink()
        settings = replace(PATIENT, per_host=1)
        async with (
            serving(otherwise=bomb) as server,
            serving(otherwise=mixed) as good,
            Crawler(settings) as crawler,
        ):
            await crawler.crawl(((i, server.url(f"/{i}")) for i in range(20)), sink)
            await crawler.crawl(((i, good.url(f"/{i}")) for i in range(20)), other)
            assert server.visits.total() == 3
            assert good.visits.total() == 20
        assert sink.reasons == {Reason.BOMB: 20}
        assert "not asked: the host sent 3 bombs in a row" in sink.answers[19].detail
        assert other.reasons == {Reason.BOMB: 13, None: 7}

    run(main())


def test_what_is_unpacked_counts_as_well(monkeypatch) -> None:
    monkeypatch.setattr(costs, "MOST_S", 0.0)
    monkeypatch.setattr(costs, "BYTE_S", 0.0)
    monkeypatch.setattr(costs, "PIECE_S", 0.0)
    monkeypatch.setattr(costs, "ANSWER_S", 0.0)
    answer, server = run(ask(raw(head("Content-Encoding: gzip"), gzip.compress(BODY), pause_s=0.05)))
    assert (answer.reason, server.visits["/x"]) == (Reason.COSTLY, 1)
    assert "processor" in answer.detail


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
