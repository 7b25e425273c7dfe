"""The fate of one upstream row, or of one of its media. The fields are the columns of ``fates/*.parquet``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from gristmill.spec.locator import without_userinfo
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import MediaRef, Sample

__all__ = ["DOCUMENT_LOST", "FACTS", "KEPT", "Fate", "fate_of"]

KEPT = "kept"
DOCUMENT_LOST = "document_lost"
"""What is counted of a document's image that came: it is kept, or is good and its document was dropped."""


@dataclass(slots=True, kw_only=True)
class Fate:
    """Holds what became of it, and all that was measured on the way.

    Attributes:
        row: Position in the upstream file, from 0.
        medium: Part name, or the empty string where the row itself is meant.
        reason: Why it was not kept; None if it was.
        detail: What was seen, at most 200 characters, control characters escaped.
        elapsed_s: From the first request to the last byte, all tries together.
        finished_at: Unix time, seconds.
        duration_s, fps, frames: Of a video: its length in seconds, frames a second, frames in all.
        start_s: Of a piece of a video: where in that video its first frame truly stands.
        via: The mirror that it came from, where it is not from the URL's own host.
        attempt: 0 for the run, n for the n-th retry round.
    """

    row: int
    key: str = ""
    medium: str = ""
    url: str | None = None
    reason: Reason | None = None
    detail: str = ""
    status: int | None = None
    tries: int = 0
    elapsed_s: float | None = None
    finished_at: float | None = None
    raw_bytes: int | None = None
    sha256: str | None = None
    md5: str | None = None
    original_mime: str | None = None
    original_width_px: int | None = None
    original_height_px: int | None = None
    mime: str | None = None
    size_bytes: int | None = None
    width_px: int | None = None
    height_px: int | None = None
    duration_s: float | None = None
    fps: float | None = None
    frames: int | None = None
    start_s: float | None = None
    phash: str | None = None
    phash_distance: int | None = None
    final_url: str | None = None
    opt_out: str | None = None
    via: str | None = None
    attempt: int = 0


FACTS = tuple(field.name for field in fields(Fate) if field.name in MediaRef.__dataclass_fields__)
"""What is measured of a medium: its fate and the sample have it under the same names."""


def fate_of(sample: Sample, medium: str, **told: Any) -> Fate:
    """A fate for one of a sample's media, with what the sample knows of it.

    Args:
        sample: Whose medium it is.
        medium: Its name there.
        told: Columns to be added, or said otherwise.
    """
    ref = sample.media[medium]
    known = {name: getattr(ref, name) for name in FACTS}
    known["url"] = ref.url and without_userinfo(ref.url)
    return Fate(row=sample.row, key=sample.key, medium=medium, **{**known, **told})
