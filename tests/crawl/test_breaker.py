"""Our own dead network against a dead web. The network is played by the name service: while it is down, names are
not found, or lead to an address where nobody listens."""

import asyncio
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from crawl_server import QUICK, FaultServer, Route, Visit, serving
from test_politeness import Sink, good

from gristmill.crawl import Crawler, CrawlSettings, CrawlStopped, Resolver, run
from gristmill.crawl.breaker import Breaker
from gristmill.spec.errors import OursNotTheirs
from gristmill.spec.reasons import Reason

SETTINGS = replace(
    QUICK,
    in_flight=8,
    tries=2,
    dns_ttl_s=1e-6,
    dns_failure_ttl_s=1e-6,
    breaker_hosts=32,
    breaker_patience_s=0.4,
    host_patience_s=0.2,
)
HERE, NOWHERE = "127.0.0.1", "127.0.0.9"


async def once(visit: Visit) -> None:
    """A good answer; the connection does not outlive it."""
    await good(visit)
    visit.hang_up()


async def cut(visit: Visit) -> None:
    """No answer."""
    visit.reset()


@dataclass
class Net:
    """A name service that may be taken down."""

    up: bool = True
    names_when_down: bool = False
    dead: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def lookup(self, host: str) -> list[str]:
        self.asked.append(host)
        if not self.up and not self.names_when_down:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if host in self.missing:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [NOWHERE if host in self.dead or not self.up else HERE]


def crawl(
    net: Net,
    hosts: list[str],
    settings: CrawlSettings = SETTINGS,
    *,
    after: tuple[int, Callable[[], None]] | None = None,
    stop: threading.Event | None = None,
    page: Route = once,
) -> Sink:
    """Ask every host for one URL (or for as many as it is named); ``after`` so many answers, do something."""

    class Watching(Sink):
        async def __call__(self, index, answer):
            await super().__call__(index, answer)
            if after is not None and len(self.answers) == after[0]:
                after[1]()

    sink = Watching()

    async def main() -> None:
        async with (
            serving(otherwise=page) as server,
            Crawler(settings, resolver=Resolver(settings, lookup=net.lookup)) as crawler,
        ):
            urls = [f"http://{host}:{server.port}/{i}" for i, host in enumerate(hosts)]
            try:
                await crawler.crawl(enumerate(urls), sink, stop=stop, grace_s=0.3)
            finally:
                sink.left = crawler.in_hand

    try:
        run(main())
    finally:
        assert sink.left.at_rest
    return sink


HOSTS = [f"h{i}.example" for i in range(200)]


@pytest.mark.parametrize("names", [True, False], ids=["connections fail", "names fail"])
def test_when_our_network_goes_down_the_crawl_stops_and_records_none_of_it(names: bool) -> None:
    net = Net(names_when_down=names)
    with pytest.raises(OursNotTheirs) as caught:
        crawl(net, HOSTS, after=(100, lambda: setattr(net, "up", False)))
    assert caught.value.exit_code == 3
    said = str(caught.value)
    assert "the same command again" in said
    assert re.search(r"neither do h(9|10)\d\.example", said)  # those that answered last


def test_nothing_that_looks_ours_is_handed_over_before_it_trips() -> None:
    net = Net()
    seen = []

    async def main() -> None:
        async def keep(index, answer):
            seen.append(answer.reason)
            if len(seen) == 50:
                net.up = False

        resolver = Resolver(SETTINGS, lookup=net.lookup)
        async with serving(otherwise=good) as server, Crawler(SETTINGS, resolver=resolver) as crawler:
            urls = [f"http://{host}:{server.port}/" for host in HOSTS]
            with pytest.raises(OursNotTheirs):
                await crawler.crawl(enumerate(urls), keep)
            with pytest.raises(OursNotTheirs):  # it stays so
                await crawler.fetch(urls[0])

    run(main())
    assert set(seen) == {None}
    assert len(seen) >= 50


def test_a_network_that_comes_back_in_time_costs_nothing() -> None:
    net = Net()

    def blip() -> None:
        net.up = False
        asyncio.get_running_loop().call_later(0.5, lambda: setattr(net, "up", True))

    sink = crawl(net, HOSTS, replace(SETTINGS, breaker_patience_s=5), after=(100, blip))
    assert sink.reasons == {None: 200}


