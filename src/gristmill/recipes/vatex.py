"""VATEX: pieces of ten seconds of videos, each described by ten people in English and by ten in Chinese.

Wang et al., 2019 (https://arxiv.org/abs/1904.03493), https://eric-xw.github.io/vatex-website: 41,250 pieces of
Kinetics-600's videos of YouTube. A piece's id is ``ID_START_END``, in whole seconds of six digits. VILA trained on
``vatex_filtered_v3.json``, conversations of LLaVA's form whose ``video`` is ``ID_START_END.mp4``: one record a
caption, ten in a row about one piece. The official arrays are read as well, with ``--set
annotations.variant=official``: a sample is then a piece, a question that this recipe words, and one of its captions.
However many captions a piece has,
it is cut once. What is odd about it: ids of YouTube hold ``_`` and begin with ``-``; the videos were never published.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gristmill.recipes._llava import LlavaRecords
from gristmill.recipes._main_branch import MAIN_BRANCH, VILA
from gristmill.recipes._videos import asked, clip, stem, videos
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Expect, Recipe, Source, Variant
from gristmill.spec.sample import Drop, Json, MediaRef, Outcome, Sample
from gristmill.steps.check import CheckConversations
from gristmill.steps.clip import Clip
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows
from gristmill.steps.spread import ELEMENT, LIST

_CLIP = re.compile(r"([\w-]{11})_(\d{6})_(\d{6})", re.ASCII)
_LANGUAGES = {"enCap": ("en", "Describe the video."), "chCap": ("zh", "请描述这段视频。")}
_LICENSE = "cc-by-4.0 by a copy on the hub; unstated by its authors"


def _place(path: str) -> MediaRef | Drop:
    """A piece by its name."""
    name = stem(path)
    found = _CLIP.fullmatch(name)
    if found is None or int(found[2]) >= int(found[3]):
        return Drop(reason=Reason.BAD_PATH, detail=f"{path!r} is not ID_START_END.mp4"[:200])
    return clip(found[1], float(found[2]), float(found[3]), name)


_CONVERSATION = LlavaRecords(place=_place, kind="video")


def parse(row: Mapping[str, Json]) -> Outcome:
    """A conversation about a piece as VILA has it, or one caption of a piece."""
    if "conversations" in row:
        return _CONVERSATION(row)
    column = str(row.get(LIST))
    video, element, listed = row.get("videoID"), row.get(ELEMENT), row.get(column)
    language, question = _LANGUAGES.get(column, ("", ""))
    if not isinstance(video, str):
        return Drop(reason=Reason.BAD_ROW, detail="neither conversations nor videoID")
    if not language or not isinstance(listed, list) or not isinstance(element, int) or element >= len(listed):
        return Drop(
            reason=Reason.EMPTY_TEXT,
            detail="no captions in this language, or the arrays without --set annotations.variant=official",
        )
    caption, ref = listed[element], _place(video)
    if isinstance(ref, Drop):
        return ref
    if not isinstance(caption, str) or not caption.strip():
        return Drop(reason=Reason.EMPTY_TEXT, detail=f"caption {element} is empty")
    return Sample(
        key="",
        media={"000": ref},
        turns=asked("000", question, caption.strip()),
        columns={"language": language, "caption_number": element},
    )


RECIPE = Recipe(
    name="vatex",
    version="2026.12.1",
    title="VATEX",
    description="Pieces of ten seconds of videos with ten captions each.",
    homepage="https://eric-xw.github.io/vatex-website/",
    license=_LICENSE,
    citation=(
        "@inproceedings{wang2019vatex, title={{VATEX}: A Large-Scale, High-Quality Multilingual Dataset for "
        "Video-and-Language Research}, author={Wang, Xin and Wu, Jiawei and Chen, Junkun and Li, Lei and Wang, "
        "Yuan-Fang and Wang, William Yang}, booktitle={ICCV}, year={2019}}"
    ),
    redistribution="nothing",
    stages=("sft",),
    sources=(
        Source(
            key="annotations",
            hub=VILA,
            revision="main",
            format="json",
            license=f"unstated by VILA; of VATEX {_LICENSE}",
            files=1,
            variants={
                "vila": Variant(patterns=("vatex_filtered_v3.json",), size_bytes=115_000_000),
                "official": Variant(
                    patterns=(
                        "vatex_training_v*.json",
                        "vatex_validation_v*.json",
                        "vatex_public_test_*.json",
                    ),
                    rows=259_910,
                    settings={"rows.each": "enCap", "rows.alike": "videoID"},
                ),
            },
        ).with_variant("vila"),
        videos(
            folder="kinetics-videos",
            title="Kinetics-600's videos, or VATEX's pieces of them",
            by_hand=(
                "VATEX's authors publish no videos. Whoever has Kinetics-600's, or the pieces, names their folder or "
                "archives."
            ),
            address="https://eric-xw.github.io/vatex-website/download.html",
            terms="those of YouTube and of each video's owner",
        ),
    ),
    parse=parse,
    writes=frozenset({"media.at", "turns"}),
    key="vatex_{row:08d}",
    steps=(TakeRows(by_place=True, alike="video"), CheckConversations(), Clip(), Pack(shard_samples=1_000)),
    expect=Expect(kept_share=0.6, usual_share=0.8, stored_bytes=2_500_000),
    traps=(
        MAIN_BRANCH.format(repo=VILA),
        "Ten captions a piece, one sample each, in which the same clip lies ten times: --set rows.most_alike=1 takes "
        "the first caption of each piece, 3 the first three.",
        "The official arrays are read with --set annotations.variant=official --source "
        "annotations=vatex_training_v1.0.json, from "
        "https://eric-xw.github.io/vatex-website/data/vatex_training_v1.0.json. Captions are the English ones; --set "
        "rows.each=chCap reads the Chinese ones, --set 'rows.each=enCap|chCap' both, in turn. The public test file "
        "has no Chinese ones.",
        "A piece is looked for as ID_START_END.mp4, then cut out of ID.mp4 (or mkv, webm): ten seconds from START "
        "on. The number of seconds is in the name; where a clip came out shorter, its fps and frames say so.",
        "Many of the videos are gone from YouTube: of 1,500 one user still had 1,335 in 2023.",
        "2.5 % of the ids begin with -: before names of files put ./ or -- on a command line.",
        "Whether VILA's records hold fps and frame_count is not known. Here both are measured on the clip that is "
        "delivered.",
    ),
)
