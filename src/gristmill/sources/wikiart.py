"""WikiArt: paintings, which ShareGPT4V was captioned on: some 500 pictures or more, out of the web.

Records name them ``wikiart/images/...``; the path here is what follows ``images/``. The archive on Drive,
``wikiart.zip``, has ``data/wikiart/images/`` in front. Names with letters that were decoded by the wrong table are
found all the same. A few pictures that records name are in no copy that is passed on: they are counted.
"""

from __future__ import annotations

from gristmill.sources._playground import INTERNVL, INTERNVL_REVISION, family
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

SOURCE = Source(
    key="wikiart",
    role="media",
    title="WikiArt pictures",
    format="archives",
    hub=INTERNVL,
    revision=INTERNVL_REVISION,
    patterns=("data/wikiart*", "wikiart.zip"),
    by_hand=(
        "Fetch wikiart.zip from the folder that ShareGPT4V shares on Drive. Its size is published nowhere."
    ),
    layouts=family(r"[^/]+\.(?:jpe?g|png|webp)", folder="wikiart"),
    license="other",
    access="open",
    terms="academic use only, as ShareGPT4V says",
    address="https://drive.google.com/drive/folders/1tCUQ-sq6vdshZVkF0ZeF3K4eztkXJgax",
    files=1,
)
