"""ShareGPTVideo: captions of, and questions about, videos that are published as frames.

Zhang et al., 2024 (https://arxiv.org/abs/2404.01258), https://github.com/RifleZhang/LLaVA-Hound-DPO: 900,000 videos
of WebVid, Vidal and ActivityNet, described by GPT-4V; VILA trained on ``video_caption_pretrain``. A video is a folder
of JPEGs, two a second and 336 pixels wide, in one of 46 archives: ``train_600k/chunk_{0..29}.tar.gz`` and
``train_300k/chunk_{0..15}.tar.gz``, some 420 GB. Members are ``./FOLDER/c01_0007.jpeg``, and those of a folder
follow each other. What is odd about it: numbers of archives are not padded; folders may begin with ``-``; several
folders are scenes of one video; the token ``<video>`` stands before the question or behind it; and there is no video
file, so that a loader that wants one sees black frames without a word.
"""

from __future__ import annotations

from collections.abc import Mapping

from gristmill.recipes._llava import LlavaRecords
from gristmill.recipes._main_branch import MAIN_BRANCH
from gristmill.spec.locator import Frames
from gristmill.spec.media_source import MemberLayout
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Expect, Recipe, Source, Variant
from gristmill.spec.sample import Drop, Json, MediaRef, Outcome
from gristmill.steps.check import CheckConversations
from gristmill.steps.clip import Clip
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows

_HUB = "ShareGPTVideo/train_video_and_instruction"
_ROWS = "video_instruction/train"

_VARIANTS = {
    "pretrain": Variant(
        patterns=(f"{_ROWS}/pretrain/video_caption_pretrain.jsonl",), size_bytes=789_487_313, rows=900_000
    ),
    "caption-300k": Variant(
        patterns=(f"{_ROWS}/sft/video_caption_300k.jsonl",), size_bytes=266_000_000, rows=300_000
    ),
    "sft-255k": Variant(
        patterns=(f"{_ROWS}/sft/video_240k_caption_15k.jsonl",), size_bytes=91_300_000, rows=255_000
    ),
    "qa-900k": Variant(patterns=(f"{_ROWS}/qa/*chatgpt_qa_900k*.jsonl",), rows=900_000),
}


def _place(path: str) -> MediaRef | Drop:
    """The folder of a video's frames: the last part of the path, without the ending that some copies give it."""
    folder = path.rstrip("/").rpartition("/")[2].removesuffix(".mp4")
    if folder in {"", ".", ".."}:
        return Drop(reason=Reason.BAD_PATH, detail=f"{path!r} names no folder"[:200])
    return MediaRef(kind="video", at=Frames("frames", folder), name=f"{folder}.mp4")


_CONVERSATION = LlavaRecords(place=_place, kind="video")


def parse(row: Mapping[str, Json]) -> Outcome:
    """A conversation about one video."""
    if "video" not in row:
        return Drop(reason=Reason.BAD_ROW, detail="no video")
    return _CONVERSATION(row)


RECIPE = Recipe(
    name="sharegpt_video",
    version="2026.12.1",
    title="ShareGPTVideo",
    description="Captions of and questions about 900,000 videos that are published as frames, two a second.",
    homepage=f"https://huggingface.co/datasets/{_HUB}",
    license="apache-2.0",
    citation=(
        "@article{zhang2024direct, title={Direct Preference Optimization of Video Large Multimodal Models from "
        "Language Model Reward}, author={Zhang, Ruohong and Gui, Liangke and Sun, Zhiqing and Feng, Yihao and Xu, "
        "Keyang and Zhang, Yuanhan and Fu, Di and Li, Chunyuan and Hauptmann, Alexander and Bisk, Yonatan and Yang, "
        "Yiming}, journal={arXiv:2404.01258}, year={2024}}"
    ),
    redistribution="nothing",
    stages=("sft",),
    sources=(
        Source(
            key="annotations",
            hub=_HUB,
            revision="main",
            format="jsonl",
            license="apache-2.0",
            variants=_VARIANTS,
            files=1,
        ).with_variant("pretrain"),
        Source(
            key="frames",
            role="media",
            title="frames of ShareGPTVideo's videos",
            format="archives",
            hub=_HUB,
            revision="main",
            patterns=("train_600k/chunk_*.tar.gz", "train_300k/chunk_*.tar.gz"),
            layouts=(
                MemberLayout(
                    name="folders",
                    member=r"(?:.*/)?([^/]+/[^/]+\.jpe?g)",
                    path=r"\1",
                    example="v_0a1b/c01_0001.jpeg",
                ),
            ),
            license="apache-2.0; the videos belong to their owners",
            files=46,
            size_bytes=420_000_000_000,
        ),
    ),
    parse=parse,
    writes=frozenset({"media.at", "turns"}),
    key="sharegpt_video_{row:08d}",
    steps=(TakeRows(by_place=True), CheckConversations(), Clip(), Pack(shard_samples=1_000)),
    expect=Expect(kept_share=0.9, stored_bytes=400_000),
    traps=(
        MAIN_BRANCH.format(repo=_HUB),
        "The archives are some 420 GB, and are kept in DIR/sources. Whoever has them gives --source frames=FOLDER; "
        "some of them, or folders of frames, do as well: what is not there is lost as no_file, and "
        "gristmill retry asks for it once it came.",
        "Other files of the same source: --set annotations.variant=caption-300k, sft-255k or qa-900k.",
        "Frames become an mp4 at 2 frames a second, which is what they were taken at (--set clip.frame_rate). "
        "--set clip.store=frames keeps JPEGs.",
        "Rows are worked on in the order of the archives, each of which is unpacked twice: to be indexed, and for "
        "its videos. A run with --only takes the first rows, wherever their frames lie.",
        "Upstream's setup scripts call tar with an unset variable; nothing of that is needed here.",
        "Numbers that are missing among a video's frames are told in its fate. A frame that is no whole JPEG costs "
        "its video.",
    ),
)
