"""SynthDoG-EN: 30,000 drawn pages of English text, one zip of 2.3 GB.

Kim et al., 2022 (https://github.com/clovaai/donut); the pictures of the Parquet files 0 to 4 of
``naver-clova-ix/synthdog-en``, which InternVL wrote out as JPEG. Records name them ``images/...`` below the folder
``synthdog-en``; the path here is what follows ``images/``. The zip lies in a repository of models and its checksum is
not published: it is known by its address and its size.
"""

from __future__ import annotations

from gristmill.sources._playground import family
from gristmill.spec.media_source import Download
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

_NAME = r"[^/]+\.(?:jpe?g|png)"

SOURCE = Source(
    key="synthdog",
    role="media",
    title="SynthDoG-EN pages",
    format="archives",
    downloads=(
        Download(
            url="https://huggingface.co/OpenGVLab/InternVL/resolve/main/synthdog-en-images.zip",
            size_bytes=2_342_283_106,
        ),
    ),
    layouts=family(
        _NAME,
        below="(?:images|synthdog-en-images)/",
        folder="synthdog-en",
        example="synthdog-en/images/0_1.jpg",
        flat=r"(?:synthdog_en_)?\d+(?:_\d+)?\.(?:jpe?g|png)",
    ),
    license="unstated",
    terms="none are published with the zip; its generator is MIT",
    address="https://huggingface.co/datasets/naver-clova-ix/synthdog-en",
    files=1,
    size_bytes=2_342_283_106,
)
