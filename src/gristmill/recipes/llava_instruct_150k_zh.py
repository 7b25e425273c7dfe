"""LLaVA-Instruct-150K in Chinese, as InternVL has it: 157,712 conversations about pictures of COCO.

https://huggingface.co/datasets/openbmb/llava_zh; ``llava_instruct_150k_zh.jsonl``, 168 MB: conversations,
descriptions and reasoning that a language model wrote from captions and boxes, translated by a machine. Paths stand
below the folder ``coco``, or are bare names; names of COCO's release of 2014 are those of 2017 with something in
front. What is odd about it: VILA calls the same file ``llava_instruct``, as if it were the English one; and that the
model never saw a picture.
"""

from __future__ import annotations

from gristmill.recipes._llava import Family, InFamilies, LlavaRecords
from gristmill.recipes._llava_next import llava_next

_OF_2014 = tuple(
    f"{front}COCO_{split}2014_"
    for split in ("train", "val")
    for front in ("", f"{split}2014/", f"coco/{split}2014/")
)
_PARSE = LlavaRecords(
    place=InFamilies(
        (
            *(Family(prefix=front, source="coco", lead="train2017/") for front in ("", *_OF_2014)),
            *(
                Family(prefix=f"{front}train2017/", source="coco", lead="train2017/")
                for front in ("", "coco/", "images/")
            ),
        )
    )
)

RECIPE = llava_next(
    "llava_instruct_150k_zh",
    file="llava_instruct_150k_zh.jsonl",
    size_bytes=168_000_000,
    rows=157_712,
    parse=_PARSE,
    media=("coco",),
    title="LLaVA-Instruct-150K, Chinese",
    description="Conversations, descriptions and reasoning about pictures of COCO, in Chinese.",
    citation=(
        "@inproceedings{liu2023llava, title={Visual Instruction Tuning}, author={Liu, Haotian and Li, Chunyuan and "
        "Wu, Qingyang and Lee, Yong Jae}, booktitle={NeurIPS}, year={2023}}"
    ),
    traps=(
        "VILA's registry calls it llava_instruct. It is the Chinese one.",
        "Texts are a machine's translation of a language model's: some sentences stayed English.",
    ),
    stored_bytes=163_000,
    others=("llava_instruct_150k_zh.json",),
)
