"""LLaVA-CC3M-Pretrain-595K: pictures of CC-3M, each with an instruction to describe it and its caption as the answer.

Liu et al., 2023 (https://arxiv.org/abs/2304.08485): 595,375 records of two turns in one JSON array, and their
pictures in one flat zip of 6.5 GB. VILA aligns its projector on it. What is odd about it: the picture's token stands
before or behind the instruction; trainers of this stage throw the instruction away, and stop at a record that has
not exactly two turns, so such a record is dropped; and VILA's folder for the pictures has the name of another
dataset.
"""

from __future__ import annotations

from collections.abc import Mapping

from gristmill.recipes._llava import Family, InFamilies, LlavaRecords
from gristmill.sources import cc3m
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Expect, Recipe, Source
from gristmill.spec.sample import Drop, Json, Outcome
from gristmill.steps.check import CheckConversations
from gristmill.steps.media import Media
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows

_TURNS = 2
_CONVERSATION = LlavaRecords(
    place=InFamilies(tuple(Family(prefix=front, source="cc3m") for front in ("", "images/")))
)


def parse(row: Mapping[str, Json]) -> Outcome:
    """A picture, the instruction to describe it, and its caption."""
    sample = _CONVERSATION(row)
    if isinstance(sample, Drop):
        return sample
    if not sample.media:
        return Drop(reason=Reason.NO_IMAGE, detail="the record names no picture")
    if len(sample.turns) != _TURNS:
        return Drop(reason=Reason.BAD_TURNS, detail=f"{len(sample.turns)} turns, and alignment takes two")
    return sample


RECIPE = Recipe(
    name="llava_cc3m_595k",
    version="2026.12.1",
    title="LLaVA-CC3M-Pretrain-595K",
    description="Pictures of CC-3M with an instruction to describe each and its caption, for aligning a projector.",
    homepage=f"https://huggingface.co/datasets/{cc3m.REPOSITORY}",
    license="other",
    citation=(
        "@inproceedings{liu2023llava, title={Visual Instruction Tuning}, author={Liu, Haotian and Li, Chunyuan and "
        "Wu, Qingyang and Lee, Yong Jae}, booktitle={NeurIPS}, year={2023}}"
    ),
    redistribution="nothing",
    stages=("align",),
    sources=(
        Source(
            key="annotations",
            hub=cc3m.REPOSITORY,
            revision=cc3m.REVISION,
            patterns=("chat.json", "LLaVA-CC3M-Pretrain-595K.json"),
            format="json",
            license="other",
            files=1,
            size_bytes=211_000_000,
            rows=595_375,
        ),
        cc3m.SOURCE,
    ),
    parse=parse,
    writes=frozenset({"media.at", "turns"}),
    key="cc3m_{row:08d}",
    steps=(TakeRows(), CheckConversations(), Media(), Pack(shard_samples=10_000)),
    expect=Expect(kept_share=0.98, stored_bytes=10_900),
    traps=(
        "Do not confuse it with liuhaotian/LLaVA-Pretrain, 558,128 other pictures with other captions (the source "
        "llava-pretrain): VILA's folder LLaVA-Pretrain/images holds the pictures of this one.",
        "The pictures must comply with CC-3M's terms. Their archive is offered for reproducing research alone, and "
        "may be withdrawn.",
        "VILA's prompt of this stage throws the instruction away; other trainers keep it.",
        "Captions are CC-3M's raw ones, in lower case and with blanks before stops.",
    ),
)
