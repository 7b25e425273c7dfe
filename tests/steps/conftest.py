"""What tests of the crawl step share: a made-up web, and engines that are dear to begin."""

from collections.abc import Iterator

import pytest

from gristmill.testing.web import FakeWeb


@pytest.fixture(scope="module")
def web() -> Iterator[FakeWeb]:
    with FakeWeb() as web:
        yield web


@pytest.fixture(scope="module")
def engines() -> Iterator[dict]:
    made: dict = {}
    yield made
    for engine in made.values():
        engine.close()
