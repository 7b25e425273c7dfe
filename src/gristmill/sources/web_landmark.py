"""ShareGPT4V's pictures of landmarks, which ShareGPT4V was captioned on: some 500 pictures or more, out of the web.

Records name them ``web-landmark/images/...``; the path here is what follows ``images/``. The archive on Drive,
``web-landmakr.zip``, has ``data/web-landmark/images/`` in front. (The archive's name is misspelt upstream.) A few
pictures that records name are in no copy that is passed on: they are counted.
"""

from __future__ import annotations

from gristmill.sources._playground import web

__all__ = ["SOURCE"]

SOURCE = web(
    "web-landmark",
    title="ShareGPT4V's pictures of landmarks",
    folder="web-landmark",
    archive="web-landmakr.zip",
    others=("web-landmark.zip",),
)
