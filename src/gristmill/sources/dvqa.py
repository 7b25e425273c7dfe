"""DVQA: 300,000 drawn bar charts, 200,000 of them for training, some 6.5 GB when unpacked.

Kafle et al., 2018 (https://github.com/kushalkafle/DVQA_dataset). A chart is ``bar_train_00000001.png``, or
``bar_val_easy_``, ``bar_val_hard_``; records name it ``images/bar_train_00000001.png`` below the family's folder. The
path here is its name, which is enough wherever it lies.
"""

from __future__ import annotations

from gristmill.sources._playground import INTERNVL, INTERNVL_REVISION, family
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

SOURCE = Source(
    key="dvqa",
    role="media",
    title="DVQA charts",
    format="archives",
    hub=INTERNVL,
    revision=INTERNVL_REVISION,
    patterns=("data/dvqa*", "DVQA*.tar.gz", "dvqa*.zip", "images.tar.gz"),
    by_hand="Fetch the images that DVQA's authors share on Drive, some 6.5 GB when unpacked.",
    layouts=family(
        r"bar_(?:train|val_easy|val_hard)_\d{8}\.png",
        below="(?:images/)?",
        folder="dvqa(?:_dataset)?",
        example="dvqa/images/bar_train_00000001.png",
    ),
    license="unstated",
    access="open",
    terms="its authors publish none",
    address="https://drive.google.com/file/d/1iKH2lTi1-QxtNUVRxTUWFvUvRHq6HAsZ/view",
    files=1,
    size_bytes=6_500_000_000,
)