@pytest.mark.parametrize("names", [True, False], ids=["connections fail", "names fail"])
def test_a_network_that_goes_down_is_noticed_by_robots_txt_too(names: bool) -> None:
    net = Net(names_when_down=names)
    settings = replace(SETTINGS, robots=True, tdmrep=True)
    with pytest.raises(OursNotTheirs):
        crawl(net, HOSTS, settings, after=(100, lambda: setattr(net, "up", False)))


def test_what_robots_txt_could_not_be_asked_for_is_asked_anew_once_our_network_is_back() -> None:
    net = Net()

    def blip() -> None:
        net.up = False
        asyncio.get_running_loop().call_later(0.5, lambda: setattr(net, "up", True))

    settings = replace(SETTINGS, robots=True, breaker_patience_s=5)
    assert crawl(net, HOSTS, settings, after=(100, blip)).reasons == {None: 200}


def test_hosts_that_are_really_dead_are_recorded_while_others_can_be_reached() -> None:
    net = Net(dead=set(HOSTS[20:]))
    assert crawl(net, HOSTS).reasons == {None: 20, Reason.CONNECT_FAILED: 180}
    net = Net(missing=set(HOSTS[20:]))
    assert crawl(net, HOSTS).reasons == {None: 20, Reason.DNS_NOT_FOUND: 180}


def test_a_list_of_which_nothing_lives() -> None:
    assert crawl(Net(missing=set(HOSTS)), HOSTS).reasons == {Reason.DNS_NOT_FOUND: 200}
    assert crawl(Net(dead=set(HOSTS)), HOSTS).reasons == {Reason.CONNECT_FAILED: 200}


def test_no_name_is_looked_up_that_the_list_does_not_hold_once_somebody_has_answered() -> None:
    net = Net()
    urls = [*HOSTS[:1] * 20, *HOSTS[1:21]]

    def go_down() -> None:
        net.dead.update(HOSTS)

    assert crawl(net, urls, after=(10, go_down)).reasons[Reason.CONNECT_FAILED]
    assert set(net.asked) <= set(HOSTS)


@pytest.mark.parametrize("name", ["", "always.example"])
def test_the_name_that_is_looked_up_may_be_chosen(name: str) -> None:
    net = Net(missing=set(HOSTS))
    settings = replace(SETTINGS, breaker_name=name)
    if name:
        assert crawl(net, HOSTS, settings).reasons == {Reason.DNS_NOT_FOUND: 200}
    else:
        with pytest.raises(OursNotTheirs):
            crawl(net, HOSTS, settings)
    assert set(net.asked) - set(HOSTS) == ({name} if name else set())


def test_a_name_service_that_was_down_from_the_start() -> None:
    with pytest.raises(OursNotTheirs, match="different hosts in a row"):
        crawl(Net(up=False), HOSTS)


@pytest.mark.parametrize("error", [socket.EAI_NONAME, socket.EAI_AGAIN])
def test_a_name_service_that_knows_no_name_at_all(error: int) -> None:
    """Which of the two the system says of a name server that is not there depends on the system."""

    class Nameless(Net):
        def lookup(self, host: str) -> list[str]:
            raise socket.gaierror(error, "Name or service not known")

    with pytest.raises(OursNotTheirs):
        crawl(Nameless(), HOSTS)


def test_what_was_cut_off_before_anybody_answered_decides_nothing() -> None:
    """The first requests of a worker are reset as the network goes down; all that follow find nobody."""

    class CutOff(Net):
        def lookup(self, host: str) -> list[str]:
            if host.startswith("cut"):
                return [HERE]
            if host in HOSTS:
                return [NOWHERE]
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with pytest.raises(OursNotTheirs):
        crawl(CutOff(), [f"cut{i}.example" for i in range(20)] + HOSTS, replace(SETTINGS, tries=1), page=cut)


def test_a_name_service_that_leads_everything_to_a_login_page() -> None:
    class Portal(Net):
        def lookup(self, host: str) -> list[str]:
            return ["10.0.0.1"]

    with pytest.raises(OursNotTheirs):
        crawl(
            Portal(),
            HOSTS,
            replace(SETTINGS, allow_private_addresses=False, allowed_ports=tuple(range(1024, 65536))),
        )


