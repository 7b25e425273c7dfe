"""GQA: pictures, most of them Visual Genome's, one zip of some 20 GB.

Records of LLaVA and others name them ``gqa/images/2331819.jpg``; the path here is what follows ``images/``. Names of
its test pictures begin with an ``n``. InternVL's repository is asked first; the exact size of Stanford's own zip is
published nowhere, so that one is fetched by hand.
"""

from __future__ import annotations

from gristmill.sources._playground import INTERNVL, INTERNVL_REVISION, family
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

SOURCE = Source(
    key="gqa",
    role="media",
    title="GQA pictures",
    format="archives",
    hub=INTERNVL,
    revision=INTERNVL_REVISION,
    patterns=("data/gqa*", "images.zip"),
    by_hand="Fetch https://downloads.cs.stanford.edu/nlp/data/gqa/images.zip, some 20.3 GB.",
    layouts=family(r"n?\d+\.jpg", folder="gqa", example="gqa/images/2354786.jpg", flat=r"n?\d+\.jpg"),
    license="cc-by-4.0 or mit, as copies say",
    terms="unknown; each picture has Flickr's terms of its author",
    address="https://cs.stanford.edu/people/dorarad/gqa/download.html",
    files=1,
    size_bytes=20_300_000_000,
)
