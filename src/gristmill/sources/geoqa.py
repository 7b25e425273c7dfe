"""GeoQA+: figures of geometry problems, one zip of 16 MB with a plus in its name.

Cao and Xiao, 2022 (https://github.com/SCNU203/GeoQA-Plus), converted by InternVL. Records name a figure
``images/1.png`` below the folder ``geoqa+``; the path here is its name. In an address the plus is written ``%2B``: as
itself it is read as a blank, and nothing is found.
"""

from __future__ import annotations

from gristmill.sources._playground import INTERNVL, INTERNVL_REVISION, family
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

SOURCE = Source(
    key="geoqa",
    role="media",
    title="GeoQA+ figures",
    format="archives",
    hub=INTERNVL,
    revision=INTERNVL_REVISION,
    patterns=("data/geoqa*", "geoqa+_images.zip"),
    by_hand="Fetch https://huggingface.co/OpenGVLab/InternVL/resolve/main/geoqa%2B_images.zip, some 16.4 MB.",
    layouts=family(
        r"[^/]+\.(?:png|jpe?g)",
        below=r"(?:images|geoqa\+_images)/",
        folder=r"geoqa(?:\+|[_-]plus)?",
        example="geoqa+/images/0.png",
        flat=r"\d+\.(?:png|jpe?g)",
    ),
    license="unstated",
    access="open",
    terms="none are published with the figures; InternVL's annotations are apache-2.0",
    address="https://huggingface.co/OpenGVLab/InternVL",
    files=1,
    size_bytes=16_400_000,
)
