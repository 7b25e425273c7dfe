"""COYO-700M: 747 million image-text pairs from the web, as URLs and alt texts with scores.

Kakao Brain, 2022; annotations CC-BY-4.0, the pictures remain their owners'. 128 Parquet files of about 1.05 GB.
VILA takes of each file the pairs whose two CLIP similarities add up to more than 0.6, of these the best fifth of
the file, shrinks the pictures to a shorter side of 336 pixels and packs 12,440 of them together
(https://github.com/NVlabs/VILA, data_prepare/coyo). What is odd about it: ``id`` is a 64-bit number that JSON
readers in JavaScript round; the same URL occurs with several texts (656 million URLs for 747 million rows);
many links are dead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gristmill.spec.locator import Url
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Column, Expect, Recipe, Source
from gristmill.spec.sample import Drop, Json, MediaRef, Outcome, Sample, Show, Text, Turn
from gristmill.steps.crawl import Crawl
from gristmill.steps.pack import Pack
from gristmill.steps.same_picture import SamePicture
from gristmill.steps.select import SCORE, SelectTop

SCORES = ("clip_similarity_vitb32", "clip_similarity_vitl14")


def parse(row: Mapping[str, Json]) -> Outcome:
    """One row of COYO-700M: a picture by its URL, and its alt text."""
    if not isinstance(row.get("id"), int) or not isinstance(row.get("url"), str):
        return Drop(reason=Reason.BAD_ROW, detail="id or url is missing")
    text = row.get("text")
    if not isinstance(text, str) or not text.strip():
        return Drop(reason=Reason.EMPTY_TEXT)
    scores: list[Any] = [row.get(name) for name in SCORES]
    if not all(isinstance(score, float) and math.isfinite(score) for score in scores):
        return Drop(reason=Reason.NO_SCORE)
    picture = MediaRef(
        at=Url(row["url"]),
        expected_width_px=row.get("width"),
        expected_height_px=row.get("height"),
        expected_phash=row.get("image_phash"),
    )
    return Sample(
        key=f"{row['id']:013d}",
        media={"image": picture},
        turns=(Turn(role="caption", parts=(Show(media="image"), Text(text=text))),),
        columns={"clip_sim": row.get(SCORE, sum(scores))},
    )


RECIPE = Recipe(
    name="coyo_700m",
    version="2026.11.1",
    title="COYO-700M",
    description=(
        "Image and alt-text pairs from the web; of each annotation file the fifth with the highest CLIP scores."
    ),
    homepage="https://github.com/kakaobrain/coyo-dataset",
    license="cc-by-4.0",
    citation=(
        "@misc{kakaobrain2022coyo-700m, title={COYO-700M: Image-Text Pair Dataset}, "
        "author={Byeon, Minwoo and Park, Beomhee and Kim, Haecheon and Lee, Sungjun and Baek, Woonhyuk and "
        "Kim, Saehoon}, year={2022}, howpublished={\\url{https://github.com/kakaobrain/coyo-dataset}}}"
    ),
    redistribution="urls",
    stages=("pretrain",),
    sources=(
        Source(
            key="annotations",
            hub="kakaobrain/coyo-700m",
            revision="54ee2d8",
            patterns=("data/*.parquet",),
            format="parquet",
            license="cc-by-4.0",
            access="open",
            columns=(
                Column(name="id", kind="integer"),
                Column(name="url", kind="string"),
                Column(name="text", kind="string"),
                *(Column(name=name, kind="float") for name in SCORES),
                Column(name="width", kind="integer", needed=False),
                Column(name="height", kind="integer", needed=False),
                Column(name="image_phash", kind="string", needed=False),
            ),
            files=128,
            size_bytes=134_000_000_000,
            rows=746_972_269,
        ),
    ),
    parse=parse,
    writes=frozenset({"media.url", "columns.clip_sim"}),
    steps=(
        SelectTop(score=SCORES, floor=0.6, share=0.2),
        Crawl(),
        SamePicture(),
        Pack(shard_samples=12_440),
    ),
    expect=Expect(
        kept_share=0.5,
        selected_share=0.2,
        received_bytes=150_000,
        stored_bytes=25_000,
        remark="85 % of the pictures could be fetched in August 2022; lists of that age yield about 60 % today.",
    ),
    traps=(
        "The published script stops with an assertion where 20 % or less of a file's rows pass the floor; here "
        "those that pass are kept, and a note says so.",
        "id is a 64-bit number: read it as an integer, or take the sample's key.",
        "The same URL occurs with different texts; within one task it is fetched once.",
        "The automatically converted branch of the repository holds the same rows in other files: do not mix.",
    ),
)
