"""The account of a dataset of documents, which are samples with several images: documents, and images by fate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from gristmill.ledger.funnel import Funnel
from gristmill.ledger.totals import Totals
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Json

__all__ = ["UNUSABLE", "WITHOUT_MEDIA", "Documents", "documents"]

UNUSABLE = (Reason.BAD_ROW, Reason.ROW_TOO_LONG, Reason.EMPTY_TEXT, Reason.DUPLICATE_KEY, Reason.FEW_IMAGES)
"""Samples that are no documents with images, as upstream has them."""
WITHOUT_MEDIA = "without_media"
"""A task's fact: how many other samples name no medium."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """Documents and their images, as far as they were worked on.

    Attributes:
        annotated: Documents in the annotation files.
        with_images: Those that are whole as upstream has them, and have images, or as many as they must have.
        complete: Those of whose images none is missing.
        kept: Those kept, incomplete ones too where the settings allow it.
        images: Images of the documents with images, by fate, the largest number first: ``kept``,
            ``document_lost`` (good, but its document was dropped), or a reason.
    """

    annotated: int
    with_images: int
    complete: int
    kept: int
    images: Mapping[str, int]

    @property
    def image_count(self) -> int:
        """All images."""
        return sum(self.images.values())

    def to_json(self) -> dict[str, Json]:
        """Plain data."""
        return {
            "annotated": self.annotated,
            "with_images": self.with_images,
            "complete": self.complete,
            "kept": self.kept,
            "images": dict(self.images),
        }


def documents(totals: Totals, levels: Funnel) -> Documents | None:
    """The account, or None for a dataset none of whose samples has several images."""
    if not totals.several:
        return None
    samples, media, incomplete = totals.of("making"), Counter[str](), 0
    for stage in (samples, totals.of("judging")):
        media.update(stage.media)
        incomplete += int(stage.facts["incomplete"])
    return Documents(
        annotated=levels.count("annotated"),
        with_images=samples.samples_in
        - sum(samples.dropped[reason] for reason in UNUSABLE)
        - int(samples.facts[WITHOUT_MEDIA]),
        complete=levels.count("kept") - incomplete,
        kept=levels.count("kept"),
        images={fate: n for fate, n in media.most_common() if n > 0},
    )
