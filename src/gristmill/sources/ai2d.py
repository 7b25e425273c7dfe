"""AI2D: some 4,900 diagrams of school science, and copies of them in which letters stand in place of words.

Kembhavi et al., 2016 (https://allenai.org/data/diagrams). Records of InternVL name them ``images/1.png`` and
``abc_images/1.png`` below the family's folder, which is the path here. AI2D's own archive has no copies
with letters; InternLM-XComposer passes them on.
"""

from __future__ import annotations

from gristmill.sources._playground import INTERNVL, INTERNVL_REVISION, family
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

SOURCE = Source(
    key="ai2d",
    role="media",
    title="AI2D diagrams",
    format="archives",
    hub=INTERNVL,
    revision=INTERNVL_REVISION,
    patterns=("data/ai2d*", "ai2d*.zip"),
    by_hand="Fetch the archive that InternLM-XComposer shares on Drive. Its size is published nowhere.",
    layouts=family(
        r"(?:abc_)?images/[^/]+\.(?:png|jpe?g)", below="", folder="ai2d", example="ai2d/images/0.png"
    ),
    license="other",
    access="open",
    terms="license.txt in AI2D's archive: research alone, nothing passed on; others say CC BY-SA",
    address="https://drive.google.com/file/d/1dqqa3MnrxMXaU_K9JA6C83je32ibwdOY/view",
    files=1,
)
