"""OCR-VQA's covers: 207,572 books, each with the address of its cover, to be crawled for the source ``ocr-vqa``.

Mishra et al., 2019 (https://ocr-vqa.github.io). ``dataset.json`` is one object of books by their numbers: the
address of the cover, title, author, genre, questions and answers, and the split (1 train, 2 validation, 3 test). A
sample is the cover under the book's number, with the title as its text: a JPEG as it came, anything else as a JPEG of
the same size. The shards are tars, so the source ``ocr-vqa`` of LLaVA's mixtures reads them as they lie, where each
cover is ``NUMBER.jpg``.
What is odd about it: addresses are plain http; some 900 covers are no JPEG; 355 are known to be gone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gristmill.spec.locator import Url
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Expect, Recipe, Source
from gristmill.spec.sample import Drop, Json, MediaRef, Outcome, Sample, Show, Text, Turn
from gristmill.steps.crawl import Crawl
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows
from gristmill.steps.same_picture import SamePicture

_NUMBER = re.compile(r"[\dA-Z]{10}")


def parse(row: Mapping[str, Json]) -> Outcome:
    """A book: its cover by its address, under its number, and its title."""
    number, url, title = row.get("__key__"), row.get("imageURL"), row.get("title")
    if not isinstance(number, str) or not _NUMBER.fullmatch(number):
        return Drop(reason=Reason.BAD_ROW, detail=f"{number!r} is no book's number"[:200])
    if not isinstance(url, str) or not url.strip():
        return Drop(reason=Reason.BAD_ROW, detail="no imageURL")
    if not isinstance(title, str) or not title.strip():
        title = number
    return Sample(
        key=number,
        media={"image": MediaRef(at=Url(url.strip()))},
        turns=(Turn(role="caption", parts=(Show(media="image"), Text(text=title.strip()))),),
    )


RECIPE = Recipe(
    name="ocr_vqa_images",
    version="2026.12.2",
    title="OCR-VQA covers",
    description="Covers of books with their titles, for the mixtures that ask about what is printed on them.",
    homepage="https://ocr-vqa.github.io/",
    license="unstated",
    citation=(
        "@inproceedings{mishra2019ocrvqa, title={{OCR-VQA}: Visual Question Answering by Reading Text in Images}, "
        "author={Mishra, Anand and Shekhar, Shashank and Singh, Ajeet Kumar and Chakraborty, Anirban}, "
        "booktitle={ICDAR}, year={2019}}"
    ),
    redistribution="urls",
    stages=("sft",),
    sources=(
        Source(
            key="annotations",
            by_hand=(
                "Fetch dataset.json from the folder that OCR-VQA's authors share on Drive: "
                "https://drive.google.com/drive/folders/1_GYPY5UkUy7HIcR0zq3ZCFgeZN7BAfm_"
            ),
            patterns=("dataset.json",),
            format="json",
            license="unstated",
            files=1,
            rows=207_572,
        ),
    ),
    parse=parse,
    writes=frozenset({"media.url"}),
    steps=(
        TakeRows(drop_columns=("questions", "answers")),
        Crawl(resize_mode="no", keep_original=True, encode_quality=95, min_side_px=16),
        SamePicture(),
        Pack(shard_samples=10_000),
    ),
    expect=Expect(kept_share=0.9, usual_share=0.97),
    traps=(
        "All covers lie with one shop's servers: the crawl is as quick as politeness towards one host is.",
        "The same picture under many addresses is the shop's sign for a cover that it has not: it is counted, and "
        "left out with --set same_picture.drop=true.",
        "LLaVA's mixtures need the 80,000 covers of the training split at most: the other splits are the "
        "benchmark's. --set rows.where=split=1 takes that split alone.",
    ),
)
