"""M3IT's subset image-paragraph-captioning: pictures of Visual Genome and paragraphs that describe them.

Krause et al., 2017: paragraphs about pictures of Visual Genome, with one of the captioning instructions
before each. The file's name holds the subset's name, unlike those of most others; its folder is written with
underscores.
"""

from __future__ import annotations

from gristmill.recipes._m3it import m3it

RECIPE = m3it(
    "image-paragraph-captioning",
    task="captioning",
    title="image paragraph captioning",
    description="Pictures of Visual Genome and paragraphs that describe them.",
    rows=14_575,
    size_gb=0.735,
    folder="image_paragraph_captioning",
    file="image_paragraph_captioning_train.jsonl",
)
