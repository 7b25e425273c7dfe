"""Names for pixel arrays; the letters are their axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["PixelsHWC"]

PixelsHWC = NDArray[np.uint8]
"""uint8 RGB, shape (height_px, width_px, 3)."""
