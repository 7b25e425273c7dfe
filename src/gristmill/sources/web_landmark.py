"""ShareGPT4V's pictures of landmarks, which ShareGPT4V was captioned on: some 500 pictures or more, out of the web.

Records name them ``web-landmark/images/...``; the path here is what follows ``images/``. The archive on Drive,
``web-landmakr.zip``, has ``data/web-landmark/images/`` in front. (The archive's name is misspelt upstream.) A few
pictures that records name are in no copy that is passed on: they are counted.
"""

from __future__ import annotations

from gristmill.sources._playground import INTERNVL, INTERNVL_REVISION, family
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

SOURCE = Source(
    key="web-landmark",
    role="media",
    title="ShareGPT4V's pictures of landmarks",
    format="archives",
    hub=INTERNVL,
    revision=INTERNVL_REVISION,
    patterns=("data/web-landmark*", "web-landmark.zip", "web-landmakr.zip"),
    by_hand=(
        "Fetch web-landmakr.zip from the folder that ShareGPT4V shares on Drive. Its size is published nowhere."
    ),
    layouts=family(r"[^/]+\.(?:jpe?g|png|webp)", folder="web-landmark"),
    license="other",
    access="open",
    terms="academic use only, as ShareGPT4V says",
    address="https://drive.google.com/drive/folders/1tCUQ-sq6vdshZVkF0ZeF3K4eztkXJgax",
    files=1,
)
