"""A body that is worked on for long, a video that is stored anew, does not hold up the end of a run."""

import asyncio
from contextlib import suppress
from threading import Event
from types import SimpleNamespace

import pytest

from gristmill.spec.errors import Stopped
from gristmill.steps.acquirers import Acquired, _window

STEP = SimpleNamespace(max_body_bytes=100, codecs=1)


class Bodies(_window.Windowed):
    async def bodies(self, wanted, box):
        for number, _ in wanted:
            yield number, Acquired(body=b"x")


@pytest.mark.parametrize("many", [1, 20])  # after the last body, and before the next
def test_what_is_worked_on_is_given_up_a_moment_after_the_signal(monkeypatch, many):
    monkeypatch.setattr(_window, "_STOP_GRACE_S", 0.0)
    monkeypatch.setattr(_window, "_STOP_POLL_S", 0.01)
    box, given_up = SimpleNamespace(stop=Event()), []

    async def deliver(number, acquired):
        box.stop.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.append(number)

    async def main() -> None:
        with pytest.raises(Stopped):
            await Bodies(STEP).acquire([(n, None) for n in range(many)], deliver, box)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.05)

    asyncio.run(asyncio.wait_for(main(), 20))
    assert given_up[:1] == [0]


def test_what_ends_in_time_is_kept(monkeypatch):
    monkeypatch.setattr(_window, "_STOP_POLL_S", 0.01)
    box, kept = SimpleNamespace(stop=Event()), []

    async def deliver(number, acquired):
        box.stop.set()
        await asyncio.sleep(0.05)
        kept.append(number)
        return []

    asyncio.run(Bodies(STEP).acquire([(7, None)], deliver, box))
    assert kept == [7]
