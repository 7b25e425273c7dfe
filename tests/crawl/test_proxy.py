"""Asking through a proxy: a made-up one on loopback, which knows every name as 127.0.0.1."""

import asyncio
import base64
import socket
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest
import trustme
from crawl_server import BODY, QUICK, accepting, serving
from test_politeness import Sink, good
from test_tls import server_side

from gristmill.crawl import Crawler, CrawlSettings, Resolver, run
from gristmill.spec.errors import OursNotTheirs
from gristmill.spec.reasons import Reason

SETTINGS = replace(
    QUICK, tries=2, breaker_patience_s=0.3, allow_private_addresses=False, allowed_ports=tuple(range(65536))
)
DEAD = "dead.example"


def lookup(host: str) -> list[str]:
    """What this machine finds itself: only one name, and that is inside."""
    if host == "inside.example":
        return ["10.0.0.7"]
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@dataclass
class Proxy:
    """Forwards plain HTTP, and tunnels for CONNECT."""

    login: str = ""
    down: bool = False
    """Whether its own line is cut: 502 to everything."""
    asked: Counter[str] = field(default_factory=Counter)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://{self.login}{'@' * bool(self.login)}127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, place, _ = head.split(" ", 2)
        host, _, port = place.removeprefix("http://").partition("/")[0].partition(":")
        self.asked[f"{method} {host}"] += 1
        expected = f"Proxy-Authorization: Basic {base64.b64encode(self.login.encode()).decode()}\r\n"
        if self.login and expected not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        elif self.down or host == DEAD:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        elif host == "example.com":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            await self._forward(method, head, int(port), reader, writer)
        await writer.drain()

    async def _forward(self, method, head, port, reader, writer) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            first, lines = head.split("\r\n", 1)
            path = "/" + first.split(" ")[1].split("/", 3)[3]
            back.write(f"{method} {path} HTTP/1.1\r\nConnection: close\r\n{lines}".encode())
        try:
            await asyncio.gather(_pipe(reader, back), _pipe(there, writer))
        finally:
            back.transport.abort()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxying(**more):
    proxy = Proxy(**more)
    async with accepting(proxy.serve) as proxy.port:
        yield proxy


def crawler(proxy: str, settings: CrawlSettings = SETTINGS) -> Crawler:
    settings = replace(settings, proxy=proxy)
    return Crawler(settings, resolver=Resolver(settings, lookup=lookup))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_everything_is_asked_through_it_with_its_login(scheme: str) -> None:
    authority = trustme.CA()
    tls = server_side(authority.issue_cert("img.example")) if scheme == "https" else None

    async def main() -> None:
        async with serving(otherwise=good, tls=tls) as server, proxying(login="ann:pa:ss") as proxy:
            settings = replace(SETTINGS, robots=True, verify_tls=False)
            async with crawler(proxy.url, settings) as asking:
                answer = await asking.fetch(f"{scheme}://img.example:{server.port}/a")
            assert answer.body == BODY, answer
            assert server.visits == {"/robots.txt": 1, "/a": 1}
            method = "CONNECT" if tls else "GET"
            assert set(proxy.asked) == {f"{method} img.example"}
            assert not any("proxy-authorization" in headers for headers in server.seen_headers if tls)

    run(main())


def test_the_login_may_be_in_the_environment_and_is_nowhere_else(monkeypatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROXY_LOGIN", "ann:secret")
    said = replace(SETTINGS, proxy="http://bob:hidden@127.0.0.1:3128")
    assert "hidden" not in repr(said)

    async def main() -> None:
        async with (
            serving(otherwise=good) as server,
            proxying(login="ann:secret") as proxy,
            crawler(f"http://127.0.0.1:{proxy.port}") as asking,
        ):
            assert (await asking.fetch(f"http://img.example:{server.port}/a")).ok

    run(main())


@pytest.mark.parametrize(
    "url", ["socks5://h:1", "h:3128", "http://", "http://u:geheim@h:x", "http://u:geheim@h/path", "https://h"]
)
def test_what_is_no_http_proxy_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ValueError, match="proxy must be http://HOST:PORT") as caught:
        replace(SETTINGS, proxy=url)
    assert "geheim" not in str(caught.value)


def test_inside_addresses_are_not_asked_through_it() -> None:
    async def main() -> None:
        async with proxying() as proxy, crawler(proxy.url) as asking:
            for host in ("127.0.0.1", "[::1]", "0x7f.1", "localhost", "inside.example"):
                answer = await asking.fetch(f"http://{host}/a")
                assert answer.reason is Reason.PRIVATE_ADDRESS, answer
            assert not proxy.asked

    run(main())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_hosts_that_it_does_not_reach_are_their_own_fault_while_it_reaches_others(scheme: str) -> None:
    async def main() -> None:
        sink = Sink()
        async with serving(otherwise=good) as server, proxying() as proxy, crawler(proxy.url) as asking:
            urls = [f"http://img.example:{server.port}/{i}" for i in range(3)]
            await asking.crawl(enumerate([f"{scheme}://{DEAD}:{server.port}/x", *urls]), sink)
        assert sink.answers[0].reason is (Reason.HTTP_5XX if scheme == "http" else Reason.CONNECT_FAILED)
        assert "502" in sink.answers[0].detail
        assert sink.reasons[None] == 3

    run(main())


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("fault", ["dead", "login", "line"])
@pytest.mark.parametrize("breaker_hosts", [0, 32])
def test_a_proxy_that_lets_nothing_through_ends_the_crawl_and_convicts_nobody(
    scheme: str, fault: str, breaker_hosts: int
) -> None:
    async def main() -> None:
        sink = Sink()
        async with proxying(login="ann:secret", down=fault == "line") as proxy:
            url = proxy.url if fault != "login" else proxy.url.replace("secret", "wrong")
            if fault == "dead":
                with socket.socket() as free:
                    free.bind(("127.0.0.1", 0))
                    url = f"http://ann:secret@127.0.0.1:{free.getsockname()[1]}"
            settings = replace(SETTINGS, breaker_hosts=breaker_hosts)
            async with crawler(url, settings) as asking:
                with pytest.raises(OursNotTheirs, match="Check --proxy") as caught:
                    await asking.crawl(((i, f"{scheme}://h{i}.example/{i}") for i in range(5)), sink)
        said = str(caught.value)
        assert sink.answers == {}
        assert "secret" not in said
        assert "wrong@" not in said
        assert {"dead": "127.0.0.1", "login": "407", "line": "502"}[fault] in said

    run(main())


def test_a_robots_txt_that_the_proxy_cannot_bring_convicts_nobody() -> None:
    async def main() -> None:
        async with proxying(down=True) as proxy, crawler(proxy.url, replace(SETTINGS, robots=True)) as asking:
            with pytest.raises(OursNotTheirs):
                await asking.fetch("http://img.example/a")

    run(main())


def test_a_proxy_that_comes_back_in_time_costs_nothing() -> None:
    async def main() -> None:
        sink = Sink()
        async with serving() as server, proxying() as proxy:
            server.otherwise = good

            async def consume(index, answer):
                await sink(index, answer)
                if len(sink.answers) == 3:
                    proxy.down = True
                    asyncio.get_running_loop().call_later(0.5, setattr, proxy, "down", False)

            settings = replace(SETTINGS, in_flight=1, breaker_patience_s=5.0)
            async with crawler(proxy.url, settings) as asking:
                await asking.crawl(((i, f"http://h{i}.example:{server.port}/") for i in range(12)), consume)
        assert sink.reasons == {None: 12}

    run(main())
