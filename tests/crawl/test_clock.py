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
from gristmill.crawl.watch import ExchangePhase, RequestWatch
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


def test_time_in_which_we_stood_still_is_no_silence_of_a_host() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        watch = RequestWatch(replace(QUICK, stall_s=10.0, total_s=10.0), loop)
        attempt = watch.begin(10.0, lambda: False, host="h")
        attempt.enter(ExchangePhase.HEAD, loop.time())
        await asyncio.sleep(0.1)
        time.sleep(1.5)  # as if this process had been suspended
        for _ in range(2):  # before the next sweep, and after it
            assert 0 < watch.waiting("h") < 1.4
            await asyncio.sleep(0.05)
        watch.end(attempt)
        assert watch.waiting("h") == 0
        watch.close()

    run(main())


def test_time_in_which_we_stood_still_is_no_time_to_connect_either() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        settings = replace(QUICK, connect_s=1.0, total_s=10.0, stall_s=10.0)
        watch = RequestWatch(settings, loop)
        attempt = watch.begin(10.0, lambda: False)
        attempt.enter(ExchangePhase.HEAD, loop.time())
        attempt.open(loop.time())
        await asyncio.sleep(0.05)
        time.sleep(1.5)
        await asyncio.sleep(0.1)  # sweeps
        assert attempt.reason is None
        attempt.opened_at_s -= 1.0  # as if it had gone on trying
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(1)
        assert attempt.reason is Reason.CONNECT_TIMEOUT
        assert asyncio.current_task().uncancel() == 0
        watch.end(attempt)
        watch.close()

    run(main())
