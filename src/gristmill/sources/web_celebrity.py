"""ShareGPT4V's pictures of celebrities, which ShareGPT4V was captioned on: some 500 pictures or more, out of the web.

Records name them ``web-celebrity/images/...``; the path here is what follows ``images/``. The archive on Drive,
``web-celebrity.zip``, has ``data/web-celebrity/images/`` in front. A few pictures that records name are in no copy
that is passed on: they are counted.
"""

from __future__ import annotations

from gristmill.sources._playground import web

__all__ = ["SOURCE"]

SOURCE = web(
    "web-celebrity",
    title="ShareGPT4V's pictures of celebrities",
    folder="web-celebrity",
    archive="web-celebrity.zip",
)
