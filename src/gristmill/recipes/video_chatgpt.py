"""Video-ChatGPT's instructions: 100,000 questions and answers about ActivityNet's videos.

Maaz et al., 2023 (https://arxiv.org/abs/2306.05424), https://github.com/mbzuai-oryx/Video-ChatGPT: one JSON array of
``{q, a, video_id}`` about 13,303 videos, several questions each. A record becomes a conversation as the published
converter makes it: the video stands behind the question in the array's rows 0, 2, 4 and so on, before it in all
others. VILA reads the file as it is. Records that are conversations already are taken as well. What is odd about it:
``video_id`` is ``v_`` and an id of YouTube, and other sets name the same videos without ``v_``; licences contradict
each other; the videos are had by a form that nobody answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gristmill.recipes._llava import LlavaRecords
from gristmill.recipes._main_branch import MAIN_BRANCH
from gristmill.recipes._videos import stem, videos, whole
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Expect, Recipe, Source
from gristmill.spec.sample import Drop, Json, MediaRef, Outcome, Sample, Show, Text, Turn
from gristmill.steps.check import CheckConversations
from gristmill.steps.clip import Clip
from gristmill.steps.media_place import MediaPlace
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows

_HUB = "MBZUAI/VideoInstruct-100K"
_VIDEO = re.compile(r"(?:v_)?([\w-]{11})", re.ASCII)


def _place(path: str) -> MediaRef | Drop:
    """A video by its name."""
    name = stem(path)
    found = _VIDEO.fullmatch(name)
    if found is None:
        return Drop(reason=Reason.BAD_PATH, detail=f"{path!r} is not v_ID"[:200])
    return whole(found[1], f"v_{found[1]}")


_CONVERSATION = LlavaRecords(place=_place, kind="video")


def parse(row: Mapping[str, Json]) -> Outcome:
    """A question about a video, and its answer; where the video stands, the step ``place`` says."""
    if "conversations" in row:
        return _CONVERSATION(row)
    question, answer, video = (row.get(name) for name in ("q", "a", "video_id"))
    if not isinstance(question, str) or not isinstance(answer, str) or not isinstance(video, str):
        return Drop(reason=Reason.BAD_ROW, detail="q, a and video_id: not all are texts")
    if not question.strip():
        return Drop(reason=Reason.EMPTY_QUESTION)
    if not answer.strip():
        return Drop(reason=Reason.EMPTY_ANSWER)
    ref = _place(video)
    if isinstance(ref, Drop):
        return ref
    return Sample(
        key="",
        media={"000": ref},
        turns=(
            Turn(role="user", parts=(Text(text=question), Show(media="000"))),
            Turn(role="assistant", parts=(Text(text=answer),)),
        ),
    )


RECIPE = Recipe(
    name="video_chatgpt",
    version="2026.12.1",
    title="Video-ChatGPT",
    description="Questions and answers about ActivityNet's videos, several for each.",
    homepage=f"https://huggingface.co/datasets/{_HUB}",
    license="contradictory: cc-by-sa-4.0, cc-by-nc-sa-4.0, cc-by-4.0",
    citation=(
        "@inproceedings{maaz2024videochatgpt, title={{Video-ChatGPT}: Towards Detailed Video Understanding via Large "
        "Vision and Language Models}, author={Maaz, Muhammad and Rasheed, Hanoona and Khan, Salman and Khan, Fahad "
        "Shahbaz}, booktitle={ACL}, year={2024}}"
    ),
    redistribution="nothing",
    stages=("sft",),
    sources=(
        Source(
            key="annotations",
            hub=_HUB,
            revision="main",
            patterns=("VideoInstruct100K.json", "*VideoInstruct100K.json"),
            format="json",
            license="cc-by-sa-4.0 on the hub; cc-by-nc-sa-4.0 by the README, cc-by-4.0 by the licence file",
            files=1,
            size_bytes=42_400_000,
            rows=100_000,
        ),
        videos(
            folder="activitynet-videos",
            title="ActivityNet's videos",
            by_hand="Ask for the videos with the form https://forms.gle/1TC3aBtVCX7ySbo46, or have them from others.",
            address="http://activity-net.org/download.html",
            terms="those of YouTube and of each video's owner",
            access="form",
            size_bytes=220_000_000_000,
        ),
    ),
    parse=parse,
    writes=frozenset({"media.at", "turns"}),
    key="video_chatgpt_{row:08d}",
    steps=(TakeRows(by_place=True), MediaPlace(), CheckConversations(), Clip(), Pack(shard_samples=1_000)),
    expect=Expect(kept_share=0.7, usual_share=0.9, stored_bytes=15_000_000),
    traps=(
        MAIN_BRANCH.format(repo=_HUB),
        "Licences contradict each other: cc-by-sa-4.0 on the hub's card, CC BY-NC-SA 4.0 in the README, CC BY 4.0 in "
        "the repository's licence file. Take the strictest.",
        "ActivityNet's form has not been answered, and its link not worked, since August 2025. The archive "
        "videos.zip of lmms-lab/VideoChatGPT on the hub holds the benchmark's videos and none of these.",
        "Where the video stands follows the row's number in the file that is read: with a filtered copy it is "
        "otherwise than with the whole file. --set place.media=first puts it first everywhere.",
        "Whole videos, some of minutes, with several questions each: every sample holds its video anew. "
        "--set clip.whole=encode --set clip.short_side_px=240 makes them small.",
        "Names with and without v_ are the same video, and mkv and webm are found where mp4 is not; VILA's loader "
        "tries mp4 alone.",
        "Its videos are none of ActivityNet-QA's test.",
    ),
)
