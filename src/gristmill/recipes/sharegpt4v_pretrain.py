"""ShareGPT4V's pretraining set: 1,246,901 pictures, each with a long caption by ShareGPT4V's captioner.

Chen et al., 2023 (https://arxiv.org/abs/2311.12793), https://huggingface.co/datasets/Lin-Chen/ShareGPT4V: one JSON
array of 1.49 GB, a question and an answer for each picture. Pictures are SA-1B's (570,486), LLaVA-Pretrain's
(558,128) and COCO's (118,287). VILA pretrains on a filtered copy, from which records are gone whose texts name files
and whose answers repeat themselves; the filter itself is published without its rules. Here the step ``check`` drops
both, by its own documented ones: ``file_id`` and ``answer_repeats``. VILA's file is read with ``--set
annotations.variant=vila``. What is odd about it: the first thousand records are all SA-1B's, so where a picture lies
is decided for each record by its own path; and many people have half of SA-1B's pictures at most.
"""

from __future__ import annotations

from gristmill.recipes._main_branch import MAIN_BRANCH
from gristmill.recipes._playground import media, records, steps, told
from gristmill.spec.recipe import Expect, Recipe, Source, Variant

_FAMILIES = ("coco", "llava-pretrain", "sam")
_HUB = "Lin-Chen/ShareGPT4V"
_FILE = "share-captioner_coco_lcs_sam_1246k_1107.json"

_PARSE = records(*_FAMILIES)

RECIPE = Recipe(
    name="sharegpt4v_pretrain",
    version="2026.12.1",
    title="ShareGPT4V, pretraining",
    description="Pictures of SA-1B, LLaVA-Pretrain and COCO with long captions by ShareGPT4V's captioner.",
    homepage=f"https://huggingface.co/datasets/{_HUB}",
    license="cc-by-nc-4.0",
    citation=(
        "@inproceedings{chen2024sharegpt4v, title={{ShareGPT4V}: Improving Large Multi-Modal Models with Better "
        "Captions}, author={Chen, Lin and Li, Jinsong and Dong, Xiaoyi and Zhang, Pan and He, Conghui and Wang, "
        "Jiaqi and Zhao, Feng and Lin, Dahua}, booktitle={ECCV}, year={2024}}"
    ),
    redistribution="nothing",
    stages=("pretrain",),
    sources=(
        Source(
            key="annotations",
            hub=_HUB,
            revision="main",
            format="json",
            license="cc-by-nc-4.0",
            files=1,
            variants={
                "published": Variant(patterns=(_FILE,), size_bytes=1_490_000_000, rows=1_246_901),
                "vila": Variant(
                    patterns=(f"filter-{_FILE}", f"jason-filter-{_FILE}"),
                    size_bytes=1_310_000_000,
                    rows=1_170_000,
                ),
            },
        ).with_variant("published"),
        *media(*_FAMILIES),
    ),
    parse=_PARSE,
    writes=frozenset({"media.at", "turns"}),
    key="sharegpt4v_pretrain_{row:08d}",
    steps=steps(shard_samples=10_000),
    expect=Expect(kept_share=0.9, usual_share=0.97, stored_bytes=280_000),
    traps=(
        told(_PARSE),
        MAIN_BRANCH.format(repo=_HUB),
        "VILA's filtered file lies in another repository: --set annotations.variant=vila --source "
        "annotations=hf://datasets/mit-han-lab/ShareGPT4V@main, or a copy of one's own. Whether it is byte for "
        "byte the file that VILA's registry calls jason-filter-... is not known.",
        "The filter is our own, by rules in docs/reference/checks.md: --set check.keep=file_id,answer_repeats "
        "leaves it out. VILA's took 1.25 million records to 1.17 million.",
        "SA-1B's tars 0 to 50 are had by hand, some 500 GB; the archive of 9,000 of its pictures that is passed on "
        "is of the fine-tuning set and does not hold these. Tars that were cut while they were fetched are refused.",
        "The first thousand records are all SA-1B's: a run with --only sees no other pictures.",
        "In people's trees LLaVA-Pretrain's pictures lie under llava/llava_pretrain/images, in folders of five "
        "digits; VILA's folder LLaVA-Pretrain/images holds other pictures, those of llava-cc3m-595k.",
    ),
)
