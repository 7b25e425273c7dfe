"""Clips that rows name by their video and a number: which piece of the video each is, as a list of segments says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Self

from gristmill.shards.framing import Framing
from gristmill.shards.rows import read_rows, rows_of
from gristmill.spec.cut import Cut
from gristmill.spec.errors import SourceError, UsageError
from gristmill.spec.locator import Video
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, Json, MediaRef, Outcome, Sample
from gristmill.spec.step import SampleStep

__all__ = ["SUBSET", "VideoSegments"]

SUBSET = "subset"
"""Column of a sample: the subset that the list has its video in."""

_CLIP = re.compile(r"(?P<video>.+)_(?P<segment>\d{1,9})\.mp4", re.DOTALL)
_KEY = "__key__"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """Holds what the list says of one video."""

    subset: str
    segments: Mapping[int, Cut]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSegments(SampleStep):
    """Say by a list which piece of its video each clip is, and its subset; leave out other subsets if asked to.

    The list is of ActivityNet's form: ``{"database": {VIDEO: {"subset", "annotations": [{"id", "segment": [START_S,
    END_S]}]}}}``. A clip that it does not have is only looked for as a file of its own, ``VIDEO_ID.mp4``.

    Attributes:
        source: Key of the ``aux`` source that is the list.
        subsets: Those that are kept, such as ``training``; clips of others, and such of which it is not known, are
            left out. Empty keeps all.
    """

    source: str = "official"
    subsets: tuple[str, ...] = ()

    name = "segments"
    reads = frozenset({"media.at"})
    drops = frozenset({Reason.LEFT_OUT})
    _known: Mapping[str, _Known] | None = field(
        default=None, repr=False, compare=False, metadata={"identity": False}
    )

    def with_aux(self, aux: Mapping[str, tuple[Path, ...]]) -> Self:
        """See :class:`SampleStep`.

        Raises:
            SourceError: The list cannot be read, or is none of segments.
        """
        paths = aux.get(self.source)
        if not paths:
            return self
        stat = paths[0].stat()
        return replace(self, _known=_read(paths[0], stat.st_size, stat.st_mtime_ns))

    def apply(self, sample: Sample) -> Outcome:
        """See :class:`SampleStep`.

        Raises:
            UsageError: Only some subsets are meant, and nothing says which a clip is of.
        """
        subset = sample.columns.get(SUBSET)
        media: dict[str, MediaRef] = {}
        for name, ref in sample.media.items():
            found = _CLIP.fullmatch(ref.name or "") if ref.cut is None else None
            known = self._known.get(found["video"]) if found and self._known is not None else None
            media[name] = _placed(ref, found, known) if found else ref
            subset = known.subset if known else subset
        if self.subsets and subset is None and self._known is None:
            raise UsageError(
                f"segments.subsets={','.join(self.subsets)}: nothing says which clips are of them. Give the list: "
                f"--source {self.source}=FILE."
            )
        if self.subsets and subset not in self.subsets:
            return Drop(reason=Reason.LEFT_OUT, detail=f"subset is {subset or 'not known'}"[:200])
        columns = sample.columns if subset is None else {**sample.columns, SUBSET: subset}
        return replace(sample, media=media, columns=columns)


def _placed(ref: MediaRef, found: re.Match[str], known: _Known | None) -> MediaRef:
    """The piece of its video that a clip is; where that is not known, the clip as a file."""
    cut = known.segments.get(int(found["segment"])) if known else None
    if cut is not None or not isinstance(ref.at, Video):
        return replace(ref, cut=cut)
    return replace(ref, at=Video(ref.at.source, f"{found['video']}_{found['segment']}"))


@lru_cache(maxsize=2)
def _read(path: Path, size: int, changed: int) -> Mapping[str, _Known]:
    """The videos of a list as it is now."""
    found: dict[str, _Known] = {}
    for batch in read_rows(path, framing=Framing(format="json", array="database")):
        for row in rows_of(batch.table):
            video, subset, listed = row.get(_KEY), row.get("subset"), row.get("annotations")
            if not isinstance(video, str) or not isinstance(subset, str) or not isinstance(listed, list):
                raise SourceError(
                    f"{path}: expected videos by their names below database, each with a subset and annotations."
                )
            found[video] = _Known(
                subset=subset, segments=dict(filter(None, map(_segment, enumerate(listed))))
            )
    return found


def _segment(numbered: tuple[int, Json]) -> tuple[int, Cut] | None:
    """The number and the piece of one annotation; None where it is no sound piece."""
    place, one = numbered
    if not isinstance(one, dict):
        return None
    number: Json = one.get("id", place)
    ends: Json = one.get("segment")
    try:
        start_s, end_s = map(float, ends) if isinstance(ends, list) else (None, None)
        return int(number), Cut(start_s=start_s, end_s=end_s)
    except (TypeError, ValueError):
        return None
