"""Pieces of a video that are media of their own: clips, by time or by number of frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Cut"]


@dataclass(frozen=True, slots=True)
class Cut:
    """One piece of a video, by seconds or by frames.

    By seconds it is the first frame that is shown at or after ``start_s`` to the last one that is shown before
    ``end_s``. By frames it is both ends and all between, counted from 0 in the order in which they are shown.

    Attributes:
        start_s, end_s: Seconds from the video's first frame.
        first_frame, last_frame: Numbers of frames.

    Raises:
        ValueError: It is neither or both, or ends before it begins.
    """

    start_s: float | None = None
    end_s: float | None = None
    first_frame: int | None = None
    last_frame: int | None = None

    def __post_init__(self) -> None:
        if (self.start_s is None) != (self.end_s is None) or (self.first_frame is None) != (
            self.last_frame is None
        ):
            raise ValueError("a cut has both ends")
        if (self.start_s is None) == (self.first_frame is None):
            raise ValueError("a cut is by seconds or by frames")
        if self.start_s is not None and self.end_s is not None:
            sound = 0 <= self.start_s < self.end_s and math.isfinite(self.end_s)
        else:
            sound = 0 <= (self.first_frame or 0) <= (self.last_frame or 0)
        if not sound:
            raise ValueError(f"no piece of a video: {self}")
