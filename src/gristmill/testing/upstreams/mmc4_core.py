"""MMC4-core's repository: two annotation files, one in a zip, whose numbers sort otherwise as text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gristmill import recipes
from gristmill.testing.documents import write_mmc4
from gristmill.testing.hub import FakeHub
from gristmill.testing.upstreams.base import Upstream
from gristmill.testing.web import FakeWeb

__all__ = ["UPSTREAMS"]

_ROWS_A_DOCUMENT = 60


@contextmanager
def _play(folder: Path, web: FakeWeb, rows: int) -> Iterator[str]:
    write_mmc4(folder, web, documents=max(20, rows // _ROWS_A_DOCUMENT))
    source = recipes.find("mmc4-core").source("annotations")
    assert source.hub is not None
    with FakeHub({source.hub: folder}) as hub:
        yield hub.url


UPSTREAMS = {
    "mmc4-core": Upstream(
        play=_play, settings={"pack.shard_samples": "60"}, exports=("vila", "interleaved-parquet")
    )
}
