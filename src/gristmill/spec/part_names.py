"""Names of media: that which a recipe gives, and that of the part that a medium becomes in a shard."""

from __future__ import annotations

__all__ = ["medium_of", "part_of"]

_ONLY = "image"
_EXTENSIONS = {"jpeg": "jpg"}
"""Of formats whose usual extension is not their name."""
_PARTS = frozenset({"jpg", "png", "webp", "gif", "bmp", "tiff", "avif"})
"""Part names that the only medium of a sample may have in a shard."""


def part_of(medium: str, form: str) -> str:
    """The name of the part that a medium becomes: ``image`` becomes ``jpg``, ``000`` ``000.jpg``."""
    if "." in medium or medium in _PARTS:
        return medium  # the step has named it so already
    extension = _EXTENSIONS.get(form, form)
    return extension if medium == _ONLY else f"{medium}.{extension}"


def medium_of(part: str) -> str:
    """The medium behind the name of a part, or behind its own name."""
    return _ONLY if part in _PARTS else part.partition(".")[0]
