"""COYO-700M's repository: two annotation files in its schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gristmill import recipes
from gristmill.testing.hub import FakeHub
from gristmill.testing.rows import write_coyo
from gristmill.testing.upstreams.base import Upstream
from gristmill.testing.web import FakeWeb

__all__ = ["UPSTREAMS"]


@contextmanager
def _play(folder: Path, web: FakeWeb, rows: int) -> Iterator[str]:
    write_coyo(folder, web, files=2, rows=rows)
    source = recipes.find("coyo-700m").source("annotations")
    assert source.hub is not None
    with FakeHub({source.hub: folder}, revision=source.revision or "main") as hub:
        yield hub.url


UPSTREAMS = {
    "coyo-700m": Upstream(
        play=_play,
        settings={
            "select.part_rows": "500",
            "pack.shard_samples": "500",
            "same_picture.min_urls": "10",
            "same_picture.max_distance": "none",
        },
    )
}
