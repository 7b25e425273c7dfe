"""YouCook2: pieces of cooking videos, each with a sentence that says what is done.

Zhou et al., 2018 (https://arxiv.org/abs/1703.09788), http://youcook2.eecs.umich.edu: 1,790 videos of YouTube with
13,829 segments. VILA trained on ``youcook_filtered_v3.json``, conversations of LLaVA's form whose ``video`` is
``ID_SEGMENT.mp4``: a clip that its authors cut; which piece of the video that is stands in the official list alone,
the source ``official`` here, which is a small file and fetched. The official list is read as rows as well, with
``--set annotations.variant=official``: a sample is then a clip, a question that this recipe words, and its sentence.
What is odd about it: VILA's file
has clips of the validation subset, and its ``fps`` and ``frame_count`` are of its authors' own clips.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from gristmill.recipes._llava import LlavaRecords
from gristmill.recipes._main_branch import MAIN_BRANCH, VILA
from gristmill.recipes._videos import asked, clip, stem, videos, whole
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Expect, Recipe, Source, Variant
from gristmill.spec.sample import Drop, Json, MediaRef, Outcome, Sample
from gristmill.steps.check import CheckConversations
from gristmill.steps.clip import Clip
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows
from gristmill.steps.segments import SUBSET, VideoSegments
from gristmill.steps.spread import ELEMENT

_LIST = "youcookii_annotations_trainval.json"
_URL = (
    "https://raw.githubusercontent.com/simon-ging/coot-videotext/5b15397e03d61b748bfc9ff16903ed63a6854267/"
    f"annotations/youcook2/{_LIST}"
)
_SHA256 = "6be6f3cdcf4448b4bdef27a869fadddfddeb9b20249d55558afabe354b246e80"
_LICENSE = "unstated; for research that is not commercial, by its authors' words"
_QUESTION = "What is done in the video?"
_CLIP = re.compile(r"[\w-]{11}_\d{1,9}", re.ASCII)
_VIDEO = re.compile(r"[\w-]{11}", re.ASCII)


def _place(path: str) -> MediaRef | Drop:
    """A clip by the name of its file: its video; which piece of that it is, the step ``segments`` says."""
    name = stem(path)
    if not _CLIP.fullmatch(name):
        return Drop(reason=Reason.BAD_PATH, detail=f"{path!r} is not ID_SEGMENT.mp4"[:200])
    return replace(whole(name.rpartition("_")[0]), name=f"{name}.mp4")


_CONVERSATION = LlavaRecords(place=_place, kind="video")


def parse(row: Mapping[str, Json]) -> Outcome:
    """A conversation about a clip as VILA has it, or one segment of a video's list, and its sentence."""
    if "conversations" in row:
        return _CONVERSATION(row)
    video, listed, element = row.get("__key__"), row.get("annotations"), row.get(ELEMENT)
    if not isinstance(video, str) or not isinstance(listed, list) or not isinstance(element, int):
        hint = ": without --set annotations.variant=official" if "database" in row else ""
        return Drop(
            reason=Reason.BAD_ROW, detail=f"neither conversations nor one of a video's annotations{hint}"
        )
    one = listed[element] if element < len(listed) else None
    if not _VIDEO.fullmatch(video) or not isinstance(one, dict):
        return Drop(reason=Reason.BAD_ROW, detail=f"video {video!r}, segment {one!r}"[:200])
    number, ends, sentence = one.get("id"), one.get("segment"), one.get("sentence")
    if not isinstance(sentence, str) or not sentence.strip():
        return Drop(reason=Reason.EMPTY_TEXT, detail="the segment has no sentence")
    ref = _clip(video, number, ends)
    if ref is None:
        return Drop(reason=Reason.BAD_ROW, detail=f"segment {number!r} of {ends!r}"[:200])
    return Sample(
        key="",
        media={"000": ref},
        turns=asked("000", _QUESTION, sentence.strip()),
        columns={SUBSET: row.get("subset"), "segment": number},
    )


def _clip(video: str, number: Json, ends: Json) -> MediaRef | None:
    """A segment of a video; None where it is no sound one."""
    try:
        start_s, end_s = map(float, ends)
        return clip(video, start_s, end_s, f"{video}_{int(number)}")
    except (TypeError, ValueError):
        return None


RECIPE = Recipe(
    name="youcook2",
    version="2026.12.1",
    title="YouCook2",
    description="Pieces of cooking videos, each with a sentence that says what is done.",
    homepage="http://youcook2.eecs.umich.edu/",
    license=_LICENSE,
    citation=(
        "@inproceedings{zhou2018youcook2, title={Towards Automatic Learning of Procedures from Web Instructional "
        "Videos}, author={Zhou, Luowei and Xu, Chenliang and Corso, Jason J}, booktitle={AAAI}, year={2018}}"
    ),
    redistribution="nothing",
    stages=("sft",),
    sources=(
        Source(
            key="annotations",
            hub=VILA,
            revision="main",
            format="json",
            license=f"unstated by VILA; of YouCook2 {_LICENSE}",
            files=1,
            variants={
                "vila": Variant(patterns=("youcook_filtered_v3.json",), size_bytes=5_360_000),
                "official": Variant(
                    patterns=(_LIST,),
                    size_bytes=1_575_867,
                    rows=13_829,
                    settings={"rows.array": "database", "rows.each": "annotations"},
                ),
            },
        ).with_variant("vila"),
        Source(
            key="official",
            role="aux",
            url=_URL,
            sha256=_SHA256,
            patterns=(_LIST,),
            format="json",
            license=_LICENSE,
            files=1,
            size_bytes=1_575_867,
        ),
        videos(
            folder="youcook2-videos",
            title="YouCook2's videos, or clips of them",
            by_hand="Fetch the videos from YouCook2's page, where they have been since June 2024.",
            address="http://youcook2.eecs.umich.edu/download",
            terms="for research that is not commercial",
            license=_LICENSE,
        ),
    ),
    parse=parse,
    writes=frozenset({"media.at", "turns"}),
    key="youcook2_{row:08d}",
    steps=(TakeRows(by_place=True), VideoSegments(), CheckConversations(), Clip(), Pack(shard_samples=1_000)),
    expect=Expect(
        kept_share=0.7,
        usual_share=0.8,
        stored_bytes=4_000_000,
        remark=(
            "Clips of the validation subset are among the rows; --set segments.subsets=training leaves them out."
        ),
    ),
    traps=(
        MAIN_BRANCH.format(repo=VILA),
        "VILA's file has clips of the validation subset: whoever trains on it and reports YouCook2's validation "
        "reports what it was trained on. --set segments.subsets=training leaves them out; each sample's column "
        "subset says which it is of.",
        "The official list is read as rows with --set annotations.variant=official --source annotations="
        + _LIST
        + ": 13,829 segments, 3,492 of them of the validation subset, 43 overlap. Its own page is often down; the "
        f"same file is at {_URL}.",
        "A clip is looked for as ID_SEGMENT.mp4, as VILA's authors named theirs, then cut out of ID.mp4 (or mkv, "
        "webm) by the official list: from the first frame at or after its start to the last before its end.",
        "VILA's records have fps and frame_count of its authors' clips. Here both are measured on the clip that is "
        "delivered; theirs stay in the column upstream.",
        "55 ids begin with - or _: before names of files put ./ or -- on a command line.",
        "Two of the list's addresses do not lead to their videos; they are not used.",
    ),
)
