"""Large bodies go to files, and go on where they broke off, if the server still has the same."""

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest
from crawl_server import QUICK, Route, Visit, serving

from gristmill.crawl import Crawler, CrawlStopped, run
from gristmill.spec.body import FileBody, bytes_of
from gristmill.spec.errors import MachineError
from gristmill.spec.reasons import Reason

LARGE = random.Random(1).randbytes(3 << 20)
SMALL = LARGE[:1000]
SETTINGS = replace(QUICK, large_bytes=4096, max_body_bytes=8 << 20, tries=4, total_s=20, stall_s=5)


async def crawled(route: Route, folder: Path, settings=SETTINGS, tls=None):
    """What comes of one URL: its reason or bytes, how they came, the ranges that were asked for."""
    said: list[object] = []
    asked: list[str | None] = []

    async def noting(visit: Visit) -> None:
        asked.append(visit.headers.get("range"))
        await route(visit)

    async def consume(_: int, answer) -> None:
        assert isinstance(answer.body, FileBody) == (answer.ok and len(bytes_of(answer.body)) > 4096)
        said.append(answer.reason if answer.body is None else bytes_of(answer.body))

    async with serving({"/x": noting}) as server, Crawler(settings) as crawler:
        crawler.share(folder)
        await crawler.crawl([(0, server.url("/x"))], consume)
        assert crawler.in_hand.peak_bytes < 2 << 20
        assert crawler.in_hand.at_rest
    return said[0], asked


def left(folder: Path) -> list[str]:
    return (
        sorted(path.suffix for path in (folder / "bodies").iterdir()) if (folder / "bodies").exists() else []
    )


def served(
    body: bytes = LARGE, tag: str = 'ETag: "1"', *, cut_at: tuple[int, ...] = (), ranges: bool = True
) -> Route:
    """A server with one file, which breaks off after so many bytes at its first answers."""

    async def route(visit: Visit) -> None:
        asked = visit.headers.get("range")
        start = 0
        status, more = "200 OK", [tag]
        if asked and ranges and visit.headers.get("if-range") == tag.partition(": ")[2]:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                await visit.answer("416 No", b"", f"Content-Range: bytes */{len(body)}")
                return
            status = "206 Partial Content"
            more.append(f"Content-Range: bytes {start}-{len(body) - 1}/{len(body)}")
        rest = body[start:]
        if visit.number <= len(cut_at):
            lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(rest)}", *more]
            await visit.send("\r\n".join(lines).encode() + b"\r\n\r\n" + rest[: cut_at[visit.number - 1]])
            await asyncio.sleep(0.1)  # what was sent shall come
            visit.hang_up()
        else:
            await visit.answer(status, rest, *more)

    return route


def test_a_large_body_is_a_file_and_a_small_one_is_not(tmp_path):
    for body in (LARGE, SMALL):
        assert run(crawled(served(body), tmp_path)) == (body, [None])
    assert left(tmp_path) == []


@pytest.mark.parametrize("tag", ['ETag: "1"', "Last-Modified: Wed, 02 Dec 2026 00:00:00 GMT"])
def test_what_broke_off_goes_on(tmp_path, tag):
    got, asked = run(crawled(served(tag=tag, cut_at=(1 << 20, 700_000)), tmp_path))
    assert got == LARGE
    assert asked == [None, f"bytes={1 << 20}-", f"bytes={(1 << 20) + 700_000}-"]


@pytest.mark.parametrize(
    ("tag", "ranges"), [('ETag: W/"1"', True), ("X-Nothing: 1", True), ('ETag: "1"', False)]
)
def test_without_a_strong_validator_or_ranges_it_begins_anew(tmp_path, tag, ranges):
    got, asked = run(crawled(served(tag=tag, cut_at=(1 << 20,), ranges=ranges), tmp_path))
    assert got == LARGE
    assert len(asked) == 2


