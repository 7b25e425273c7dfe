"""M3IT's subset st-vqa: pictures with text in the scene and questions that need reading it.

Scene Text VQA (Biten et al., 2019): photographs with writing in them, and questions that only the writing
answers. Rows name their keys as the other subsets about text in pictures do.
"""

from __future__ import annotations

from gristmill.recipes._m3it import m3it

RECIPE = m3it(
    "st-vqa",
    task="vqa",
    title="ST-VQA",
    description="Pictures with text in the scene and questions that need reading it.",
    rows=26_074,
    size_gb=1.48,
)
