"""ShareGPT4V's TextVQA pictures, which ShareGPT4V was captioned on: some 500 pictures or more, out of the web.

Records name them ``share_textvqa/images/...``; the path here is what follows ``images/``. The archive on Drive,
``share_textvqa.zip``, has ``data/share_textvqa/images/`` in front. A few pictures that records name are in no copy
that is passed on: they are counted.
"""

from __future__ import annotations

from gristmill.sources._playground import INTERNVL, INTERNVL_REVISION, family
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

SOURCE = Source(
    key="share-textvqa",
    role="media",
    title="ShareGPT4V's TextVQA pictures",
    format="archives",
    hub=INTERNVL,
    revision=INTERNVL_REVISION,
    patterns=("data/share_textvqa*", "share_textvqa.zip"),
    by_hand=(
        "Fetch share_textvqa.zip from the folder that ShareGPT4V shares on Drive. Its size is published nowhere."
    ),
    layouts=family(r"[^/]+\.(?:jpe?g|png|webp)", folder="share_textvqa"),
    license="other",
    access="open",
    terms="academic use only, as ShareGPT4V says",
    address="https://drive.google.com/drive/folders/1tCUQ-sq6vdshZVkF0ZeF3K4eztkXJgax",
    files=1,
)
