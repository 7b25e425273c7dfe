"""The same picture answered for many unlike addresses: a placeholder, "image removed", a blank."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gristmill.spec.barrier import GlobalFilter
from gristmill.spec.errors import UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Json
from gristmill.spec.step import Needs
from gristmill.steps import same_tally
from gristmill.steps.near import MOST_BITS

__all__ = ["SamePicture"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamePicture(GlobalFilter):
    """Count pictures with which many different URLs were answered, over the whole dataset; drop them if asked.

    Attributes:
        min_urls: From so many different URLs on a picture counts.
        max_distance: Pictures whose perceptual hashes differ in at most so many bits (0 to 8) are the same, where
            ``crawl.phash`` is on. None: only identical bytes are.
        drop: Samples lose these pictures, and are dropped themselves where ``crawl.on_missing_image`` says so.
            Nothing is packed then before everything is crawled. Without it they are only counted.
    """

    min_urls: int = 20
    max_distance: int | None = 2
    drop: bool = False

    name = "same_picture"
    revision = 1
    reads = frozenset({"media.sha256"})
    drops = frozenset({Reason.SAME_PICTURE})
    needs = Needs(cpus=1, memory_gib=1)
    columns = same_tally.COLUMNS

    def __post_init__(self) -> None:
        if self.min_urls < 2:
            raise UsageError("same_picture.min_urls: expected at least 2")
        if self.max_distance is not None and not 0 <= self.max_distance <= MOST_BITS:
            raise UsageError(f"same_picture.max_distance: expected 0 to {MOST_BITS} bits, or none")

    @property
    def decisive(self) -> bool:
        """See :class:`GlobalFilter`."""
        return self.drop

    def tally(self, fates: Callable[[], Iterator[Any]], scratch: Path) -> tuple[Any, Json]:
        """Count how often pictures repeat; the blocklist is of :data:`gristmill.steps.same_tally.VERDICT_SCHEMA`."""
        return same_tally.tally(fates, scratch, min_urls=self.min_urls, max_distance=self.max_distance)

    def flagged(self, fates: Any, blocklist: Any) -> Any:
        """See :class:`GlobalFilter`."""
        return same_tally.flagged(fates, blocklist, self.max_distance)
