"""Sherlock: what people infer from clues in pictures, with boxes around the clues.

Hessel et al., 2022 (https://arxiv.org/abs/2202.04800), https://github.com/allenai/sherlock: 363,000 inferences over
103,000 pictures of Visual Genome and VCR. VILA trained on ``sherlock_317k.json``, some 317,000 of them as
conversations of LLaVA's form, worded in a way that is published nowhere else. The original
``sherlock_train_v1_1.json``, also in its zip, is read as well, by a rule of our own: the question names the clue and
its regions, ``[left, top, right, bottom]`` as fractions of the picture's width and height with three digits, and the
answer is the inference. Rows of both kinds are told apart one by one. What is odd about it: pictures are named by
addresses that are not to be asked; those of VCR are had by hand; and the form of VILA's paths is not known for
certain, so a path is taken by its end, which is plain.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from gristmill.recipes._llava import LlavaRecords
from gristmill.recipes._main_branch import MAIN_BRANCH, VILA
from gristmill.sources import vcr, vg
from gristmill.spec.locator import Locator, Member
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Expect, Recipe, Source
from gristmill.spec.sample import Drop, Json, MediaRef, Outcome, Sample, Show, Text, Turn
from gristmill.steps.check import CheckConversations
from gristmill.steps.media import Media
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows

_VG = re.compile(r"(?:.*/)?(VG_100K(?:_2)?/[^/]+)")
_VCR = re.compile(r"(?:.*/)?((?:lsmdc|movieclips)_[^/]+/[^/]+|(?<=vcr1images/)[^/]+/[^/]+)")


def _place(path: str) -> Locator | Drop:
    """Where a picture is, by the end of a path or an address."""
    if found := _VG.fullmatch(path):
        return Member("vg", found[1])
    if found := _VCR.fullmatch(path):
        return Member("vcr", found[1])
    return Drop(reason=Reason.NO_FILE, detail=f"{path!r} is neither of Visual Genome nor of VCR"[:200])


_CONVERSATION = LlavaRecords(place=_place)


def parse(row: Mapping[str, Json]) -> Outcome:
    """A conversation as VILA has it, or an inference as published: a picture, a clue in its regions, what follows."""
    if "conversations" in row:
        return _CONVERSATION(row)
    given, targets = row.get("inputs"), row.get("targets")
    image = given.get("image") if isinstance(given, dict) else None
    url = image.get("url") if isinstance(image, dict) else None
    if not isinstance(given, dict) or not isinstance(image, dict) or not isinstance(url, str):
        return Drop(reason=Reason.BAD_ROW, detail="neither conversations nor inputs.image.url")
    at = _place(url)
    if isinstance(at, Drop):
        return at
    size, boxes = (image.get("width"), image.get("height")), given.get("bboxes")
    regions = _regions(boxes, *size)
    if regions is None:
        return Drop(reason=Reason.BAD_ROW, detail=f"no regions of a picture of {size}: {boxes!r}"[:200])
    clue = given.get("clue")
    inference = targets.get("inference") if isinstance(targets, dict) else None
    if not isinstance(clue, str) or not clue.strip():
        return Drop(reason=Reason.EMPTY_QUESTION, detail="no clue")
    if not isinstance(inference, str) or not inference.strip():
        return Drop(reason=Reason.EMPTY_ANSWER, detail="no inference")
    where = " and ".join(regions)
    question = f"In {where} of this picture there is a clue: {clue.strip()}. What does it suggest?"
    return Sample(
        key="",
        media={"000": MediaRef(at=at, expected_width_px=size[0], expected_height_px=size[1])},
        turns=(
            Turn(role="user", parts=(Show(media="000"), Text(text=question))),
            Turn(role="assistant", parts=(Text(text=inference.strip()),)),
        ),
    )


def _regions(boxes: Json, width: Json, height: Json) -> list[str] | None:
    """Boxes as fractions of the picture; None where there is none, or one that is no box."""
    sized = all(isinstance(side, int) and side > 0 for side in (width, height))
    if not sized or not isinstance(boxes, list) or not boxes:
        return None
    regions = []
    for box in boxes:
        sides = _sides(box) if isinstance(box, dict) else None
        if sides is None:
            return None
        left, top, wide, high = sides
        if wide <= 0 or high <= 0:
            return None
        ends = (left / width, top / height, (left + wide) / width, (top + high) / height)
        regions.append(f"[{', '.join(f'{min(1.0, max(0.0, end)):.3f}' for end in ends)}]")
    return regions


def _sides(box: Mapping[str, Json]) -> list[float] | None:
    found = [box.get(name) for name in ("left", "top", "width", "height")]
    sides = [side for side in found if isinstance(side, (int, float)) and math.isfinite(side)]
    return sides if len(sides) == len(found) else None


RECIPE = Recipe(
    name="sherlock",
    version="2026.12.2",
    title="Sherlock",
    description="Pictures of Visual Genome and VCR, clues in them with their regions, and what people infer.",
    homepage="https://github.com/allenai/sherlock",
    license="cc-by-4.0",
    citation=(
        "@inproceedings{hessel2022abduction, title={The Abduction of {Sherlock Holmes}: A Dataset for Visual "
        "Abductive Reasoning}, author={Hessel, Jack and Hwang, Jena D and Park, Jae Sung and Zellers, Rowan and "
        "Bhagavatula, Chandra and Rohrbach, Anna and Saenko, Kate and Choi, Yejin}, booktitle={ECCV}, year={2022}}"
    ),
    redistribution="nothing",
    stages=("sft",),
    sources=(
        Source(
            key="annotations",
            hub=VILA,
            revision="main",
            patterns=("sherlock_317k.json", "sherlock_train_v1_1.json", "sherlock_train_v1_1.json.zip"),
            format="json",
            license="unstated by VILA; cc-by-4.0 by Sherlock's authors",
            files=1,
            size_bytes=254_000_000,
            rows=317_000,
        ),
        vg.SOURCE,
        vcr.SOURCE,
    ),
    parse=parse,
    writes=frozenset({"media.at", "turns"}),
    key="sherlock_{row:08d}",
    steps=(TakeRows(), CheckConversations(), Media(), Pack(shard_samples=5_000)),
    expect=Expect(kept_share=0.95, stored_bytes=110_000),
    traps=(
        MAIN_BRANCH.format(repo=VILA),
        "The original file is read with --source annotations=sherlock_train_v1_1.json (or its .zip, from "
        "https://storage.googleapis.com/ai2-mosaic-public/projects/sherlock/data/sherlock_train_v1_1.json.zip); its "
        "questions are then worded by a rule of this recipe, and boxes stand in them as fractions of the picture.",
        "Addresses in the rows are never asked: its authors forbid it. Pictures come from Visual Genome's zips and "
        "from VCR's, which is had by hand after agreeing to its terms.",
        "Several rows have the same picture with other boxes. A trainer that mirrors, crops or pads pictures makes "
        "the boxes in the texts wrong.",
        "The validation file holds lists of rows instead of rows, and is no training data.",
    ),
)
