"""The distance of perceptual hashes; apart from ``phash``, so that who compares need not load the codecs."""

from __future__ import annotations

__all__ = ["hamming"]


def hamming(a: str, b: str) -> int:
    """Number of differing bits of two hexadecimal hashes of equal length; 0 to 64 for ``phash``."""
    return (int(a, 16) ^ int(b, 16)).bit_count()
