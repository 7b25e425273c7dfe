"""Names of media: that which a recipe gives, and that of the part that a medium becomes in a shard."""

from __future__ import annotations

__all__ = ["FRAMES", "frame_names", "is_frames", "medium_of", "part_of"]

_ONLY = "image"
_ONLY_VIDEO = "video"
_EXTENSIONS = {"jpeg": "jpg"}
"""Of formats whose usual extension is not their name."""
_PARTS = frozenset({"jpg", "png", "webp", "gif", "bmp", "tiff", "avif"})
"""Part names that the only medium of a sample may have in a shard."""

FRAMES = "frames"
"""Name of a video that is stored as its frames: its parts are ``000.jpg``, ``001.jpg`` and so on.

As an ending it is that of a medium that is named by its position: ``000.frames``.
"""
_VIDEO_PARTS = frozenset({"mp4", "webm", "mkv", "mov", "avi", "flv", "wmv", "mpeg", "ts", "ogv", FRAMES})
"""The same, where it is a video."""


def part_of(medium: str, form: str) -> str:
    """The name of the part that a medium becomes: of ``image`` it is ``jpg``, of ``000`` ``000.jpg``."""
    if "." in medium or medium in _PARTS or medium in _VIDEO_PARTS:
        return medium  # the step has named it so already
    extension = _EXTENSIONS.get(form, form)
    return extension if medium in (_ONLY, _ONLY_VIDEO) else f"{medium}.{extension}"


def medium_of(part: str) -> str:
    """The medium behind the name of a part, or behind its own name."""
    if part in _VIDEO_PARTS:
        return _ONLY_VIDEO
    return _ONLY if part in _PARTS else part.partition(".")[0]


def is_frames(part: str) -> bool:
    """Say whether a medium of this name is a video that is stored as its frames."""
    return part.rpartition(".")[2] == FRAMES


def frame_names(frames: int) -> list[str]:
    """Names of the parts of a video that is stored as so many frames."""
    digits = max(3, len(str(frames - 1)))
    return [f"{number:0{digits}d}.jpg" for number in range(frames)]