def test_a_tiny_list_is_recorded_as_it_is() -> None:
    assert crawl(Net(up=False), HOSTS[:3]).reasons == {Reason.DNS_FAILED: 3}


def test_one_host_that_dies_with_hundreds_of_urls_left() -> None:
    net = Net()
    sink = crawl(net, ["cdn.example"] * 300, after=(100, lambda: net.dead.add("cdn.example")))
    assert sink.reasons[None] >= 100
    assert sink.reasons.total() == 300
    assert set(sink.reasons) == {None, Reason.CONNECT_FAILED}


def test_one_host_only_and_our_network_goes_down() -> None:
    net = Net()
    with pytest.raises(OursNotTheirs, match=r"neither do cdn\.example"):
        crawl(net, ["cdn.example"] * 300, after=(100, lambda: setattr(net, "up", False)))


def test_the_breaker_may_be_switched_off() -> None:
    net = Net()
    settings = replace(SETTINGS, breaker_hosts=0)
    sink = crawl(net, HOSTS, settings, after=(100, lambda: setattr(net, "up", False)))
    assert sink.reasons.total() == 200
    assert sink.reasons[Reason.DNS_FAILED] > 80


def test_a_stop_while_we_wait_for_our_network() -> None:
    net, stop = Net(), threading.Event()

    def down() -> None:
        net.up = False
        asyncio.get_running_loop().call_later(0.6, stop.set)

    with pytest.raises(CrawlStopped):
        crawl(net, HOSTS, replace(SETTINGS, breaker_patience_s=60), after=(100, down), stop=stop)


def test_probing_connects_and_asks_for_nothing() -> None:
    net = Net(dead=set(HOSTS[40:]))

    async def main() -> FaultServer:
        async def route(visit: Visit) -> None:
            await visit.answer()

        resolver = Resolver(SETTINGS, lookup=net.lookup)
        async with serving(otherwise=route) as server, Crawler(SETTINGS, resolver=resolver) as crawler:
            urls = [f"http://{host}:{server.port}/{i}" for i, host in enumerate(HOSTS)]
            await crawler.crawl(enumerate(urls), Sink())
        return server

    server = run(main())
    assert server.visits.total() == 40
    assert server.connections > 40


def counted_looks(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grows each time somebody looks whether the breaker is open, as the crawler does before it begins anything."""
    looks: list[None] = []

    class Watched(Breaker):
        @property
        def open(self) -> bool:
            looks.append(None)
            return self.is_open

        @open.setter
        def open(self, value: bool) -> None:
            self.is_open = value

    monkeypatch.setattr("gristmill.crawl.crawler.Breaker", Watched)
    return looks


def test_while_our_network_is_away_nothing_spins(monkeypatch) -> None:
    """A back-off that runs out while nothing may begin must not be polled for."""
    net, looks = Net(names_when_down=True), counted_looks(monkeypatch)
    with pytest.raises(OursNotTheirs):
        crawl(net, HOSTS, after=(100, lambda: setattr(net, "up", False)))
    assert len(HOSTS) <= len(looks) < 20 * len(HOSTS)


def test_a_retry_that_is_due_while_all_places_are_taken_is_not_polled_for(monkeypatch) -> None:
    looks = counted_looks(monkeypatch)

    async def slow(visit: Visit) -> None:
        await asyncio.sleep(0.5)
        await good(visit)

    async def flaky(visit: Visit) -> None:
        if visit.number == 1:
            await visit.answer("500 Oh", b"")
        else:
            await good(visit)

    settings = replace(QUICK, in_flight=1, slow_after_s=3, total_s=3, stall_s=3, tries=2)

    async def main() -> Sink:
        sink = Sink()
        resolver = Resolver(settings, lookup=lambda _: [HERE])
        async with (
            serving({"/flaky": flaky, "/slow": slow}) as server,
            Crawler(settings, resolver=resolver) as crawler,
        ):
            urls = [f"http://a.example:{server.port}/flaky", f"http://b.example:{server.port}/slow"]
            await crawler.crawl(enumerate(urls), sink)
        return sink

    assert run(main()).reasons == {None: 2}
    assert 2 <= len(looks) < 50
