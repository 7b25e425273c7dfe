"""SA-1B, its tars 000000 to 000050: 570,486 pictures, some 500 GB, had by hand after agreeing to terms.

In a tar a picture is ``sa_545504.jpg``, and beside each lies a JSON of masks, which is passed over. Records name it
``sam/images/sa_545504.jpg``, all in one folder, so a name is enough wherever the picture lies. Tars are read as they
are. The subset of 9,000 pictures that is passed on for fine-tuning does not have those of pretraining, nor the
20,000 of ShareGPT4V's captions: the tars do. Downloads that broke off are common; a tar that is cut is refused.
"""

from __future__ import annotations

from gristmill.spec.media_source import MemberLayout
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

SOURCE = Source(
    key="sam",
    role="media",
    title="SA-1B pictures, tars 000000 to 000050",
    format="archives",
    by_hand=(
        "Agree to the terms at https://ai.meta.com/datasets/segment-anything-downloads/ and fetch the tars "
        "sa_000000.tar to sa_000050.tar, some 500 GB. They need not be unpacked."
    ),
    patterns=("sa_0000*.tar", "sam*.zip", "sam*.tar"),
    layouts=(
        MemberLayout(name="archive", member=r"sa_\d+\.jpg", example="sa_545504.jpg"),
        MemberLayout(
            name="folder",
            member=r"(?:images|sa_\d{6}|\d{6})/(sa_\d+\.jpg)",
            path=r"\1",
            example="sa_000020/sa_545504.jpg",
        ),
        MemberLayout(
            name="tree",
            member=r"(?:.*/)?(?:sam|sa-?1b)/(?:images/)?(?:(?:sa_)?\d{6}/)?(sa_\d+\.jpg)",
            path=r"\1",
            example="sam/images/sa_545504.jpg",
        ),
    ),
    license="other",
    access="form",
    terms="SA-1B Dataset Research License: research only",
    address="https://ai.meta.com/datasets/segment-anything-downloads/",
    files=51,
    size_bytes=500_000_000_000,
)
