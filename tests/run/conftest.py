"""The made-up web and, once for all, what an undisturbed run over the small list makes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import small_world

from gristmill.testing.web import FakeWeb


@pytest.fixture(scope="session")
def shared_web() -> Iterator[FakeWeb]:
    with FakeWeb() as web:
        yield web


@pytest.fixture
def web(shared_web) -> Iterator[FakeWeb]:
    """The web with nothing asked so far."""
    shared_web.latency_s = 0.0
    shared_web.forget()
    yield shared_web
    shared_web.latency_s = 0.0


@dataclass(frozen=True)
class Small:
    """A list, and the shards that an undisturbed run makes of it."""

    place: Path
    folder: Path
    shards: dict[str, str]


@pytest.fixture(scope="session")
def small(shared_web, tmp_path_factory) -> Small:
    base = tmp_path_factory.mktemp("small")
    place = small_world.write_list(
        base / "list.parquet", [small_world.url(shared_web, n) for n in range(small_world.ROWS)]
    )
    ended, _ = small_world.run_here(place, base / "out")
    assert ended.complete
    return Small(place, base / "out", small_world.tree_of(base / "out"))
