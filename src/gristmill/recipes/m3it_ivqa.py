"""M3IT's subset ivqa: frames of instructional videos and questions about them.

iVQA (Yang et al., 2021): questions about clips of instructional videos, each clip as a list of sampled
frames. It is the one of the fourteen subsets whose samples have many pictures.
"""

from __future__ import annotations

from gristmill.recipes._m3it import m3it

RECIPE = m3it(
    "ivqa",
    task="vqa",
    title="iVQA",
    description="Frames of instructional videos and questions about them.",
    rows=5_994,
    size_gb=1.56,
    traps=(
        "Each row holds the frames of a video as a list of pictures, in order. VILA's loader stops on a sample with "
        "more than 8: --set embedded.max_images=8 keeps so many, spread evenly from the first to the last.",
    ),
)
