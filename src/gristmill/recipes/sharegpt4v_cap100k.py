"""ShareGPT4V's captions: 102,025 pictures of eight families, each with a long description by GPT-4V.

Chen et al., 2023 (https://arxiv.org/abs/2311.12793); InternVL's ``sharegpt4v_instruct_gpt4-vision_cap100k.jsonl``,
117 MB, or the original of that name in ``.json``. Pictures are COCO's, LLaVA-Pretrain's, some 20,000 of SA-1B, and
ShareGPT4V's own web families. What is odd about it: the archive of 9,000 pictures of SA-1B that is passed on does
not hold those 20,000, which are in the tars; and captions sometimes name the picture's file, which the step
``check`` drops.
"""

from __future__ import annotations

from gristmill.recipes._llava_next import llava_next
from gristmill.recipes._playground import WEB, records

_FAMILIES = ("coco", "llava-pretrain", "sam", *WEB)

RECIPE = llava_next(
    "sharegpt4v_cap100k",
    file="sharegpt4v_instruct_gpt4-vision_cap100k.jsonl",
    size_bytes=117_000_000,
    rows=102_025,
    parse=records(*_FAMILIES),
    media=_FAMILIES,
    title="ShareGPT4V, 100,000 captions",
    description="Pictures of many kinds with long descriptions by GPT-4V.",
    citation=(
        "@inproceedings{chen2024sharegpt4v, title={{ShareGPT4V}: Improving Large Multi-Modal Models with Better "
        "Captions}, author={Chen, Lin and Li, Jinsong and Dong, Xiaoyi and Zhang, Pan and He, Conghui and Wang, "
        "Jiaqi and Zhao, Feng and Lin, Dahua}, booktitle={ECCV}, year={2024}}"
    ),
    traps=(
        "The archive of 9,000 pictures of SA-1B that is passed on is not enough: this set needs some 20,000 of the "
        "tars'.",
        "VILA trains on the original .json, which ShareGPT4V passes on, filtered from 100,000 to 96,000: give it "
        "with --source annotations=FILE. The records are the same.",
        "Its entry in VILA's registry has a folder datasharegpt_video in its path by mistake.",
        "Captions that name a file (file_id) or repeat themselves (answer_repeats) are dropped: --set "
        "check.keep=... keeps them.",
    ),
    kept_share=0.9,
    license="cc-by-nc-4.0",
    others=("sharegpt4v_instruct_gpt4-vision_cap100k.json",),
)
