"""Visual Genome: 108,077 pictures in two zips of 15 GB, which lie in one folder of a Stanford server.

Records of LLaVA and others name them ``vg/VG_100K/2.jpg`` and ``vg/VG_100K_2/2.jpg``, Sherlock's by the addresses
that they once had; the path here begins with ``VG_100K``. The old site, visualgenome.org, belongs to others now and
is never asked. Some 170 pictures of the second zip are empty upstream; they are counted where a row names them.
"""

from __future__ import annotations

from gristmill.spec.media_source import Download, MemberLayout
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

_HOST = "https://cs.stanford.edu/people/rak248/VG_100K_2"

SOURCE = Source(
    key="vg",
    role="media",
    title="Visual Genome pictures",
    format="archives",
    downloads=(
        Download(url=f"{_HOST}/images.zip", size_bytes=9_731_705_982),
        Download(url=f"{_HOST}/images2.zip", size_bytes=5_471_658_058),
    ),
    layouts=(
        MemberLayout(
            name="archive",
            member=r"(?:images/)?(VG_100K(?:_2)?/\d+\.jpg)",
            path=r"\1",
            example="VG_100K_2/1.jpg",
        ),
        MemberLayout(
            name="tree",
            member=r"(?:.*/)?vg/(?:images/)?(VG_100K(?:_2)?/\d+\.jpg)",
            path=r"\1",
            example="vg/VG_100K_2/1.jpg",
        ),
    ),
    license="cc-by-4.0",
    terms="annotations CC BY 4.0; each picture has Flickr's terms of its author",
    address="https://homes.cs.washington.edu/~ranjay/visualgenome/",
    files=2,
    size_bytes=15_203_364_040,
)
