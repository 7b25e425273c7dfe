"""VILA's mixture for fine-tuning: some 738,000 conversations, LLaVA-1.5's with ShareGPT4V's captions among them.

``sharegpt4v_mix738k_remove_sa.json`` of https://huggingface.co/datasets/mit-han-lab/ShareGPT4V: by the names of what
it was made from, LLaVA-1.5's mix665k, LLaVA's detailed descriptions (23,000) and ShareGPT4V's captions (100,000),
without those of SA-1B; the recipe of the mixture is published without its rules. VILA 1.5 trains on it in place of
mix665k. Pictures are named as there, by families below one folder. What is odd about it is what is odd about
mix665k; and that nobody says whether a picture of SA-1B is left in it: a record that names one is dropped as
``no_file``, and counted.
"""

from __future__ import annotations

from gristmill.recipes._main_branch import MAIN_BRANCH
from gristmill.recipes._playground import WEB, media, records, steps, told
from gristmill.spec.recipe import Expect, Recipe, Source

_FAMILIES = ("coco", "gqa", "ocr-vqa", "textvqa", "vg", "llava-pretrain", *WEB)
_HUB = "mit-han-lab/ShareGPT4V"

_PARSE = records(*_FAMILIES)

RECIPE = Recipe(
    name="sharegpt4v_mix738k",
    version="2026.12.1",
    title="ShareGPT4V mix738k, VILA's",
    description="VILA's conversations for fine-tuning: LLaVA-1.5's mixture with ShareGPT4V's captions.",
    homepage=f"https://huggingface.co/datasets/{_HUB}",
    license="cc-by-nc-4.0",
    citation=(
        "@inproceedings{lin2024vila, title={{VILA}: On Pre-training for Visual Language Models}, author={Lin, Ji "
        "and Yin, Hongxu and Ping, Wei and Molchanov, Pavlo and Shoeybi, Mohammad and Han, Song}, "
        "booktitle={CVPR}, year={2024}}"
    ),
    redistribution="nothing",
    stages=("sft",),
    sources=(
        Source(
            key="annotations",
            hub=_HUB,
            revision="main",
            patterns=("sharegpt4v_mix738k_remove_sa.json",),
            format="json",
            license="unstated by VILA; cc-by-nc-4.0 by ShareGPT4V, cc-by-4.0 by LLaVA",
            files=1,
            size_bytes=1_340_000_000,
            rows=738_000,
        ),
        *media(*_FAMILIES),
    ),
    parse=_PARSE,
    writes=frozenset({"media.at", "turns"}),
    key="mix738k_{row:08d}",
    steps=steps(),
    expect=Expect(kept_share=0.93, media_per_row=0.94, stored_bytes=135_000),
    traps=(
        told(_PARSE),
        MAIN_BRANCH.format(repo=_HUB),
        "Do not train on llava-v1.5-mix665k as well: its conversations are in here.",
        "OCR-VQA's covers are crawled by the recipe ocr-vqa-images, or given as people have them.",
        "The families share-textvqa, wikiart, web-celebrity and web-landmark are for academic use alone, and a few "
        "of their pictures are in no copy.",
        "By its name nothing of SA-1B is left in it. If something is, it is dropped as no_file, with the path.",
        "Regions stand in texts as fractions of the picture, or of the picture padded to a square: which is known "
        "for certain nowhere.",
    ),
)