def test_a_file_that_changed_in_between_comes_whole(tmp_path):
    other = LARGE[::-1]
    first, then = served(cut_at=(1 << 20,)), served(other, 'ETag: "2"')

    async def route(visit: Visit) -> None:
        await (first if visit.number == 1 else then)(visit)

    assert run(crawled(route, tmp_path))[0] == other


def test_a_later_crawl_goes_on_and_what_is_gone_leaves_nothing(tmp_path):
    one_try = replace(SETTINGS, tries=1)

    async def both() -> None:
        gone = False
        route = served(cut_at=(1 << 20,))

        async def until_gone(visit: Visit) -> None:
            await (visit.answer("404 No", b"") if gone else route(visit))

        said = []

        async def consume(_: int, answer) -> None:
            said.append(answer.reason if answer.body is None else bytes_of(answer.body))

        async with serving({"/x": until_gone, "/y": until_gone}) as server:
            for path in ("/x", "/x", "/y", "/y"):
                gone = path == "/y" and len(said) == 3
                async with Crawler(one_try) as crawler:
                    crawler.share(tmp_path)
                    await crawler.crawl([(0, server.url(path))], consume)
                assert left(tmp_path) == (["", ".json"] if len(said) in (1, 3) else [])
        assert said == [Reason.SHORT_BODY, LARGE, Reason.SHORT_BODY, Reason.HTTP_404]

    run(both())


def test_a_stop_keeps_what_came(tmp_path):
    async def stopped() -> None:
        import threading

        stop = threading.Event()

        async def route(visit: Visit) -> None:
            lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(LARGE)}", 'ETag: "1"', "", ""]
            await visit.send("\r\n".join(lines).encode() + LARGE[:2_000_000])
            await asyncio.sleep(0.2)
            stop.set()
            await asyncio.sleep(5)

        async def consume(_: int, answer) -> None:
            raise AssertionError

        async with serving({"/x": route}) as server, Crawler(SETTINGS) as crawler:
            crawler.share(tmp_path)
            with pytest.raises(CrawlStopped):
                await crawler.crawl([(0, server.url("/x"))], consume, stop=stop, grace_s=0.3)
        (part,) = [path for path in (tmp_path / "bodies").iterdir() if not path.suffix]
        assert part.read_bytes() == LARGE[:2_000_000]

    run(stopped())


def test_lies_about_length_and_ranges(tmp_path):
    def answering(status: str, *lines: str) -> Route:
        async def route(visit: Visit) -> None:
            if visit.number == 1:
                await served(cut_at=(1 << 20,))(visit)
            else:
                await visit.answer(status, LARGE[:5000], *lines)

        return route

    for status, said in (
        ("206 Part", f"Content-Range: bytes 0-4999/{len(LARGE)}"),  # not what was asked for
        ("206 Part", f"Content-Range: bytes {1 << 20}-{len(LARGE) - 1}/{len(LARGE)}"),  # and fewer come
        ("206 Part", f"Content-Range: bytes {1 << 20}-{(1 << 20) + 4999}/{(1 << 20) + 5000}"),  # another size
        ("206 Part", "X-No-Range: 1"),
        ("416 No", "Content-Range: bytes */7"),
    ):
        got, _ = run(crawled(answering(status, said), tmp_path))
        assert isinstance(got, Reason), (status, said)


def test_an_endless_body_ends_at_the_limit(tmp_path):
    async def route(visit: Visit) -> None:
        await visit.send(b'HTTP/1.1 200 OK\r\nETag: "1"\r\n\r\n')
        for _ in range(1000):
            await visit.send(LARGE[: 1 << 20])

    got, _ = run(crawled(route, tmp_path))
    assert (got, left(tmp_path)) == (Reason.TOO_LARGE, [])


def test_a_full_disk_is_the_machines_fault(tmp_path, monkeypatch):
    def full(fd, data, offset):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(MachineError):
        run(crawled(served(), tmp_path))
