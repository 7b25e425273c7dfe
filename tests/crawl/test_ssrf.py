"""Nothing inside is ever connected to: a canary listens on loopback and must count no connection at all."""

import socket
from collections.abc import Sequence
from dataclasses import replace

import pytest
from aiohttp.abc import ResolveResult
from crawl_server import BODY, QUICK, FaultServer, Visit, serving

from gristmill.crawl import Answer, Crawler, CrawlSettings, Resolver, run
from gristmill.crawl.addresses import is_public
from gristmill.spec.reasons import Reason

# A loopback address that these tests declare public, for a server that redirects to the inside.
STRANGER = "127.0.0.99"

SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0X7F.0.0.0x1",
    "0177.0.0.1",
    "017700000001",
    "0177.0x0.1",
    "00000177.1",
    "0",
    "0.0.0.0",
    "127.0.0.2",
    "127.255.255.254",
    "①②⑦.⓪.⓪.①",
    "１２７．０．０．１",
    "127。0。0。1",
    "127%2e0%2e0%2e1",
    "%31%32%37.0.0.1",
    "0x7f%2E1",
    "localhost",
    "LOCALHOST.",
    "loc%61lhost",
    "ⓛocalhost",
    "a.localhost",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[0:0:0:0:0:0:0:1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[::1%25lo]",
    "user:pw@127.0.0.1",
    "example.org@127.0.0.1",
]
METADATA = [
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "192.0.0.192",
]


class Invented(Resolver):
    """Names and their addresses as the test says; ``rebound`` is what the HTTP client is told when it connects."""

    def __init__(
        self, settings: CrawlSettings, names: dict[str, Sequence[str]], rebound: dict[str, str] | None = None
    ) -> None:
        super().__init__(settings, lookup=self._invented)
        self.names, self.rebound = names, rebound or {}

    def _invented(self, host: str) -> Sequence[str]:
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self.names[host]

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        for result in found:
            result["host"] = self.rebound.get(host, result["host"])
        return found


@pytest.fixture(autouse=True)
def one_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("guard", "dns", "client"):
        monkeypatch.setattr(f"gristmill.crawl.{module}.is_public", lambda a: a == STRANGER or is_public(a))


def settings_for(port: int) -> CrawlSettings:
    return replace(QUICK, allow_private_addresses=False, allowed_ports=(port,), tries=1)


async def never(visit: Visit) -> None:
    await visit.answer()


async def explore(urls: list[str], *, redirected: bool) -> tuple[list[Answer], FaultServer]:
    """Ask for all URLs (``{port}`` filled in), directly or as the target of a redirect; give the canary."""
    async with serving(otherwise=never) as canary:
        port = canary.port
        targets = [url.format(port=port) for url in urls]

        async def redirect(visit: Visit) -> None:
            await visit.send(
                b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "
                + targets[int(visit.path[1:])].encode()
                + b"\r\n\r\n"
            )

        async with (
            serving(otherwise=never, host="::1", port=port) as canary6,
            serving(otherwise=redirect, host=STRANGER, port=port) as stranger,
            Crawler(settings_for(port)) as crawler,
        ):
            redirects = [f"http://{STRANGER}:{port}/{i}" for i in range(len(targets))]
            answers = [await crawler.fetch(url) for url in (redirects if redirected else targets)]
            assert stranger.visits.total() == (len(targets) if redirected else 0)
            canary.connections += canary6.connections
        return answers, canary


@pytest.mark.parametrize("redirected", [False, True], ids=["direct", "redirected"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_spelling_of_the_inside_is_connected_to(scheme: str, redirected: bool) -> None:
    urls = [f"{scheme}://{host}:{{port}}/" for host in SPELLINGS + METADATA]
    answers, canary = run(explore(urls, redirected=redirected))
    assert canary.connections == 0
    wanted = {Reason.PRIVATE_ADDRESS, Reason.BAD_URL, Reason.REDIRECTS}
    assert {a.reason for a in answers} <= wanted, [a for a in answers if a.reason not in wanted]
    private = sum(a.reason is Reason.PRIVATE_ADDRESS for a in answers)
    assert private >= len(urls) - 2  # a zone id is no address; a trailing dot may be either


def test_odd_forms_of_urls_lead_nowhere_else() -> None:
    forms = [
        "http:127.0.0.1:{port}",
        "http:/127.0.0.1:{port}",
        "http:\\\\127.0.0.1:{port}",
        "http:///127.0.0.1:{port}",
        "http://127.0.0.1:{port}#@example.org/",
        "http://127.0.0.1:{port}?@example.org/",
        "http://127.0.0.1:{port}\\@example.org/",
        "http://example.org:x@127.0.0.1:{port}/",
        "http://example.org%2f@127.0.0.1:{port}/",
    ]
    answers, canary = run(explore(forms, redirected=False))
    assert canary.connections == 0
    assert {a.reason for a in answers} == {Reason.PRIVATE_ADDRESS}


def test_a_scheme_relative_redirect_is_checked() -> None:
    answers, canary = run(explore(["//127.0.0.1:{port}/", "\\\\127.0.0.1:{port}/"], redirected=True))
    assert canary.connections == 0
    assert {a.reason for a in answers} == {Reason.PRIVATE_ADDRESS}


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["127.0.0.1", STRANGER],
        [STRANGER, "127.0.0.1"],
        [STRANGER, "::1"],
        ["10.0.0.1"],
    ],
    ids=str,
)
def test_a_name_with_any_private_address_is_refused(addresses: list[str]) -> None:
    async def main() -> None:
        async with serving(otherwise=never) as canary:
            settings = settings_for(canary.port)
            async with Crawler(
                settings, resolver=Invented(settings, {"inside.example": addresses})
            ) as crawler:
                answer = await crawler.fetch(f"http://inside.example:{canary.port}/")
            assert answer.reason is Reason.PRIVATE_ADDRESS
            assert canary.connections == 0

    run(main())


@pytest.mark.parametrize("rebound", ["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0"])
def test_a_name_that_rebinds_between_check_and_connect_gains_nothing(rebound: str) -> None:
    async def main() -> None:
        async with serving(otherwise=never) as canary:
            settings = settings_for(canary.port)
            resolver = Invented(settings, {"re.example": [STRANGER]}, {"re.example": rebound})
            async with Crawler(settings, resolver=resolver) as crawler:
                answer = await crawler.fetch(f"http://re.example:{canary.port}/")
            assert answer.reason is Reason.PRIVATE_ADDRESS, answer
            assert canary.connections == 0

    run(main())


def test_the_stranger_itself_is_reached() -> None:
    """Or all of the above would prove nothing."""

    async def main() -> None:
        async with serving(otherwise=never, host=STRANGER) as server:
            settings = settings_for(server.port)
            async with Crawler(settings, resolver=Invented(settings, {"out.example": [STRANGER]})) as crawler:
                for host in (STRANGER, "out.example", "0x7f.0.0.99"):
                    assert (await crawler.fetch(f"http://{host}:{server.port}/")).body == BODY
                answer = await crawler.fetch(f"http://{STRANGER}:{server.port + 1}/")
                assert answer.reason is Reason.BAD_PORT

    run(main())


def test_inside_addresses_may_be_allowed() -> None:
    async def main() -> None:
        async with serving(otherwise=never) as server, Crawler(QUICK) as crawler:
            assert (await crawler.fetch(f"http://localhost:{server.port}/")).ok
            assert (await crawler.fetch(f"http://0x7f.1:{server.port}/")).ok

    run(main())
