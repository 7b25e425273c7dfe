"""CC3M-595K: the 595,375 pictures of CC-3M that LLaVA was first trained on, one flat zip of 6.5 GB.

They are named ``GCC_train_000000042.jpg``, and records name them so. VILA's folder for them is called
``LLaVA-Pretrain/images``, as is that of the other 558,000 pictures that ShareGPT4V needs (``llava-pretrain``). The
two are told apart by their names.
"""

from __future__ import annotations

from gristmill.spec.media_source import MemberLayout
from gristmill.spec.recipe import Source

__all__ = ["REPOSITORY", "REVISION", "SOURCE"]

REPOSITORY = "liuhaotian/LLaVA-CC3M-Pretrain-595K"
REVISION = "814894e93db9e12a1dee78b9669e20e8606fd590"
_NAME = r"GCC_train_\d{9}\.jpg"
_FILE = "GCC_train_002109690.jpg"

SOURCE = Source(
    key="cc3m",
    role="media",
    title="CC3M-595K pictures",
    format="archives",
    hub=REPOSITORY,
    revision=REVISION,
    patterns=("images.zip",),
    layouts=(
        MemberLayout(name="archive", member=_NAME, example=_FILE),
        MemberLayout(name="folder", member=f"images/({_NAME})", path=r"\1", example=f"images/{_FILE}"),
        MemberLayout(
            name="tree",
            member=rf"(?:.*/)?(?:LLaVA-Pretrain|LLaVA-CC3M-Pretrain-595K|cc3m)/(?:images/)?({_NAME})",
            path=r"\1",
            example=f"LLaVA-CC3M-Pretrain-595K/images/{_FILE}",
        ),
    ),
    license="other",
    terms="CC-3M's terms; the archive is offered for reproducing research alone, and may be withdrawn",
    address=f"https://huggingface.co/datasets/{REPOSITORY}",
    files=1,
    size_bytes=6_460_000_000,
)
