"""M3IT's subset viquae: pictures of named things and people, and questions that need knowledge of them.

ViQuAE (Lerner et al., 2022): questions about what or who is in the picture that need knowledge from outside
of it. It is the smallest subset; the later of its two files is train_v2.jsonl.
"""

from __future__ import annotations

from gristmill.recipes._m3it import m3it

RECIPE = m3it(
    "viquae",
    task="vqa",
    title="ViQuAE",
    description="Pictures of named things and people, and questions that need knowledge of them.",
    rows=1_190,
    size_gb=0.115,
    latest="train_v2.jsonl",
    latest_gb=0.116,
)
