"""robots.txt in its forms (RFC 9309)."""

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from crawl_server import QUICK, FaultServer, Visit, serving
from test_politeness import Sink

from gristmill.crawl import Crawler, CrawlSettings, run
from gristmill.spec.reasons import Reason

OBEYING = replace(QUICK, robots=True)
ALL = "User-agent: *\nDisallow: /\n"


def text(body: str | bytes, status: str = "200 OK", *headers: str) -> Callable[[Visit], Awaitable[None]]:
    async def route(visit: Visit) -> None:
        await visit.answer(status, body if isinstance(body, bytes) else body.encode(), *headers)

    return route


async def picture(visit: Visit) -> None:
    await visit.answer()


async def silent(visit: Visit) -> None:
    await asyncio.sleep(30)


async def endless(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 200 OK\r\n\r\nUser-agent: *\nDisallow: /no\n")
    while True:
        await visit.send(b"# more\n" * 10_000)


async def hang_up(visit: Visit) -> None:
    visit.hang_up()


def read_in_threads(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The threads in which such files are read and looked at from now on, at no host's cost."""
    threads: set[int] = set()

    def clock() -> float:
        threads.add(threading.get_ident())
        return 0.0

    monkeypatch.setattr("gristmill.crawl.consent.thread_time", clock)
    return threads


async def asked(
    robots, paths: list[str], settings: CrawlSettings = OBEYING
) -> tuple[list[Reason | None], FaultServer, Sink]:
    sink = Sink()
    async with (
        serving({"/robots.txt": robots}, otherwise=picture) as server,
        Crawler(settings) as crawler,
    ):
        await crawler.crawl(enumerate(server.url(path) for path in paths), sink)
        assert crawler.in_hand.at_rest
    return [sink.answers[i].reason for i in range(len(paths))], server, sink


R, OK = Reason.ROBOTS, None
FORMS = [
    ("allows all", text("User-agent: *\nDisallow:\n"), [OK, OK]),
    ("disallows all", text(ALL), [R, R]),
    ("one folder", text("User-agent: *\nDisallow: /no/\n"), [OK, R]),
    ("longest match wins", text("User-agent: *\nDisallow: /\nAllow: /yes/\n"), [OK, R]),
    ("wildcards", text("User-agent: *\nDisallow: /n*/x.jpg$\n"), [OK, R]),
    ("us by name", text(f"User-agent: gristmill\nDisallow: /no/\n\n{ALL}"), [OK, R]),
    ("others by name", text("User-agent: otherbot\nDisallow: /\n"), [OK, OK]),
    ("byte order mark", text("\ufeff" + ALL), [R, R]),
    ("CR LF", text(ALL.replace("\n", "\r\n")), [R, R]),
    ("not text", text(b"\xff\xfe\x00" * 50), [OK, OK]),
    ("a page", text("<html>not found</html>"), [OK, OK]),
    ("empty", text(""), [OK, OK]),
    ("404", text(ALL, "404 Not Found"), [OK, OK]),
    ("403", text(ALL, "403 Forbidden"), [OK, OK]),
    ("500", text("", "500 Oops"), [Reason.HTTP_5XX] * 2),
    ("429", text("", "429 Slow"), [Reason.HTTP_429] * 2),
    ("opt-out header", text("User-agent: *\nDisallow: /no/", "200 OK", "X-Robots-Tag: noai"), [OK, R]),
    ("never ends", endless, [OK, R]),
    ("stalls", silent, [Reason.STALLED] * 2),
    ("hangs up", hang_up, [Reason.RESET] * 2),
]


@pytest.mark.parametrize(("robots", "wanted"), [form[1:] for form in FORMS], ids=[form[0] for form in FORMS])
def test_forms(robots, wanted) -> None:
    reasons, server, sink = run(asked(robots, ["/yes/x.jpg", "/no/x.jpg"]))
    assert reasons == wanted
    answered = not set(wanted) & {Reason.STALLED, Reason.RESET}  # else it is asked for anew with each try
    assert 1 <= server.visits["/robots.txt"] <= (1 if answered else 2 * OBEYING.tries)
    for i, path in enumerate(("/yes/x.jpg", "/no/x.jpg")):
        assert server.visits[path] == (wanted[i] is None)
        assert wanted[i] is None or "robots.txt" in sink.answers[i].detail


def test_it_is_not_asked_for_unless_so_set() -> None:
    reasons, server, _ = run(asked(text(ALL), ["/a"], QUICK))
    assert reasons == [None]
    assert server.visits["/robots.txt"] == 0


def test_it_is_asked_for_once_for_an_origin_and_before_anything_else() -> None:
    reasons, server, _ = run(asked(text("User-agent: *\nDisallow: /9"), [f"/{i}" for i in range(200)]))
    assert Counter(reasons) == {None: 189, R: 11}
    assert server.visits["/robots.txt"] == 1
    assert server.log[0][0] == "/robots.txt"


@pytest.mark.parametrize(("hops", "wanted"), [(5, R), (6, None)])
def test_redirects_are_followed_up_to_five(hops: int, wanted: Reason | None) -> None:
    async def hop(visit: Visit) -> None:
        number = int(visit.path.partition("?")[2] or 0)
        await (visit.redirect(f"/robots.txt?{number + 1}") if number < hops else text(ALL)(visit))

    assert run(asked(hop, ["/x"]))[0] == [wanted]


def test_a_redirect_inside_is_not_followed() -> None:
    async def main() -> None:
        async def inside(visit: Visit) -> None:
            await visit.redirect("file:///etc/hostname")

        reasons, _, _ = await asked(inside, ["/x"])
        assert reasons == [None]  # a robots.txt that cannot be had by redirects counts as none

    run(main())


def test_only_the_first_500_kib_count() -> None:
    rules = b"# " + b"x" * (500 * 1024) + b"\n" + ALL.encode()
    assert run(asked(text(rules), ["/x"]))[0] == [None]


def test_a_redirect_is_checked_at_its_own_origin() -> None:
    async def main() -> None:
        async with serving({"/robots.txt": text(ALL)}, otherwise=picture) as landing:

            async def to_landing(visit: Visit) -> None:
                if visit.path == "/robots.txt":
                    await visit.answer("404 Not Found", b"")
                else:
                    await visit.redirect(landing.url("/x"))

            async with serving(otherwise=to_landing) as server, Crawler(OBEYING) as crawler:
                answer = await crawler.fetch(server.url("/x"))
            assert answer.reason is R
            assert landing.visits == {"/robots.txt": 1}

    run(main())


@pytest.mark.parametrize("per_host", [1, 6])
@pytest.mark.parametrize(("said", "bounded"), [(None, False), ("3600", True)], ids=["as said", "bounded"])
def test_crawl_delay_is_kept_within_bounds(said: str | None, bounded: bool, per_host: int) -> None:
    async def gaps(delay_s: float) -> list[float]:
        settings = replace(OBEYING, max_crawl_delay_s=delay_s if bounded else 3000.0, per_host=per_host)
        robots = text(f"User-agent: *\nCrawl-delay: {said or delay_s}\n")
        reasons, server, _ = await asked(robots, [f"/{i}" for i in range(4)], settings)
        assert reasons == [None] * 4
        return [b - a for a, b in pairwise(at for path, at in server.log if path != "/robots.txt")]

    # A request that a busy machine brings late comes closer to the next: then the same with longer delays.
    assert any(min(run(gaps(delay_s))) > delay_s * 0.9 for delay_s in (0.1, 0.5, 3.0))


def test_a_refusal_that_was_the_servers_fault_is_forgotten_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gristmill.crawl.consent.FAILURE_KEPT_S", 0.2)

    async def main() -> None:
        async def healing(visit: Visit) -> None:
            await (text("", "503 Busy")(visit) if visit.number == 1 else text("")(visit))

        async with (
            serving({"/robots.txt": healing}, otherwise=picture) as server,
            Crawler(OBEYING) as crawler,
        ):
            for path in ("/1", "/2"):
                answer = await crawler.fetch(server.url(path))
                assert answer.reason is Reason.HTTP_5XX
                assert answer.detail == "robots.txt: 503 Busy; nothing may be asked"
                assert answer.tries == 0
            await asyncio.sleep(0.25)
            assert (await crawler.fetch(server.url("/3"))).ok
            assert server.visits["/robots.txt"] == 2

    run(main())


def test_a_file_that_no_answer_came_for_is_asked_for_anew_with_the_next_try() -> None:
    async def healing(visit: Visit) -> None:
        await (hang_up(visit) if visit.number < 3 else text("User-agent: *\nDisallow: /no/\n")(visit))

    reasons, server, sink = run(asked(healing, ["/yes/x.jpg", "/no/x.jpg"], replace(OBEYING, per_host=1)))
    assert reasons == [None, R]
    assert server.visits == {"/robots.txt": 3, "/yes/x.jpg": 1}
    assert sink.answers[0].tries + sink.answers[1].tries == 3


def test_a_long_robots_txt_does_not_hold_up_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = read_in_threads(monkeypatch)
    rules = ("User-agent: *\n" + "Disallow: /*a*b*c$\n" * 2500).encode()
    assert run(asked(text(rules), ["/" + "a" * 2000]))[0] == [None]
    assert threads
    assert threading.get_ident() not in threads


OUT = Reason.OPTED_OUT
USAGE = (
    "User-agent: *\nAllow: /\nDisallow: /never/\nContent-Usage: train-ai=n\nContent-Usage: /no/ train-ai=y\n"
)
USAGE_FORMS = [
    ("of all but a folder", USAGE, [OUT, OK]),
    ("a folder", "User-agent: *\nContent-Usage: /no/ train-ai=n, search=y\n", [OK, OUT]),
    ("star and end", "User-agent: *\ncontent-usage:\t*.jpg$\ttrain-genai=n # words\n", [OUT, OUT]),
    ("yes", "User-agent: *\nContent-Usage: train-ai=y\n", [OK, OK]),
    ("other uses", "User-agent: *\nContent-Usage: search=n\n", [OK, OK]),
    ("any of equals", "User-agent: *\nContent-Usage: /no train-ai=y\nContent-Usage: /no ai=n\n", [OK, OUT]),
    ("disallowed first", f"{USAGE}Disallow: /yes\n", [R, OK]),
    (
        "us by name",
        f"User-agent: *\nDisallow:\n\nUser-agent: a\nUser-agent: Gristmill\n{USAGE[14:]}",
        [OUT, OK],
    ),
    ("others by name", f"User-agent: other\n{USAGE[14:]}", [OK, OK]),
    ("before any agent", f"{USAGE[14:]}", [OK, OK]),
    ("no value", "User-agent: *\nContent-Usage\nContent-Usage:\nContent-Usage: /no/\n", [OK, OK]),
]


@pytest.mark.parametrize("obeyed", [True, False])
@pytest.mark.parametrize(("name", "body", "wanted"), USAGE_FORMS, ids=[form[0] for form in USAGE_FORMS])
def test_content_usage_in_robots_txt_is_an_opt_out(name, body, wanted, obeyed):
    settings = replace(OBEYING, respect_opt_out=obeyed)
    found, _, sink = run(asked(text(body), ["/yes/x.jpg", "/no/x.jpg"], settings))
    assert found == [reason if obeyed or reason is R else OK for reason in wanted]
    for number, reason in enumerate(wanted):
        seen = sink.answers[number].opt_out or ""
        assert ("robots.txt: " in str(seen)) == (reason is OUT)


def test_content_usage_is_off_with_robots_txt():
    found, server, _ = run(asked(text(USAGE), ["/yes/x.jpg"], QUICK))
    assert found == [OK]
    assert server.visits["/robots.txt"] == 0
