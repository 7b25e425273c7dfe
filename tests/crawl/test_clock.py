"""The wall clock jumps by an hour, forth and back, while a crawl runs: nothing depends on it."""

import asyncio
import itertools
import time
from dataclasses import replace
from email.utils import formatdate

import pytest
from crawl_server import QUICK, Visit, serving
from test_politeness import Sink

from gristmill.crawl import Crawler, run
from gristmill.spec.reasons import Reason

HOUR_S = 3600.0


def test_a_clock_that_jumps_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    real, jumps = time.time, itertools.cycle((HOUR_S, -HOUR_S, 0.0))
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))

    async def main() -> None:
        async def route(visit: Visit) -> None:
            if visit.path.startswith("/stall"):
                await asyncio.sleep(30)
            elif visit.path.startswith("/busy") and visit.number == 1:
                when, now = formatdate(real() + 1, usegmt=True), formatdate(real(), usegmt=True)
                await visit.answer("503 Busy", b"", f"Retry-After: {when}", f"Date: {now}")
            elif visit.path.startswith("/heals") and visit.number == 1:
                await visit.answer("500 Oops", b"")
            else:
                await asyncio.sleep(0.01)
                await visit.answer()

        sink = Sink()
        async with serving(otherwise=route) as server, Crawler(replace(QUICK, tries=2)) as crawler:
            paths = [*(f"/{i}" for i in range(40)), "/stall", "/busy", "/heals"]
            began_s = time.monotonic()
            await crawler.crawl(((i, server.url(path)) for i, path in enumerate(paths)), sink)
            assert time.monotonic() - began_s < 8
        assert sink.reasons == {None: 42, Reason.STALLED: 1}
        assert sink.answers[41].retry_after_s == pytest.approx(1, abs=1.1)
        assert all(0 <= answer.elapsed_s < 8 for answer in sink.answers.values())

    run(main())
