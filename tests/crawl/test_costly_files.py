"""Policy files by which every question costs: the host is given up, and the loop goes on meanwhile."""

from dataclasses import replace

import pytest
from crawl_server import BODY, Visit, serving
from fault_routes import PATIENT
from test_politeness import Sink

from gristmill.crawl import Crawler, costs, run
from gristmill.spec.reasons import Reason

RULES = b"User-agent: *\n" + b"Disallow: /*a*b*c$\n" * 25_000


@pytest.mark.parametrize("file", ["robots", "ai_txt"])
def test_rules_that_cost_too_much(monkeypatch, file: str) -> None:
    monkeypatch.setattr(costs, "MOST_S", 0.02)

    async def main() -> None:
        async def route(visit: Visit) -> None:
            await visit.answer(body=RULES if visit.path.endswith(".txt") else BODY)

        sink = Sink()
        settings = replace(PATIENT, **{file: True})
        async with serving(otherwise=route) as server, Crawler(settings) as crawler:
            await crawler.crawl(((i, server.url(f"/{i}" + "a" * 2000)) for i in range(30)), sink)
        assert sink.reasons[Reason.COSTLY] > 15
        assert set(sink.reasons) <= {Reason.COSTLY, None}
        assert any("processor" in answer.detail for answer in sink.answers.values())

    run(main())
