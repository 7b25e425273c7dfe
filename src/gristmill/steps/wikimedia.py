"""Pictures of Wikimedia's servers: in which sizes they are asked for, and how their addresses are made.

An original lies at ``/wikipedia/PROJECT/a/ab/NAME``, where ``a`` and ``ab`` begin the MD5 of its name with
underscores for blanks (https://www.mediawiki.org/wiki/Manual:Image_administration). A thumbnail of it lies at
``/wikipedia/PROJECT/thumb/a/ab/NAME/WIDTHpx-NAME``; one of an SVG ends in ``.png``, one of a TIFF is a JPEG of its
first page. Widths other than the published ones are answered 429 for ever
(https://www.mediawiki.org/wiki/Common_thumbnail_sizes), and none is larger than its original.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from gristmill.spec.errors import UsageError
from gristmill.spec.host_rule import HostRule
from gristmill.spec.locator import Url
from gristmill.spec.sample import MediaRef, Outcome, Sample
from gristmill.spec.step import SampleStep

__all__ = ["WIDTHS_PX", "WIKIMEDIA", "WikimediaThumbnails", "original_url"]

WIDTHS_PX = (20, 40, 60, 120, 250, 330, 500, 960, 1280, 1920, 3840)
"""Those in which thumbnails are rendered, as published."""

WIKIMEDIA = HostRule(
    host="upload.wikimedia.org",
    connections=2,
    bits_per_s=25_000_000,
    needs_contact=True,
    https=True,
    width=r"/thumb/.*/(?:lossy-|lossless-)?(?:page\d+-)?(\d+)px-[^/]+$",
    widths=WIDTHS_PX,
    permanent=((429, r"/thumb/"),),
)
"""What Wikimedia's robot policy of April 2025 asks of all of a client's machines together."""

_ORIGINAL = re.compile(
    r"https?://upload\.wikimedia\.org/wikipedia/([a-z-]+)/([0-9a-f]/[0-9a-f]{2})/([^/?#]+\.([A-Za-z]+))"
)
_RASTER = frozenset({"jpg", "jpeg", "png"})
"""Of these a thumbnail is worth it where the original is wider."""
_DRAWN = {"svg": ("", ".png"), "tif": ("lossy-page1-", ".jpg"), "tiff": ("lossy-page1-", ".jpg")}
"""Formats that are only had as thumbnails: what stands before the width, and what follows the name."""
_LONGEST_BYTES = 160
"""A thumbnail of a longer name is called ``thumbnail.ENDING``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WikimediaThumbnails(SampleStep):
    """Ask for a thumbnail in place of an original that is wider; of SVG and TIFF always for one.

    What a list says of a picture's width decides; of a JPEG or PNG whose width it does not say, the original is asked
    for. Other formats, and addresses of other forms, stay as they are.

    Attributes:
        width_px: One of the published widths; 0 asks for originals, and SVG and TIFF are dropped when they come.
    """

    width_px: int = 960

    name = "thumbnails"
    reads = frozenset({"media.url"})

    def __post_init__(self) -> None:
        if self.width_px not in (0, *WIDTHS_PX):
            raise UsageError(
                f"thumbnails.width_px={self.width_px}: expected 0 or one of {', '.join(map(str, WIDTHS_PX))}"
            )

    def apply(self, sample: Sample) -> Outcome:
        """See :class:`SampleStep`."""
        if not self.width_px:
            return sample
        media = {name: self._smaller(ref) for name, ref in sample.media.items()}
        return replace(sample, media=media) if media != sample.media else sample

    def _smaller(self, ref: MediaRef) -> MediaRef:
        found = _ORIGINAL.fullmatch(ref.url or "")
        if found is None:
            return ref
        project, folders, name, ending = found.groups()
        drawn = _DRAWN.get(ending.lower())
        width = ref.expected_width_px
        if drawn is None and (ending.lower() not in _RASTER or width is None or width <= self.width_px):
            return ref
        before, after = drawn or ("", "")
        wanted = self.width_px
        if before and width is not None:  # of pixels none can be had that are not there
            wanted = max((w for w in WIDTHS_PX if w <= min(width, wanted)), default=WIDTHS_PX[0])
        short = name if len(unquote(name).encode()) <= _LONGEST_BYTES else f"thumbnail.{ending}"
        url = f"https://upload.wikimedia.org/wikipedia/{project}/thumb/{folders}/{name}/{before}{wanted}px-{short}{after}"
        return replace(ref, at=Url(url), expected_width_px=None, expected_height_px=None)


def original_url(name: str, project: str = "commons") -> str:
    """The address of an original by its name alone, as Wikimedia's servers place it.

    Args:
        name: With blanks or underscores; percent-encoded or not.
        project: ``commons``, or a language's own files: ``en``.
    """
    plain = unquote(name).strip().replace(" ", "_")
    plain = plain[:1].upper() + plain[1:]
    digest = hashlib.md5(plain.encode(), usedforsecurity=False).hexdigest()
    path = quote(plain, safe="!$&'()*+,;=:@-._~")
    return f"https://upload.wikimedia.org/wikipedia/{project}/{digest[0]}/{digest[:2]}/{path}"
