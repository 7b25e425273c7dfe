"""LLaVA-Pretrain: the 558,128 pictures of LAION, CC-3M and SBU that LLaVA-1.5 is aligned on, one zip of 27 GB.

In the zip a picture is ``00414/004146340.jpg``, in a folder of its first five digits and under no further one;
records of ShareGPT4V and others name it ``llava/llava_pretrain/images/00414/004146340.jpg``. Unpacked one folder too
deep or too high, all of them are missing, so both forms are read.
"""

from __future__ import annotations

from gristmill.spec.media_source import MemberLayout
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

_NAME = r"\d{5}/\d{9}\.jpg"
_FILE = "00453/004539375.jpg"

SOURCE = Source(
    key="llava-pretrain",
    role="media",
    title="LLaVA-Pretrain pictures",
    format="archives",
    hub="liuhaotian/LLaVA-Pretrain",
    revision="70f9d1e5e1a697fe35830875cfc7de1dd590d727",
    patterns=("images.zip",),
    layouts=(
        MemberLayout(name="archive", member=_NAME, example=_FILE),
        MemberLayout(name="folder", member=f"images/({_NAME})", path=r"\1", example=f"images/{_FILE}"),
        MemberLayout(
            name="tree",
            member=rf"(?:.*/)?llava[_-]pretrain/(?:images/){{0,2}}({_NAME})",
            path=r"\1",
            example=f"llava/llava_pretrain/images/{_FILE}",
        ),
    ),
    license="other",
    terms="its card says no more than other; the pictures are LAION's, CC-3M's and SBU's",
    address="https://huggingface.co/datasets/liuhaotian/LLaVA-Pretrain",
    files=1,
    size_bytes=27_356_108_382,
)
