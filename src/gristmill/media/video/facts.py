"""Holds what was measured on a video, and a clip as it is handed over."""

from __future__ import annotations

from dataclasses import dataclass

from gristmill.spec.body import FileBody

__all__ = ["VideoClip", "VideoFacts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFacts:
    """The truth about a video file, measured.

    Attributes:
        format: ``mp4``, ``mov``, ``webm``, ``mkv``, ``avi`` or another of ``containers``.
        codec: FFmpeg's name of the codec, as ``h264``.
        width_px: Width as shown: turned, with square pixels.
        height_px: Likewise.
        rotation: Degrees by which the file says that its frames are turned, counterclockwise: 0, 90, 180 or 270.
        duration_s: Of the video stream: from the first frame's time to the end of the last.
        fps: Frames a second on average: ``frames / duration_s``.
        frames: How many can be decoded, counted.
        variable_rate: Frames are not equally long.
        has_audio: There is a stream of sound.
        broken_tail: Frames are missing or do not decode.
        first_key_frame_s: Time of the first key frame, from the first frame on.
        hidden_frames: The file tells players to pass over frames, as one does that was cut without encoding it anew.
            Readers that count its frames by its index count these, too.
        start_s: Of a clip: when its first frame is shown in the video that it was cut from, from that one's first
            frame on.
    """

    format: str
    codec: str
    width_px: int
    height_px: int
    rotation: int
    duration_s: float
    fps: float
    frames: int
    variable_rate: bool
    has_audio: bool
    broken_tail: bool
    first_key_frame_s: float
    hidden_frames: bool = False
    start_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoClip:
    """A piece of a video, or all of it, as it is delivered.

    Attributes:
        body: Its file; ``temporary`` unless it is the video as it came.
        facts: What was measured on it.
    """

    body: FileBody
    facts: VideoFacts
