"""tdmrep.json and ai.txt in their forms: what is reserved, what is not, and what is damaged."""

import asyncio
import json
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
from crawl_server import QUICK, FaultServer, Route, Visit, serving
from test_politeness import Sink
from test_robots import hang_up, picture, read_in_threads, silent, text

from gristmill.crawl import Crawler, CrawlSettings, run
from gristmill.crawl import consent as consent_module
from gristmill.crawl.guard import parse
from gristmill.crawl.tdmrep import TDMREP
from gristmill.spec.reasons import Reason

TDMREP_AT, AI_TXT_AT = "/.well-known/tdmrep.json", "/ai.txt"
TDMREP_ON = replace(QUICK, tdmrep=True)
AI_TXT_ON = replace(QUICK, ai_txt=True)
OUT, OK = Reason.OPTED_OUT, None
EVERYTHING = [{"location": "/", "tdm-reservation": 1}]


def rules(*pairs: tuple[object, object]) -> Route:
    """A tdmrep.json of locations and reservations."""
    return text(json.dumps([{"location": place, "tdm-reservation": value} for place, value in pairs]))


async def asked(
    routes: dict[str, Route], paths: Sequence[str], settings: CrawlSettings
) -> tuple[list[Reason | None], FaultServer, Sink]:
    sink = Sink()
    async with serving(routes, otherwise=picture) as server, Crawler(settings) as crawler:
        await crawler.crawl(enumerate(server.url(path) for path in paths), sink)
        assert crawler.in_hand.at_rest
    return [sink.answers[i].reason for i in range(len(paths))], server, sink


async def endless(visit: Visit) -> None:
    """Rules, one after another, for ever."""
    await visit.send(b'HTTP/1.1 200 OK\r\n\r\n[{"location": "/no/", "tdm-reservation": 1}')
    while True:
        await visit.send(b', {"location": "/other/", "tdm-reservation": 1}' * 1000)


