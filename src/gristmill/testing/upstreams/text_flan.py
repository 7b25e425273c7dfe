"""The FLAN collection's repository: sixteen small annotation files, and JSON beside them that is not asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gristmill import recipes
from gristmill.testing.hub import FakeHub
from gristmill.testing.instructions import write_flan
from gristmill.testing.upstreams.base import Upstream
from gristmill.testing.web import FakeWeb

__all__ = ["UPSTREAMS"]


@contextmanager
def _play(folder: Path, web: FakeWeb, rows: int) -> Iterator[str]:
    write_flan(folder, rows=rows)
    source = recipes.find("text-flan").source("annotations")
    assert source.hub is not None
    with FakeHub({source.hub: folder}, revision=source.revision or "main") as hub:
        yield hub.url


UPSTREAMS = {
    "text-flan": Upstream(
        play=_play, settings={"sample.size": "900", "pack.shard_samples": "300"}, exports=("vila",)
    )
}
