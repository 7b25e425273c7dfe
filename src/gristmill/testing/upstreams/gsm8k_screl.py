"""GSM8K-ScRel's one file, other problems in it: as one's own copy, for the published one is known by its checksum."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gristmill.testing.rows_with_pictures import write_gsm8k
from gristmill.testing.upstreams.base import Upstream
from gristmill.testing.web import FakeWeb

__all__ = ["UPSTREAMS"]

_MOST_ROWS = 1000


@contextmanager
def _play(folder: Path, web: FakeWeb, rows: int) -> Iterator[str]:
    write_gsm8k(folder / "train_use.jsonl", min(rows, _MOST_ROWS))
    yield web.url("/")


UPSTREAMS = {
    "gsm8k-screl": Upstream(
        play=_play, settings={"pack.shard_samples": "400"}, copies={"annotations": "train_use.jsonl"}
    )
}
