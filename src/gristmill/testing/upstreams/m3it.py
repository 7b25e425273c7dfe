"""M3IT's repository, three of its subsets: instructions to be drawn, dialogues, and frames of videos."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from gristmill import recipes
from gristmill.testing.hub import FakeHub
from gristmill.testing.rows_with_pictures import write_m3it
from gristmill.testing.upstreams.base import Upstream
from gristmill.testing.web import FakeWeb

__all__ = ["UPSTREAMS"]

_MOST_ROWS = 240


@contextmanager
def _play(name: str, folder: Path, web: FakeWeb, rows: int) -> Iterator[str]:
    write_m3it(folder, name, min(rows, _MOST_ROWS))
    source = recipes.find(name).source("annotations")
    assert source.hub is not None
    with FakeHub({source.hub: folder}, revision=source.revision or "main") as hub:
        yield hub.url


UPSTREAMS = {
    name: Upstream(
        play=partial(_play, name),
        settings={"lines.part_rows": "80", "pack.shard_samples": "80", **more},
    )
    for name, more in (
        ("m3it-gqa", {}),
        ("m3it-visual-dialog", {}),
        ("m3it-ivqa", {"embedded.max_images": "8"}),
    )
}
