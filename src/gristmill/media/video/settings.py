"""What shall become of a video: plain data, part of a step's identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gristmill.spec.errors import UsageError

__all__ = ["Mode", "Preset", "VideoSettings"]

Mode = Literal["keep", "exact", "copy"]
Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSettings:
    """Says how videos are checked, cut and encoded.

    Attributes:
        mode: ``exact`` encodes anew (H.264 and AAC in MP4), so a clip begins and ends where it should; ``copy`` takes
            the coded frames as they are, from the key frame before the start; ``keep`` stores a whole video as it
            came, and cuts pieces as ``exact`` does.
        short_side_px: Wanted shorter side; larger videos are brought to it. 0: as it is, but for odd sides.
        audio: Keep the sound of the same span, or leave it out.
        crf: Constant rate factor of the encoder: 0 is without loss, 51 the worst.
        preset: How much time the encoder takes for smaller files; a name of x264's.
        rotation: ``apply`` turns frames as the file says that they are shown.
        keep_broken: Also deliver what can be decoded of a video, or a clip, whose end is missing or broken.
        max_pixels: Refuse videos with larger frames.
        max_duration_s: Refuse longer videos.
        max_streams: Refuse files with more streams.
        max_clip_bytes: Refuse what would become a larger file.
    """

    mode: Mode = "exact"
    short_side_px: int = 0
    audio: Literal["keep", "drop"] = "keep"
    crf: int = 20
    preset: Preset = "veryfast"
    rotation: Literal["apply", "ignore"] = "apply"
    keep_broken: bool = False
    max_pixels: int = 4096 * 2304
    max_duration_s: float = 4 * 3600
    max_streams: int = 64
    max_clip_bytes: int = 4 << 30

    def __post_init__(self) -> None:
        for name, low, high in (
            ("short_side_px", 0, 4096),
            ("crf", 0, 51),
            ("max_pixels", 1, 1 << 28),
            ("max_streams", 1, 1000),
            ("max_clip_bytes", 1, 1 << 40),
        ):
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"{name} must be from {low} to {high}, not {getattr(self, name)}.")
        if self.short_side_px % 2:
            raise UsageError(f"short_side_px must be even, not {self.short_side_px}.")
        if not 0 < self.max_duration_s <= 24 * 3600:
            raise UsageError(f"max_duration_s must be from 0 to 86400, not {self.max_duration_s}.")
        for name, known in (
            ("mode", ("keep", "exact", "copy")),
            ("audio", ("keep", "drop")),
            ("preset", ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow")),
            ("rotation", ("apply", "ignore")),
        ):
            if getattr(self, name) not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}.")
