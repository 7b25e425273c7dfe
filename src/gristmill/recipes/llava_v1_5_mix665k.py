"""LLaVA-1.5's mixture: 665,298 conversations about pictures of five datasets, and 40,688 without any.

Liu et al., 2023 (https://arxiv.org/abs/2310.03744), https://huggingface.co/datasets/liuhaotian/LLaVA-Instruct-150K:
one JSON array, known by its checksum. Pictures are COCO's (364,100 records), Visual Genome's (86,417), OCR-VQA's
(80,000), GQA's (72,140) and TextVQA's (21,953). What is odd about it: ids are those of pictures and repeat, and
cannot tell COCO, GQA and OCR-VQA apart, which paths do; records without pictures have no key ``image`` and stand
near the end; every cover of OCR-VQA is called ``.jpg``, whatever it is; conversations have up to 275 rounds; and
regions stand in texts as fractions of the picture.
"""

from __future__ import annotations

from gristmill.recipes._playground import media, records, steps, told
from gristmill.spec.recipe import Expect, Recipe, Source

_FAMILIES = ("coco", "gqa", "ocr-vqa", "textvqa", "vg")
_HOME = "https://huggingface.co/datasets/liuhaotian/LLaVA-Instruct-150K"

_PARSE = records(*_FAMILIES)

RECIPE = Recipe(
    name="llava_v1_5_mix665k",
    version="2026.12.1",
    title="LLaVA-1.5 mix665k",
    description="LLaVA-1.5's conversations about pictures of five datasets, and conversations without pictures.",
    homepage=_HOME,
    license="cc-by-4.0",
    citation=(
        "@inproceedings{liu2024improved, title={Improved Baselines with Visual Instruction Tuning}, author={Liu, "
        "Haotian and Li, Chunyuan and Li, Yuheng and Lee, Yong Jae}, booktitle={CVPR}, year={2024}}"
    ),
    redistribution="nothing",
    stages=("sft",),
    sources=(
        Source(
            key="annotations",
            url=f"{_HOME}/resolve/main/llava_v1_5_mix665k.json",
            sha256="ce959ce6e23073ee1cd1a8a2ef1c633768c10d4174327b8b2dc7113b91af6cf8",
            patterns=("llava_v1_5_mix665k.json",),
            format="json",
            license="cc-by-4.0",
            files=1,
            size_bytes=1_029_887_963,
            rows=665_298,
        ),
        *media(*_FAMILIES),
    ),
    parse=_PARSE,
    writes=frozenset({"media.at", "turns"}),
    key="mix665k_{row:08d}",
    steps=steps(),
    expect=Expect(kept_share=0.95, media_per_row=0.94, stored_bytes=135_000),
    traps=(
        told(_PARSE),
        "Licences differ: the card says cc-by-4.0, VILA's list of licences Apache-2.0. Answers are a model's of "
        "OpenAI, whose terms hold as well.",
        "OCR-VQA's covers lie at 207,572 addresses, some of them gone: gristmill run ocr-vqa-images crawls them, "
        "and its shards are then given with --source ocr-vqa=DIR/ocr-vqa-images/shards. Whoever has them in a "
        "folder or an archive gives that.",
        "Records without a picture are the last 40,688 or so: a run with --only sees none of them.",
        "Some 170 pictures of Visual Genome's second zip are empty upstream, and 355 covers of OCR-VQA are gone.",
        "Regions stand in texts as [x1, y1, x2, y2], fractions of the picture, or of the picture padded to a "
        "square: which is known for certain nowhere. A trainer that mirrors, crops or pads pictures may make them "
        "wrong.",
        "VILA 1.5 does not train on this file itself, but on sharegpt4v-mix738k, which holds its conversations.",
    ),
)
