"""OCR-VQA: covers of 207,572 books, each of which lies at an address of its own.

Records of LLaVA and others name them ``ocr_vqa/images/140031996X.jpg``, always with ``.jpg``, though some 900 have
another extension upstream, mostly ``.gif``: a cover is found whatever its extension is, and its bytes stay as they
are. There are three ways to have them. InternVL's repository is asked first. The recipe ``ocr-vqa-images`` crawls the
addresses in ``dataset.json``, and its shards are archives that this source reads as they lie. And people pass on zips
and folders of them. 355 covers are known to be gone upstream.
"""

from __future__ import annotations

from gristmill.sources._playground import INTERNVL, INTERNVL_REVISION, family
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

_NAME = r"[\dB][\dA-Z]{9}\.(?:jpe?g|gif|png|webp|bmp|tiff?)"

SOURCE = Source(
    key="ocr-vqa",
    role="media",
    title="OCR-VQA covers",
    format="archives",
    hub=INTERNVL,
    revision=INTERNVL_REVISION,
    patterns=("data/ocr_vqa*", "ocr_vqa*.zip", "ocr_vqa*.tar"),
    by_hand=(
        "Crawl them: gristmill run ocr-vqa-images --source annotations=dataset.json, then give its folder of shards. "
        "Or give a folder or an archive of the covers."
    ),
    layouts=family(_NAME, folder="ocr_?vqa", example="ocr_vqa/images/140031996X.jpg", flat=_NAME),
    stems=True,
    license="unstated",
    terms="unknown, Apache-2.0 as a loader of others says; covers belong to their publishers",
    address="https://ocr-vqa.github.io/",
    files=1,
)