async def endless_space(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await visit.send(b" " * 10_000)


FILLING = [{"location": f"/{i}/", "tdm-reservation": 1, "tdm-policy": "x" * 1000} for i in range(10_000)]
TEN_MB = json.dumps([{"location": "/no/", "tdm-reservation": 1}, *FILLING])

TDMREP_FORMS = [
    ("everything", text(json.dumps(EVERYTHING)), [OUT, OUT], None),
    ("nothing", text("[]"), [OK, OK], None),
    ("not reserved", rules(("/", 0)), [OK, OK], None),
    ("one folder", rules(("/no/", 1)), [OK, OUT], None),
    ("the first match holds", rules(("/yes/", 0), ("/", 1)), [OK, OUT], None),
    ("the first match holds, not the longest", rules(("/", 0), ("/no/", 1)), [OK, OK], None),
    ("star", rules(("/*/x.jpg", 1)), [OUT, OUT], None),
    ("star and end", rules(("/n*.jpg$", 1)), [OK, OUT], None),
    ("a value as text", rules(("/no/", "1")), [OK, OUT], None),
    ("other values", rules(("/no/", True), ("/", "yes"), ("/", 2), ("/", None), ("/", [1])), [OK, OK], None),
    (
        "no location",
        text('[{"tdm-reservation": 1}, {"location": "/no/", "tdm-reservation": 1}]'),
        [OK, OUT],
        None,
    ),
    (
        "no reservation",
        text('[{"location": "/"}, {"location": "/no/", "tdm-reservation": 1}]'),
        [OK, OUT],
        None,
    ),
    (
        "rules that are none",
        text('[1, null, "/", [], {"location": 1, "tdm-reservation": 1}]'),
        [OK, OK],
        None,
    ),
    ("byte order mark", text("\ufeff" + json.dumps(EVERYTHING)), [OUT, OUT], None),
    ("a page", text("\n<!doctype html><title>Not found</title>"), [OK, OK], None),
    ("404", text(json.dumps(EVERYTHING), "404 Not Found"), [OK, OK], None),
    ("403", text(json.dumps(EVERYTHING), "403 Forbidden"), [OK, OK], None),
    ("500", text(json.dumps(EVERYTHING), "500 Oops"), [OK, OK], None),
    ("429", text("", "429 Slow"), [OK, OK], None),
    ("empty", text(""), [OK, OK], None),
    ("10 MB, cut off by us", text(TEN_MB), [OK, OUT], None),
    ("never ends", endless, [OK, OUT], None),
    ("not JSON", text("reserved: yes"), [OK, OK], "damaged"),
    ("cut off by them", text(json.dumps(EVERYTHING)[:-1]), [OK, OK], "damaged"),
    ("an object", text('{"location": "/", "tdm-reservation": 1}'), [OK, OK], "damaged"),
    ("another character set", text(json.dumps(EVERYTHING).encode("utf-16")), [OK, OK], "damaged"),
    ("bytes", text(b"\xff\x00\xfe" * 99), [OK, OK], "damaged"),
    ("deeply nested", text("[" * 400_000), [OK, OK], "damaged"),
    ("a long number", text("[" + "1" * 400_000 + "]"), [OK, OK], "damaged"),
    ("space for ever", endless_space, [OK, OK], "damaged"),
    ("stalls", silent, [Reason.STALLED] * 2, None),
    ("hangs up", hang_up, [Reason.RESET] * 2, None),
]


@pytest.mark.parametrize(
    ("route", "wanted", "noted"), [form[1:] for form in TDMREP_FORMS], ids=[form[0] for form in TDMREP_FORMS]
)
def test_tdmrep_json(route: Route, wanted: list[Reason | None], noted: str | None) -> None:
    paths = ["/yes/x.jpg", "/no/x.jpg"]
    reasons, server, sink = run(asked({TDMREP_AT: route}, paths, TDMREP_ON))
    assert reasons == wanted
    answered = set(wanted) <= {None, OUT}  # else it is asked for anew with each try
    assert 1 <= server.visits[TDMREP_AT] <= (1 if answered else 2 * TDMREP_ON.tries)
    assert server.visits["/robots.txt"] == server.visits[AI_TXT_AT] == 0
    for i, path in enumerate(paths):
        answer = sink.answers[i]
        assert server.visits[path] == (wanted[i] is None)
        if wanted[i] is OUT:
            assert answer.detail.startswith("reserved by tdmrep.json: /")
            assert (answer.opt_out, answer.tries) == ("tdmrep.json: tdm-reservation=1", 0)
        elif wanted[i] is None:
            assert answer.opt_out == (noted and f"tdmrep.json: {noted}")
        else:
            assert answer.detail.startswith("tdmrep.json: ")


SPAWNING = "# Spawning AI\n# Prevent datasets from using the following file types\n\nUser-Agent: *\n"
AI_TXT_FORMS = [
    ("everything", "User-Agent: *\nDisallow: /\nDisallow: *\n", [OUT, OUT, OUT]),
    ("allows", "User-Agent: *\nAllow: /\n", [OK, OK, OK]),
    ("types", SPAWNING + "Disallow: *.txt\nDisallow: *.jpg\n", [OUT, OUT, OK]),
    ("types in capitals", SPAWNING + "Disallow: *.JPG\r\n", [OUT, OUT, OK]),
    (
        "a type allowed",
        SPAWNING + "Allow: *.png\nDisallow: *.jpg\nDisallow: /\nDisallow: *\n",
        [OUT, OUT, OK],
    ),
    ("byte order mark", "\ufeffUser-Agent: *\nDisallow: /a/\n", [OUT, OK, OK]),
    ("us by name", "User-Agent: gristmill\nDisallow: /a/\n", [OUT, OK, OK]),
    ("others by name", "User-Agent: GPTBot\nDisallow: /\n", [OK, OK, OK]),
    ("a page", "<html>Not found</html>", [OK, OK, OK]),
    ("prose", "Dear machine,\nplease leave this alone.", [OK, OK, OK]),
]


@pytest.mark.parametrize(("said", "wanted"), [f[1:] for f in AI_TXT_FORMS], ids=[f[0] for f in AI_TXT_FORMS])
def test_ai_txt(said: str, wanted: list[Reason | None]) -> None:
    paths = ["/a/x.jpg?w=9", "/b/X.JPG", "/b/x.png"]
    reasons, server, sink = run(asked({AI_TXT_AT: text(said)}, paths, AI_TXT_ON))
    assert reasons == wanted
    assert server.visits[AI_TXT_AT] == 1
    assert server.visits["/robots.txt"] == server.visits[TDMREP_AT] == 0
    for i in range(len(paths)):
        words = ("disallowed by ai.txt", "ai.txt: disallow") if wanted[i] is OUT else ("", None)
        assert (sink.answers[i].detail, sink.answers[i].opt_out) == words


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "503 Busy", "429 Slow"])
def test_an_ai_txt_that_is_not_given_says_nothing(status: str) -> None:
    route = text("User-Agent: *\nDisallow: /\n", status)
    assert run(asked({AI_TXT_AT: route}, ["/x"], AI_TXT_ON))[0] == [None]


