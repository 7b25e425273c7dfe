"""M3IT's subset gqa: pictures of Visual Genome and questions made from their scene graphs.

GQA (Hudson and Manning, 2019), a part of it: questions made from the scene graphs of Visual Genome. The
pictures are those of Visual Genome, so they occur in other datasets of a mixture as well.
"""

from __future__ import annotations

from gristmill.recipes._m3it import m3it

RECIPE = m3it(
    "gqa",
    task="vqa",
    title="GQA",
    description="Pictures of Visual Genome and questions made from their scene graphs.",
    rows=30_001,
    size_gb=1.63,
)
