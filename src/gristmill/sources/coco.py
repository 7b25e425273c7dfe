"""COCO: the 118,287 training pictures of 2017, one zip of 18 GB.

Records of LLaVA, ShareGPT4V and others name them ``coco/train2017/000000000009.jpg``; the path here is that without
``coco/``. The host's certificate is not for its name, so the address is plain http; the checksum tells a wrong file.
"""

from __future__ import annotations

from gristmill.spec.media_source import Download, MemberLayout
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

SOURCE = Source(
    key="coco",
    role="media",
    title="COCO train2017 pictures",
    format="archives",
    downloads=(
        Download(
            url="http://images.cocodataset.org/zips/train2017.zip",
            size_bytes=19_336_861_798,
            sha256="69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        ),
    ),
    layouts=(
        MemberLayout(
            name="archive",
            member=r"(?:images/)?(train2017/\d{12}\.jpg)",
            path=r"\1",
            example="train2017/000000000009.jpg",
        ),
        MemberLayout(
            name="tree",
            member=r"(?:.*/)?coco/(?:images/)?(train2017/\d{12}\.jpg)",
            path=r"\1",
            example="coco/train2017/000000000009.jpg",
        ),
        MemberLayout(name="flat", member=r"\d{12}\.jpg", path=r"train2017/\g<0>", example="000000000009.jpg"),
    ),
    license="other",
    terms="each picture is under the terms that its author gave it on Flickr (https://cocodataset.org/#termsofuse)",
    address="https://cocodataset.org/#download",
    files=1,
    size_bytes=19_336_861_798,
)
