"""M3IT's subset visual-mrc: screenshots of web pages and questions that need reading them.

VisualMRC (Tanaka et al., 2021): screenshots of web pages, with questions and answers in sentences. The folder
is written with an underscore, the subset with a dash, and the pictures are large.
"""

from __future__ import annotations

from gristmill.recipes._m3it import m3it

RECIPE = m3it(
    "visual-mrc",
    task="reasoning",
    title="VisualMRC",
    description="Screenshots of web pages and questions that need reading them.",
    rows=15_000,
    size_gb=4.24,
    folder="visual_mrc",
)
