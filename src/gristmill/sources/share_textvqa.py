"""ShareGPT4V's TextVQA pictures, which ShareGPT4V was captioned on: some 500 pictures or more, out of the web.

Records name them ``share_textvqa/images/...``; the path here is what follows ``images/``. The archive on Drive,
``share_textvqa.zip``, has ``data/share_textvqa/images/`` in front. A few pictures that records name are in no copy
that is passed on: they are counted.
"""

from __future__ import annotations

from gristmill.sources._playground import web

__all__ = ["SOURCE"]

SOURCE = web(
    "share-textvqa",
    title="ShareGPT4V's TextVQA pictures",
    folder="share_textvqa",
    archive="share_textvqa.zip",
)
