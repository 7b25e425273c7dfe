"""Names for pixel arrays; the letters are their axes."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["PixelsHWC", "as_pixels"]

PixelsHWC = NDArray[np.uint8]
"""uint8 RGB, shape (height_px, width_px, 3)."""


def as_pixels(array: NDArray[Any]) -> PixelsHWC:
    """Say what OpenCV made of pixels, which is pixels again; its type hints say less."""
    return cast(PixelsHWC, array)
