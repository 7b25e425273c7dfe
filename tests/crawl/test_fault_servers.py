"""What one server may do to us, and the one reason that each comes to."""

import gzip
import random
import zlib
from dataclasses import replace

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

from gristmill.crawl import Answer, Crawler, run
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
    ("brotli unasked", raw(sized(BROTLI, "Content-Encoding: br"))),
    ("brotli in pieces", raw(head("Content-Encoding: br"), *(bytes([b]) for b in BROTLI))),
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
