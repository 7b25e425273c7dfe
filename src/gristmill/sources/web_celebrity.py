"""ShareGPT4V's pictures of celebrities, which ShareGPT4V was captioned on: some 500 pictures or more, out of the web.

Records name them ``web-celebrity/images/...``; the path here is what follows ``images/``. The archive on Drive,
``web-celebrity.zip``, has ``data/web-celebrity/images/`` in front. A few pictures that records name are in no copy
that is passed on: they are counted.
"""

from __future__ import annotations

from gristmill.sources._playground import INTERNVL, INTERNVL_REVISION, family
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

SOURCE = Source(
    key="web-celebrity",
    role="media",
    title="ShareGPT4V's pictures of celebrities",
    format="archives",
    hub=INTERNVL,
    revision=INTERNVL_REVISION,
    patterns=("data/web-celebrity*", "web-celebrity.zip"),
    by_hand=(
        "Fetch web-celebrity.zip from the folder that ShareGPT4V shares on Drive. Its size is published nowhere."
    ),
    layouts=family(r"[^/]+\.(?:jpe?g|png|webp)", folder="web-celebrity"),
    license="other",
    access="open",
    terms="academic use only, as ShareGPT4V says",
    address="https://drive.google.com/drive/folders/1tCUQ-sq6vdshZVkF0ZeF3K4eztkXJgax",
    files=1,
)