LOCATIONS = [
    ("/a", "/a/b.jpg", True),
    ("/a", "/ab", True),
    ("/a$", "/a", True),
    ("/a$", "/a/", False),
    ("/A", "/a", False),
    ("/a/*.jpg$", "/a/b.jpg", True),
    ("/a/*.jpg$", "/a/b.jpg?w=1", False),
    ("/a/*.jpg", "/a/b.jpg?w=1", True),
    ("*.jpg", "/a/b.jpg", True),
    ("*", "/", True),
    ("/*", "/", True),
    ("/***$", "/", True),
    ("/a*a$", "/a", False),
    ("/a*a$", "/aa", True),
    ("/*/b/*/d", "/a/b/c/d", True),
    ("/*/b/*/d", "/a/c/b/d", False),
    ("/*?w=", "/a.jpg?w=1", True),
    ("/foo-%24", "/foo-$", True),
    ("/foo-%2a", "/foo-*", True),
    ("/foo-%2a", "/foo-b", False),
    ("/caf\u00e9/", "/caf%C3%A9/x", True),
    ("/caf%c3%a9/", "/caf\u00e9/x", True),
    ("/%7ejoe/", "/~joe/x", True),
    ("/~joe/", "/%7Ejoe/x", True),
    ("/a%2fb", "/a/b", False),
    ("/a%2fb", "/a%2Fb", True),
    ("/100%25", "/100%25", True),
    ("/a$b", "/a$b", True),
    ("$", "/a", False),
    ("a", "/a", False),
    ("/\ud800", "/a", False),
    ("https://h.example/", "/a", False),
]


@pytest.mark.parametrize(
    ("location", "path", "matches"), LOCATIONS, ids=[f"{a!r} {b!r}" for a, b, _ in LOCATIONS]
)
def test_locations_match_as_in_robots_txt(location: str, path: str, matches: bool) -> None:
    file = TDMREP.read(json.dumps([{"location": location, "tdm-reservation": 1}]).encode())
    ruling = file.ruling(parse(f"https://h.example{path}", QUICK))
    assert (ruling.reason is OUT) == matches


def test_the_policy_that_tdmrep_json_names_stands_in_the_detail() -> None:
    entry = {"location": "/p/", "tdm-reservation": 1, "tdm-policy": "https://example.org/p\u001b.json"}
    _, _, sink = run(asked({TDMREP_AT: text(json.dumps([entry]))}, ["/p/1"], TDMREP_ON))
    assert sink.answers[0].detail == "reserved by tdmrep.json: /p/, see https://example.org/p\\x1b.json"


def test_redirects_are_followed_to_other_hosts_too() -> None:
    async def main() -> None:
        async with serving({"/policy": text(json.dumps(EVERYTHING))}) as elsewhere:

            async def there(visit: Visit) -> None:
                await visit.redirect(elsewhere.url("/policy"))

            reasons, server, _ = await asked({TDMREP_AT: there}, ["/x"], TDMREP_ON)
            assert reasons == [OUT]
            assert server.visits["/x"] == 0

        async def for_ever(visit: Visit) -> None:
            await visit.redirect(TDMREP_AT)

        reasons, server, _ = await asked({TDMREP_AT: for_ever}, ["/x"], TDMREP_ON)
        assert reasons == [None]
        assert server.visits[TDMREP_AT] == 6

    run(main())


