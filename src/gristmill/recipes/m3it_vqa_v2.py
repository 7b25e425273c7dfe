"""M3IT's subset vqa-v2: pictures of COCO and questions about them, the answers paraphrased into sentences.

VQA v2 (Goyal et al., 2017), a part of it: questions about pictures of COCO. The answers of a word or two were
paraphrased into sentences; both stand in the row. The folder is called vqav2.
"""

from __future__ import annotations

from gristmill.recipes._m3it import m3it

RECIPE = m3it(
    "vqa-v2",
    task="vqa",
    title="VQA v2",
    description="Pictures of COCO and questions about them, the answers paraphrased into sentences.",
    rows=30_000,
    size_gb=1.99,
    folder="vqav2",
    traps=("The paraphrased answer is taken, and where it says nothing the original one, of a word or two.",),
)
