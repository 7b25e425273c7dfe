"""ShareGPT4V's mixture: LLaVA-1.5's mix665k in which 23,000 descriptions are GPT-4V's, 665,058 conversations.

Chen et al., 2023 (https://arxiv.org/abs/2311.12793); InternVL's
``sharegpt4v_mix665k_cap23k_coco-ap9k_lcs3k_sam9k_div2k.jsonl``, 801 MB, or the original of that name in ``.json``,
1.23 GB. Pictures are those of mix665k, and some thousands of LLaVA-Pretrain, SA-1B and ShareGPT4V's own web
families. VILA has its mix738k in its place. What is odd about it is what is odd about mix665k; regions of RefCOCO
stand in texts as fractions from 0 to 1.
"""

from __future__ import annotations

from gristmill.recipes._llava_next import llava_next
from gristmill.recipes._playground import WEB, records

_FAMILIES = ("coco", "gqa", "ocr-vqa", "textvqa", "vg", "llava-pretrain", "sam", *WEB)

RECIPE = llava_next(
    "sharegpt4v_mix665k",
    file="sharegpt4v_mix665k_cap23k_coco-ap9k_lcs3k_sam9k_div2k.jsonl",
    size_bytes=801_000_000,
    rows=665_058,
    parse=records(*_FAMILIES),
    media=_FAMILIES,
    title="ShareGPT4V mix665k",
    description="LLaVA-1.5's mixture with better descriptions: pictures of eleven families, and texts.",
    citation=(
        "@inproceedings{chen2024sharegpt4v, title={{ShareGPT4V}: Improving Large Multi-Modal Models with Better "
        "Captions}, author={Chen, Lin and Li, Jinsong and Dong, Xiaoyi and Zhang, Pan and He, Conghui and Wang, "
        "Jiaqi and Zhao, Feng and Lin, Dahua}, booktitle={ECCV}, year={2024}}"
    ),
    traps=(
        "VILA trains on sharegpt4v-mix738k in its place, and both hold mix665k's conversations: one of them is "
        "enough.",
        "Nine thousand pictures are SA-1B's: for this file the archive of them that ShareGPT4V passes on is enough.",
        "OCR-VQA's covers are crawled by the recipe ocr-vqa-images, or given as people have them.",
        "Regions stand in texts as [x1, y1, x2, y2], fractions of the picture. A trainer that mirrors, crops or "
        "pads pictures makes them wrong.",
    ),
    stored_bytes=135_000,
    media_per_row=0.94,
    license="cc-by-nc-4.0",
    others=("sharegpt4v_mix665k_cap23k_coco-ap9k_lcs3k_sam9k_div2k.json",),
)
