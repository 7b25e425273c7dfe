"""M3IT's subset ocr-vqa: book covers and questions that need reading them.

OCR-VQA (Mishra et al., 2019), a part of it: book covers and questions about title, author and genre. Two
training files of equal size lie side by side; the later one is called train_new.jsonl.
"""

from __future__ import annotations

from gristmill.recipes._m3it import m3it

RECIPE = m3it(
    "ocr-vqa",
    task="vqa",
    title="OCR-VQA",
    description="Book covers and questions that need reading them.",
    rows=11_414,
    size_gb=0.559,
    latest="train_new.jsonl",
    latest_gb=0.559,
)
