"""Made-up upstreams for the demo: for each recipe, a hub that holds rows in its upstream's exact schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from gristmill import recipes
from gristmill.testing.hub import FakeHub
from gristmill.testing.rows import write_coyo
from gristmill.testing.web import FakeWeb

__all__ = ["SETTINGS", "UPSTREAMS", "WEB_PORT"]

WEB_PORT = 0
"""A free one."""

SETTINGS: dict[str, dict[str, str]] = {
    "coyo-700m": {"select.part_rows": "500", "pack.shard_samples": "500"},
}
"""Small shards, so that a small demo has several of everything."""


@contextmanager
def coyo(folder: Path, web: FakeWeb, rows: int) -> Iterator[str]:
    """COYO-700M's repository with two annotation files; yields the hub's address."""
    write_coyo(folder, web, files=2, rows=rows)
    source = recipes.find("coyo-700m").source("annotations")
    assert source.hub is not None
    with FakeHub({source.hub: folder}, revision=source.revision or "main") as hub:
        yield hub.url


Upstream = Callable[[Path, FakeWeb, int], AbstractContextManager[str]]

UPSTREAMS: dict[str, Upstream] = {"coyo-700m": coyo}
"""Recipe to the context manager that plays its upstream."""
