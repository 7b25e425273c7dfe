"""TextVQA: the pictures of its training and validation splits, out of Open Images; one zip of 7 GB.

Records of LLaVA and others name them ``textvqa/train_images/0a0bc91825468c45.jpg``; the path here is what follows
``train_images/``. Validation pictures lie in that folder, too: the benchmark's are among them, but no record of the
mixtures names one. The host publishes no checksum; the size is that which its server has told others.
"""

from __future__ import annotations

from gristmill.sources._playground import family
from gristmill.spec.media_source import Download
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

SOURCE = Source(
    key="textvqa",
    role="media",
    title="TextVQA pictures",
    format="archives",
    downloads=(
        Download(
            url="https://dl.fbaipublicfiles.com/textvqa/images/train_val_images.zip", size_bytes=7_072_297_970
        ),
    ),
    layouts=family(
        r"[0-9a-f]{16}\.jpg",
        below="train_images/",
        folder="textvqa",
        example="textvqa/train_images/0054c91397f2fe05.jpg",
        flat=r"[0-9a-f]{16}\.jpg",
    ),
    license="cc-by-4.0",
    terms="CC BY 4.0 (https://textvqa.org/dataset/); pictures are Open Images', CC BY 2.0",
    address="https://textvqa.org/dataset/",
    files=1,
    size_bytes=7_072_297_970,
)
