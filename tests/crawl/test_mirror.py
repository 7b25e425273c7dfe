"""A mirror for what is gone: asked slowly, marked, and never in place of a refusal."""

import asyncio
from dataclasses import replace

import pytest
from crawl_server import BODY, QUICK, Visit, serving
from test_politeness import Sink

from gristmill.crawl import Crawler, CrawlSettings, Resolver, run
from gristmill.crawl.mirror import filled
from gristmill.spec.reasons import TRANSIENT, Reason

FROM_MIRROR = b"from the mirror"


async def mirror(visit: Visit) -> None:
    if "busy" in visit.path:
        await visit.answer("503 Busy", b"")
    elif "missing" in visit.path:
        await visit.answer("404 Not Found", b"")
    elif "moved" in visit.path and "there" not in visit.path:
        await visit.redirect(visit.path.replace("moved", "there-moved"))
    else:
        await visit.answer("200 OK", FROM_MIRROR)


async def original(visit: Visit) -> None:
    name = visit.path[1:].partition("-")[0]
    if name.isdigit() and name != "200":
        await visit.answer(f"{name} No", b"")
    elif name == "optout":
        await visit.answer("200 OK", BODY, "X-Robots-Tag: noai")
    else:
        await visit.answer()


async def ask(paths: list[str], **settings):
    sink = Sink()
    async with serving(otherwise=mirror) as archive, serving(otherwise=original) as server:
        template = f"http://archive.example:{archive.port}/web/{{url}}"
        given = replace(QUICK, mirror=template, **{"mirror_per_second": 1000, **settings})
        resolver = Resolver(given, lookup=lambda host: [] if host == "gone.example" else ["127.0.0.1"])
        async with Crawler(given, resolver=resolver) as crawler:
            urls = [path if "://" in path else server.url(path) for path in paths]
            await crawler.crawl(enumerate(urls), sink)
    return sink.answers, server, archive


def test_what_is_gone_comes_from_the_mirror_and_says_so() -> None:
    answers, server, archive = run(
        ask(["/200-a", "/404-a?b=c", "/410-a", "http://gone.example/x.jpg", "/404-moved"])
    )
    assert [answers[i].ok for i in range(5)] == [True] * 5
    assert [answers[i].via for i in range(5)] == [None, *["archive.example"] * 4]
    assert answers[0].body == BODY
    assert answers[1].body == FROM_MIRROR
    assert answers[1].url == server.url("/404-a?b=c")
    assert answers[1].final_url.endswith("/web/" + server.url("/404-a?b=c"))
    assert answers[1].tries == 2
    assert archive.visits["/web/http://gone.example/x.jpg"] == 1


def test_what_the_mirror_has_not_keeps_its_own_reason() -> None:
    answers, server, _ = run(ask(["/404-missing", "/410-missing", "http://gone.example/missing"]))
    assert [answers[i].reason for i in range(3)] == [
        Reason.HTTP_404,
        Reason.HTTP_410,
        Reason.DNS_NOT_FOUND,
    ]
    assert [answers[i].status for i in range(3)] == [404, 410, None]
    assert answers[0].detail == "404 No; at the mirror: http_404"
    assert answers[0].via is None
    assert answers[0].final_url != server.url("/404-missing")


def test_a_mirror_that_fails_in_passing_may_be_asked_again_later() -> None:
    answers, _, archive = run(ask(["/404-busy"], tries=2, backoff_s=0.001))
    assert (answers[0].reason, answers[0].status) == (Reason.HTTP_5XX, 503)
    assert answers[0].reason in TRANSIENT
    assert answers[0].detail == "http_404; at the mirror: http_5xx 503 Busy"
    assert archive.visits.total() == 2


def test_a_refusal_or_a_passing_failure_is_no_reason_to_ask_a_mirror() -> None:
    answers, _, archive = run(ask(["/403-a", "/451-a", "/500-a", "/429-a", "/400-a", "/optout"]))
    assert archive.visits.total() == 0
    assert None not in {answer.reason for answer in answers.values()}


def test_the_mirror_is_asked_one_at_a_time_and_so_often_a_second() -> None:
    _, _, archive = run(ask([f"/404-{i}" for i in range(8)], mirror_per_second=20.0))
    assert archive.busy_peak == 1
    times = [at for _, at in archive.log]
    assert times[-1] - times[0] >= 7 * 0.045


def test_nobody_is_asked_unless_so_set() -> None:
    async def main() -> None:
        async with serving(otherwise=original) as server, Crawler(QUICK) as crawler:
            answer = await crawler.fetch(server.url("/404-a"))
        assert (answer.reason, answer.via, answer.tries) == (Reason.HTTP_404, None, 1)

    run(main())


def test_the_mirror_is_guarded_like_any_other_address() -> None:
    async def main() -> None:
        async with serving(otherwise=mirror) as inside:
            settings = CrawlSettings(
                mirror=f"http://127.0.0.1:{inside.port}/{{url}}", dns_tries=1, breaker_hosts=0
            )
            resolver = Resolver(settings, lookup=lambda host: [])
            async with Crawler(settings, resolver=resolver) as crawler:
                answer = await crawler.fetch("http://gone.example/")
            assert answer.reason is Reason.DNS_NOT_FOUND
            assert "; the mirror may not be asked: port" in answer.detail
            assert inside.connections == 0
            redirecting = replace(settings, mirror="http://archive.example/{url}")
            resolver = Resolver(redirecting, lookup=lambda host: ["10.0.0.1"] * (host == "archive.example"))
            async with Crawler(redirecting, resolver=resolver) as crawler:
                answer = await crawler.fetch("http://gone.example/")
            assert answer.reason is Reason.DNS_NOT_FOUND
            assert answer.detail.endswith("at the mirror: private_address")
        await asyncio.sleep(0)

    run(main())


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("https://a.example/web/2020id_/{url}", "https://a.example/web/2020id_/http://x.example/a%20b?c=d&e"),
        (
            "https://a.example/?u={url}&w=9",
            "https://a.example/?u=http%3A%2F%2Fx.example%2Fa%2520b%3Fc%3Dd%26e&w=9",
        ),
    ],
)
def test_the_url_is_encoded_in_a_query_only(template: str, wanted: str) -> None:
    assert filled(template, "http://x.example/a%20b?c=d&e") == wanted


@pytest.mark.parametrize(
    "mirror",
    [
        "https://a.example/",
        "ftp://a.example/{url}",
        "https://a/{url}{url}",
        "{url}",
        "http://{url}/",
        "https:///{url}",
    ],
)
def test_templates_that_cannot_be(mirror: str) -> None:
    with pytest.raises(ValueError, match="mirror"):
        CrawlSettings(mirror=mirror)
