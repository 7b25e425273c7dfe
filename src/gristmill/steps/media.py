"""Pictures wherever they are: in archives and folders, in Parquet columns, in files; checked, stored as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gristmill.crawl.sites.settings import SiteSettings
from gristmill.spec.errors import UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import CHANGES, Drop, MediaRef, Outcome, Sample
from gristmill.spec.step import MediaContext
from gristmill.steps.embedded import DecodeEmbedded

__all__ = ["Media"]

_KEPT = "size_differs_kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Media(DecodeEmbedded):
    """Bring each medium from where its locator says, hash it, see that it decodes, and store the bytes as they came.

    Further settings are those of :class:`gristmill.steps.embedded.DecodeEmbedded`.

    Attributes:
        size_differs: Done with a sample of which a picture has another width or height than its row says, so that
            boxes in pixels point elsewhere: ``keep`` it and name that in its column ``changes``, or ``drop`` it.
    """

    size_differs: Literal["keep", "drop"] = "keep"

    name = "media"
    revision = 1
    reads = frozenset({"media.at"})
    drops = DecodeEmbedded.drops | {
        Reason.NO_FILE,
        Reason.SHORT_BODY,
        Reason.HASH_MISMATCH,
        Reason.SIZE_MISMATCH,
    }

    def __post_init__(self) -> None:
        DecodeEmbedded.__post_init__(self)
        if self.size_differs not in ("keep", "drop"):
            raise UsageError(f"media.size_differs={self.size_differs}: expected keep or drop")

    @property
    def sites(self) -> SiteSettings | None:
        """Say how video sites are asked: not at all."""
        return None

    def apply(self, samples: Sequence[Sample], box: MediaContext) -> Iterator[Outcome]:
        """See :class:`DecodeEmbedded`."""
        for outcome in DecodeEmbedded.apply(self, samples, box):
            yield self._compared(outcome) if isinstance(outcome, Sample) else outcome

    def _compared(self, sample: Sample) -> Outcome:
        """The sample as it is if its pictures have the sizes that its row says."""
        said = next((said for name, ref in sample.media.items() if (said := _differs(name, ref))), "")
        if not said:
            return sample
        if self.size_differs == "drop":
            return Drop(reason=Reason.SIZE_MISMATCH, detail=said)
        changes = [*sample.columns.get(CHANGES, ()), _KEPT]
        return replace(sample, columns={**sample.columns, CHANGES: changes})


def _differs(name: str, ref: MediaRef) -> str:
    """What the row says of a picture's size and what it is, in words; empty where they agree or are not known."""
    listed, found = (
        (ref.expected_width_px, ref.expected_height_px),
        (ref.original_width_px, ref.original_height_px),
    )
    if None in listed or None in found or listed == found:
        return ""
    return f"{name}: {listed[0]} x {listed[1]} said, {found[0]} x {found[1]} found"
