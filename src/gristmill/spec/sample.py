"""What travels: a sample, its media and its turns. Bytes of media are never inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from gristmill.spec.cut import Cut
from gristmill.spec.locator import Locator, Url
from gristmill.spec.reasons import Reason

__all__ = [
    "CHANGES",
    "Drop",
    "Json",
    "MediaRef",
    "Origin",
    "Outcome",
    "Part",
    "Sample",
    "Show",
    "Text",
    "Turn",
    "is_numbered",
]

CHANGES = "changes"
"""Column of a sample that lists, a word each, what steps changed in it or let pass; the words are counted."""

Json: TypeAlias = Any
"""A value that JSON can hold. Mappings keep their order: it is part of the bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRef:
    """One picture or video of a sample: where it comes from and, once measured, what it is.

    Facts are None until measured. ``sha256``, ``md5`` and ``raw_bytes`` are of the bytes as they came from
    upstream; the others are of what is stored.

    Attributes:
        at: Where it is.
        cut: The piece of the video there that it is; None is all of it.
        name: Of its file in published copies, where ``at`` does not say it: of a clip, ``ID_START_END.mp4``.
        expected_width_px, expected_height_px, expected_phash: As the list says, to be compared with what comes.
        expected_hash: ``sha256:HEX`` or ``md5:HEX`` as the list promises it; other bytes are dropped.
        duration_s, fps, frames: Of a video: its length in seconds, frames a second, frames in all.
        start_s: Of a piece of a video: where in that video its first frame truly stands.
        via: The mirror that it came from, where it is not from the URL's own host.
    """

    kind: Literal["image", "video"] = "image"
    at: Locator | None = None
    cut: Cut | None = None
    name: str | None = None
    expected_width_px: int | None = None
    expected_height_px: int | None = None
    expected_phash: str | None = None
    expected_hash: str | None = None  # "sha256:...", "md5:..." as the list promises it
    sha256: str | None = None
    md5: str | None = None
    raw_bytes: int | None = None
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
    via: str | None = None  # the mirror that it came from, where it is not from the URL's own host

    @property
    def url(self) -> str | None:
        """Its address, where it is on the web."""
        return self.at.url if isinstance(self.at, Url) else None


def is_numbered(medium: str) -> bool:
    """A medium's name is a number, with or without an ending: ``000``, ``000.jpg``."""
    return medium[:1].isdecimal()


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text within a turn.

    Attributes:
        text: As a model is to read it.
    """

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """A medium within a turn, by its name in ``Sample.media``, whole or a piece of it.

    Attributes:
        media: That name.
        start_s, end_s: Of a video, the piece that is meant.
        box_px: Of a picture, the piece that is meant: left, top, right, bottom.
    """

    media: str
    start_s: float | None = None
    end_s: float | None = None
    box_px: tuple[float, float, float, float] | None = None


Part: TypeAlias = Text | Show


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Who says what. A caption is one turn of role ``caption``: the picture, then its text.

    Attributes:
        role: ``caption``, ``document``, or who speaks.
        parts: Texts and media in the order in which they are read.
    """

    role: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The one line of the one upstream file a sample comes from; ``row`` counts from 0.

    Attributes:
        source: Key of the source.
        file: Its name there.
        row: Its position in the file.
    """

    source: str
    file: str
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One training sample.

    Attributes:
        key: Unique in the dataset, the same on every run; plain ASCII, no dot.
        media: Part name (``jpg``, ``000.jpg``) to reference, in the order they are stored.
        turns: Text and media as a model is to see them.
        columns: Values made on the way (a score), by name.
        upstream: The upstream row, verbatim.
        origin: Where the row stands upstream.
    """

    key: str
    media: Mapping[str, MediaRef] = field(default_factory=dict)
    turns: tuple[Turn, ...] = ()
    columns: Mapping[str, Json] = field(default_factory=dict)
    upstream: Mapping[str, Json] = field(default_factory=dict)
    origin: Origin | None = None

    @property
    def row(self) -> int:
        """Say where its row stands in its annotation file; 0 where it comes from none."""
        return self.origin.row if self.origin else 0

    @property
    def may_have_several(self) -> bool:
        """Its media are named by number, as are those of samples that may have several."""
        return any(is_numbered(name) for name in self.media)

    def text(self) -> str:
        """All text parts of all turns, joined by newlines: a caption where there is only one."""
        return "\n".join(p.text for turn in self.turns for p in turn.parts if isinstance(p, Text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Bad data: a declared reason and, apart from it, what was seen.

    Attributes:
        reason: Of the closed list.
        detail: In words, for a person; at most 200 characters are kept.
    """

    reason: Reason
    detail: str = ""


Outcome: TypeAlias = Sample | Drop
