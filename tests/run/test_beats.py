"""A worker's signs of life, and what it does beside them."""

from pathlib import Path

from gristmill.run.state.context import Context
from gristmill.run.workers import worker
from gristmill.storage.store import store_at


def test_freed_memory_goes_back_to_the_system_now_and_then(monkeypatch):
    """Not with each beat: what is used again costs a fault each page."""
    happened: list[str] = []

    def tell(message: object) -> None:
        if happened.count("beat") == 25:
            raise BrokenPipeError
        happened.append("beat")

    monkeypatch.setattr(worker, "give_back", lambda: happened.append("trim"))
    worker.keep_beating(tell, Context(store=store_at(Path("x")), inputs=(), remotes={}), 0.0)
    assert happened == [*(["beat"] * 10 + ["trim"]) * 2, *["beat"] * 5]
