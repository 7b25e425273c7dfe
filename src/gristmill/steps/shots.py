"""Shots of clips, by the lists of frames that Shot2Story publishes beside its annotations.

A list is a pickle of ``{CLIP.mp4: [[first, last], ...]}`` with both frames of each shot meant, perhaps in arrays of
NumPy; nothing in it is run. See https://github.com/bytedance/Shot2Story, data/scripts/process_videos.py.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Self

from gristmill.shards.pickle_whole import pickled_value
from gristmill.spec.cut import Cut
from gristmill.spec.errors import SourceError
from gristmill.spec.locator import Video
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import CHANGES, Drop, Json, MediaRef, Outcome, Sample
from gristmill.spec.step import SampleStep

__all__ = ["ShotFrames"]

_UNKNOWN = "shot_not_listed"
"""The word in the column ``changes`` of a sample whose shot is not among those that are listed of its clip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotFrames(SampleStep):
    """Cut the shot out of a clip that is named without its frames, where a list of shots is there.

    A clip of one shot is cut to that; of several it cannot be told which is meant, and the sample is dropped. A shot
    that is named with its frames stays as it is; if its clip is listed with others, ``changes`` says so.

    Attributes:
        source: Key of the ``aux`` source that holds the lists. Without its files nothing is looked at.
    """

    source: str = "splits"

    name = "shots"
    drops = frozenset({Reason.BAD_ROW})
    _shots: Mapping[str, array[int]] = field(
        default_factory=dict, repr=False, compare=False, metadata={"identity": False}
    )

    def with_aux(self, aux: Mapping[str, tuple[Path, ...]]) -> Self:
        """See :class:`SampleStep`.

        Raises:
            SourceError: A file is no list of shots.
        """
        shots: dict[str, array[int]] = {}
        for path in aux.get(self.source, ()):
            stat = path.stat()
            shots |= _read(path, stat.st_size, stat.st_mtime_ns)
        return replace(self, _shots=shots)

    def apply(self, sample: Sample) -> Outcome:
        """See :class:`SampleStep`."""
        media: dict[str, MediaRef] = {}
        changes: list[str] = []
        for name, ref in sample.media.items():
            media[name] = ref
            shots = self._shots.get(ref.at.name) if isinstance(ref.at, Video) else None
            if not shots:
                continue
            listed = list(zip(shots[::2], shots[1::2], strict=True))
            if ref.cut is not None:
                if (ref.cut.first_frame, ref.cut.last_frame) not in listed:
                    changes.append(_UNKNOWN)
            elif len(listed) > 1:
                said = f"{ref.name} has {len(listed)} shots, and which is meant is not said"
                return Drop(reason=Reason.BAD_ROW, detail=said[:200])
            else:
                first, last = listed[0]
                cut = Cut(first_frame=first, last_frame=last)
                media[name] = replace(ref, cut=cut, name=f"{ref.at.name}_{first}_{last}.mp4")  # type: ignore[union-attr]
        if changes:
            columns = {**sample.columns, CHANGES: [*sample.columns.get(CHANGES, ()), *changes]}
            return replace(sample, media=media, columns=columns)
        return replace(sample, media=media)


@lru_cache(maxsize=4)
def _read(path: Path, size_bytes: int, changed_ns: int) -> Mapping[str, array[int]]:
    """The shots of each clip, by its name without ending: first and last frame of each, one after another.

    Args:
        path: The list.
        size_bytes, changed_ns: Of the file: another one is read anew.
    """
    found = pickled_value(path)
    shots = {_stem(clip): _pairs(pairs) for clip, pairs in found.items()} if isinstance(found, dict) else {}
    read = {clip: pairs for clip, pairs in shots.items() if pairs is not None}
    if not read or len(read) < len(shots):
        raise SourceError(
            f"{path} is no list of shots: expected {{CLIP.mp4: [[first frame, last frame], ...]}}, as in "
            "134k_split_info.pkl. Fetch it again, or leave --source splits out."
        )
    return read


def _stem(clip: str) -> str:
    return clip.removesuffix(".mp4")


def _pairs(pairs: Json) -> array[int] | None:
    if not isinstance(pairs, list):
        return None
    frames = array("q")
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not all(type(frame) is int for frame in pair):
            return None
        if not 0 <= pair[0] <= pair[1] < 1 << 40:
            return None
        frames.extend(pair)
    return frames
