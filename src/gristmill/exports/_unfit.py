"""Says why a trainer's loader would stumble over a sample, and finds the pictures among its parts."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["PICTURE_ENDINGS", "VIDEO_ENDINGS", "Unfit", "pictures_of"]

PICTURE_ENDINGS = frozenset({"avif", "bmp", "gif", "jpeg", "jpg", "png", "tiff", "webp"})
VIDEO_ENDINGS = frozenset({"avi", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "webm"})


class Unfit(Exception):
    """A sample that the loader would stumble over.

    Attributes:
        kind: One word for counting.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind, self.text = kind, text

    def __str__(self) -> str:
        return self.text


def pictures_of(parts: Iterable[str]) -> list[str]:
    """Names of the parts that are pictures, in the order in which they lie in the shard."""
    return [name for name in parts if name.rpartition(".")[2] in PICTURE_ENDINGS]