def test_all_three_are_asked_for_once_and_the_first_that_says_no_is_the_last() -> None:
    settings = replace(QUICK, robots=True, tdmrep=True, ai_txt=True)
    routes = {
        "/robots.txt": text("User-agent: *\nDisallow: /r/\nCrawl-delay: 0.01\n"),
        TDMREP_AT: rules(("/t/", 1)),
        AI_TXT_AT: text("User-Agent: *\nDisallow: /a/\n"),
    }
    places = ("r", "t", "a", "ok")
    reasons, server, sink = run(
        asked(routes, [f"/{place}/{i}" for place in places for i in range(9)], settings)
    )
    assert reasons == [Reason.ROBOTS] * 9 + [OUT] * 18 + [None] * 9
    assert [server.visits[path] for path in routes] == [1, 1, 1]
    assert [path for path, _ in server.log[:3]] == list(routes)
    assert [sink.answers[i].detail[-11:] for i in (0, 9, 18)] == [
        " robots.txt",
        "p.json: /t/",
        "d by ai.txt",
    ]
    routes["/robots.txt"] = text("User-agent: *\nDisallow: /\n")
    reasons, server, _ = run(asked(routes, ["/ok/1"], settings))
    assert (reasons, server.visits.total()) == ([Reason.ROBOTS], 1)


def test_what_need_not_be_obeyed_is_recorded_all_the_same() -> None:
    settings = replace(QUICK, tdmrep=True, ai_txt=True, respect_opt_out=False)
    routes = {TDMREP_AT: text(json.dumps(EVERYTHING)), AI_TXT_AT: text("User-Agent: *\nDisallow: /\n")}
    reasons, _, sink = run(asked(routes, ["/x"], settings))
    assert reasons == [None]
    assert sink.answers[0].opt_out == "tdmrep.json: tdm-reservation=1, ai.txt: disallow"


def test_a_header_adds_to_a_file_that_reserves_nothing() -> None:
    async def reserved(visit: Visit) -> None:
        await visit.answer("200 OK", b"x", "TDM-Reservation: 1")

    reasons, _, _ = run(asked({TDMREP_AT: rules(("/", 0)), "/x": reserved}, ["/x", "/y"], TDMREP_ON))
    assert reasons == [OUT, None]


def test_a_files_failure_is_forgotten_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gristmill.crawl.consent.FAILURE_KEPT_S", 0.2)

    async def main() -> None:
        async def healing(visit: Visit) -> None:
            await text(json.dumps(EVERYTHING), "503 Busy" if visit.number == 1 else "200 OK")(visit)

        async with (
            serving({TDMREP_AT: healing}, otherwise=picture) as server,
            Crawler(TDMREP_ON) as crawler,
        ):
            assert (await crawler.fetch(server.url("/1"))).ok
            assert (await crawler.fetch(server.url("/2"))).ok
            assert server.visits[TDMREP_AT] == 1
            await asyncio.sleep(0.25)
            assert (await crawler.fetch(server.url("/3"))).reason is OUT
            assert server.visits[TDMREP_AT] == 2

    run(main())


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent_module, "MOST_BYTES", 250_000)
    long = text("User-agent: *\nDisallow: /no\n#" + "x" * 100_000)

    async def main() -> None:
        async with (
            serving({"/robots.txt": long}, otherwise=picture) as one,
            serving({"/robots.txt": long}, otherwise=picture) as two,
            serving({"/robots.txt": long}, otherwise=picture) as three,
            Crawler(replace(QUICK, robots=True)) as crawler,
        ):
            for server in (one, two, three, two, one):
                assert (await crawler.fetch(server.url("/no"))).reason is Reason.ROBOTS
            assert [server.visits["/robots.txt"] for server in (one, two, three)] == [2, 1, 1]

    run(main())


@pytest.mark.parametrize(
    "route",
    [
        text(json.dumps([{"location": "/" + "*a*b" * 3 + "*c$", "tdm-reservation": 1}] * 1500)),
        rules(("/" + "*a" * 50_000 + "b", 1)),
    ],
    ids=["many rules", "a long one"],
)
def test_a_long_tdmrep_json_does_not_hold_up_the_loop(route: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = read_in_threads(monkeypatch)
    assert run(asked({TDMREP_AT: route}, ["/" + "ab" * 1000], TDMREP_ON))[0] == [None]
    assert threads
    assert threading.get_ident() not in threads
