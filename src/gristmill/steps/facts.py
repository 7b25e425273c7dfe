"""What was found out about a medium, from its fate into the sample."""

from __future__ import annotations

from dataclasses import replace

from gristmill.spec.fate import Fate
from gristmill.spec.sample import MediaRef

__all__ = ["with_facts"]


def with_facts(ref: MediaRef, fate: Fate) -> MediaRef:
    """The medium with the facts of a fate; those that the fate does not know are empty."""
    return replace(
        ref,
        sha256=fate.sha256,
        md5=fate.md5,
        raw_bytes=fate.raw_bytes,
        original_mime=fate.original_mime,
        original_width_px=fate.original_width_px,
        original_height_px=fate.original_height_px,
        mime=fate.mime,
        size_bytes=fate.size_bytes,
        width_px=fate.width_px,
        height_px=fate.height_px,
        phash=fate.phash,
        phash_distance=fate.phash_distance,
        via=fate.via,
    )
