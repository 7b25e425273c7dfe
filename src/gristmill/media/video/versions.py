"""Versions of the libraries on which the bytes of clips depend."""

from __future__ import annotations

import importlib.util

__all__ = ["versions"]


def versions() -> dict[str, str]:
    """Name them: PyAV, and the FFmpeg in it; nothing where they are not installed."""
    if importlib.util.find_spec("av") is None:
        return {}
    import av

    return {"pyav": av.__version__, "ffmpeg": str(av.ffmpeg_version_info)}
