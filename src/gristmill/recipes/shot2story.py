"""Shot2Story: shots of YouTube clips, each with a caption that a person wrote.

Han et al., 2023 (https://arxiv.org/abs/2312.10300), https://github.com/bytedance/Shot2Story: 134,000 clips of
HD-VILA-100M in 548,000 shots, 188,000 of them with captions by people. VILA trained on ``shot2story_shotonly.json``,
some 48,000 shots in LLaVA's form. Upstream's own files of shots, ``43k_human_shot_train.json`` and
``20k_human_shot_{val,test}.json``, are read as well: flat rows ``{video, caption, ...}``, for which this recipe words
the question. Rows of both kinds are told apart one by one.

A shot is named ``CLIP_FIRST_LAST.mp4``, where CLIP is ``YOUTUBEID.NUMBER``, an id may hold ``_`` itself, and both
frames belong to the shot, counted within the clip. Where a name has no frames, ``134k_split_info.pkl`` or
``20k_split_info.pkl`` may say them. What is odd about it: the published script cuts ``(last - first) / fps`` seconds
and so loses each shot's last frame; clips alone are published, shots are to be cut; and of the 90,000 clips that a
model described the shots have placeholders in place of captions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from gristmill.recipes._llava import LlavaRecords
from gristmill.recipes._main_branch import MAIN_BRANCH, VILA
from gristmill.recipes._videos import VIDEOS, stem, videos
from gristmill.spec.cut import Cut
from gristmill.spec.locator import Video
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Expect, Recipe, Source, Variant
from gristmill.spec.sample import Drop, Json, MediaRef, Outcome
from gristmill.steps.check import CheckConversations
from gristmill.steps.clip import Clip
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows
from gristmill.steps.shots import ShotFrames

_UPSTREAM = "mhan/shot2story"
_SHOT = re.compile(r"(?P<clip>.+)_(?P<first>\d{1,9})_(?P<last>\d{1,9})")
_QUESTION = "Describe the video."
_VARIANTS = {
    "vila": Variant(hub=VILA, patterns=("shot2story_shotonly.json",), size_bytes=29_300_000, rows=48_000),
    "train": Variant(hub=_UPSTREAM, patterns=("43k_human_shot_train.json",), size_bytes=199_000_000),
    "val": Variant(hub=_UPSTREAM, patterns=("20k_human_shot_val.json",), size_bytes=9_890_000),
    "test": Variant(hub=_UPSTREAM, patterns=("20k_human_shot_test.json",), size_bytes=19_600_000),
}


def _place(path: str) -> MediaRef | Drop:
    """The clip that a path names, and the frames of it that are meant."""
    name = stem(path)
    found = _SHOT.fullmatch(name)  # from the right: whatever is left is the clip
    if found is None:
        return MediaRef(kind="video", at=Video(VIDEOS, name), name=f"{name}.mp4")
    first, last = int(found["first"]), int(found["last"])
    if last < first:
        return Drop(reason=Reason.BAD_ROW, detail=f"{path!r} ends before it begins"[:200])
    cut = Cut(first_frame=first, last_frame=last)
    return MediaRef(kind="video", at=Video(VIDEOS, found["clip"]), cut=cut, name=f"{name}.mp4")


_CONVERSATION = LlavaRecords(place=_place, kind="video")


def parse(row: Mapping[str, Json]) -> Outcome:
    """A conversation as VILA has it, or a shot and its caption as published."""
    if "conversations" in row:
        return _CONVERSATION(row)
    if isinstance(row.get("video_names"), list) or isinstance(row.get("captions"), list):
        said = "a clip of several shots: give a file of shots, 43k_human_shot_train.json or 20k_human_shot_*.json"
        return Drop(reason=Reason.LEFT_OUT, detail=said)
    video, caption = row.get("video"), row.get("caption")
    if not isinstance(video, str) or not isinstance(caption, str):
        return Drop(reason=Reason.BAD_ROW, detail="neither conversations nor video and caption")
    if not caption.strip():
        return Drop(reason=Reason.EMPTY_ANSWER, detail="no caption")
    turns = [{"from": "human", "value": f"<video>\n{_QUESTION}"}, {"from": "gpt", "value": caption.strip()}]
    return _CONVERSATION({"video": video, "conversations": turns})


RECIPE = Recipe(
    name="shot2story",
    version="2026.12.1",
    title="Shot2Story",
    description="Shots of YouTube clips, each with a caption that a person wrote.",
    homepage="https://github.com/bytedance/Shot2Story",
    license="cc-by-nc-sa-4.0",
    citation=(
        "@article{han2023shot2story, title={Shot2Story20K: A New Benchmark for Comprehensive Understanding of "
        "Multi-shot Videos}, author={Han, Mingfei and Yang, Linjie and Chang, Xiaojun and Wang, Heng}, "
        "journal={arXiv:2312.10300}, year={2023}}"
    ),
    redistribution="nothing",
    stages=("sft",),
    sources=(
        Source(
            key="annotations",
            hub=VILA,
            revision="main",
            format="json",
            license="unstated by VILA; cc-by-nc-sa-4.0 by Shot2Story's authors",
            files=1,
            variants=_VARIANTS,
        ).with_variant("vila"),
        Source(
            key="splits",
            role="aux",
            beside="annotations",
            patterns=("134k_split_info.pkl", "20k_split_info.pkl"),
            by_hand="Lists of shots, for rows that name a clip without frames.",
            license="cc-by-nc-sa-4.0",
        ),
        replace(
            videos(
                folder="shot2story-videos",
                title="Shot2Story's clips",
                by_hand=(
                    "Fetch release_134k_videos.tar.gz.* (one archive in parts, all of them), some 160 GB. They are "
                    "read where they lie."
                ),
                address="https://huggingface.co/mhan/shot2story-videos",
                terms="https://github.com/microsoft/XPretrain/tree/main/hd-vila-100m: research only",
                license="HD-VILA-100M's terms",
                size_bytes=160_000_000_000,
                names=r"[^/]+\.\d+(?:_\d+_\d+)?",
            ),
            hub="models/mhan/shot2story-videos",
            revision="main",
            patterns=("release_134k_videos.tar.gz.*",),
        ),
    ),
    parse=parse,
    writes=frozenset({"media.at", "turns"}),
    key="shot2story_{row:08d}",
    steps=(TakeRows(by_place=True), CheckConversations(), ShotFrames(), Clip(), Pack(shard_samples=500)),
    expect=Expect(kept_share=0.8, stored_bytes=900_000),
    traps=(
        MAIN_BRANCH.format(repo=f"{VILA}, and of {_UPSTREAM}"),
        "Upstream's files of shots: --set annotations.variant=train, val or test. Their question is worded by this "
        "recipe.",
        "Files with several shots a row (134k_full_train.json, 43k_human_train.json, 90k_gptv_train.json, "
        "20k_val.json) are left out row by row: of the 90,000 clips that a model described, shots have placeholders "
        "in place of captions.",
        "The frames in a name are both meant. The published script loses each shot's last frame: "
        "--set clip.published_end=true gives its clips.",
        "Frames are counted in the clips as published: a copy at another frame rate shifts every cut.",
        "The clips lie in a repository of models, by its address. If that is not found: --source "
        "videos=hf://datasets/mhan/shot2story-videos@main.",
        "The clips are one tar.gz in parts. It is unpacked twice: to be indexed, and for all shots in its order.",
        "Captions of sounds and speech, where a row has them, stay in the sample's upstream row.",
    ),
)
