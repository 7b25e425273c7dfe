"""WIT: pictures of Wikipedia's articles with what the articles say of them; here the English ones.

Srinivasan et al., 2021 (https://arxiv.org/abs/2103.01913), https://github.com/google-research-datasets/wit:
37,046,386 training rows in 108 languages over 11.4 million pictures, ten gzipped TSV files. VILA trained on some
538,000 English ones as conversations of LLaVA's form, ``wit_processed_538k.json``; which texts it used is published
nowhere. Both kinds of rows are told apart one by one. Of a TSV row a rule of our own makes a question about the
picture in its article and section, and an answer: the caption in the article; without one, what the picture's page
says, if that is in the article's language; without that, its alternative text. Of VILA's rows a picture's place is
made from the name of its file, as Wikimedia's servers do it. Pictures are fetched from these servers by their rules:
two connections, 25 Mbit/s, a contact, and thumbnails in published widths alone. What is odd about it: fields in
quotes hold line breaks; the flags are the words true and false; one in five pictures is an SVG, one in fifteen a
TIFF, which both come as thumbnails; and many rows share a picture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from gristmill.recipes._llava import LlavaRecords
from gristmill.recipes._main_branch import MAIN_BRANCH, VILA
from gristmill.spec.locator import Locator, Url
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Expect, Recipe, Source
from gristmill.spec.sample import Drop, Json, MediaRef, Outcome, Sample, Show, Text, Turn
from gristmill.steps.check import CheckConversations
from gristmill.steps.crawl import Crawl
from gristmill.steps.named import FOUND_URL, FOUND_WIDTH, TakeNamed
from gristmill.steps.pack import Pack
from gristmill.steps.wikimedia import WIKIMEDIA, WikimediaThumbnails, original_url

_LANGUAGE = re.compile(r"^[A-Z]\w+(?: \w+)?: ")
"""What stands before a text of a picture's page: ``English: ``."""


def _place(path: str) -> Locator | Drop:
    """The address of a picture by the name of its file: on Commons, where nearly all are."""
    name = path.rpartition("/")[2]
    if not re.search(r"\.[A-Za-z]{3,4}$", name):
        return Drop(reason=Reason.NO_FILE, detail=f"{path!r} ends in no file's name"[:200])
    return Url(original_url(name))


_CONVERSATION = LlavaRecords(place=_place)


def parse(row: Mapping[str, Json]) -> Outcome:
    """A conversation as VILA has it, or a row of the TSV files: a picture in its article, and what is said of it."""
    if "conversations" in row:
        return _found(_CONVERSATION(row), row)
    url, title = row.get("image_url"), _text(row, "page_title")
    if not isinstance(url, str) or not url.strip():
        return Drop(reason=Reason.BAD_ROW, detail="neither conversations nor image_url")
    answer = _text(row, "caption_reference_description")
    if not answer and row.get("attribution_passes_lang_id") == "true":
        answer = _LANGUAGE.sub("", _text(row, "caption_attribution_description"))
    answer = answer or _text(row, "caption_alt_text_description")
    if not answer:
        return Drop(
            reason=Reason.EMPTY_ANSWER, detail="no caption, attribution in its language, or alternative text"
        )
    section = _text(row, "section_title")
    where = f'the section "{section}" of the article "{title}"' if section else f'the article "{title}"'
    question = (
        f"This picture stands in {where}. What does it show?" if title else "What does this picture show?"
    )
    return Sample(
        key="",
        media={
            "000": MediaRef(
                at=Url(url),
                expected_width_px=_size(row.get("original_width")),
                expected_height_px=_size(row.get("original_height")),
            )
        },
        turns=(
            Turn(role="user", parts=(Show(media="000"), Text(text=question))),
            Turn(role="assistant", parts=(Text(text=answer),)),
        ),
    )


def _found(outcome: Outcome, row: Mapping[str, Json]) -> Outcome:
    """A conversation with the address that WIT's lists have of its picture, if they have it."""
    url = row.get(FOUND_URL)
    if isinstance(outcome, Drop) or not isinstance(url, str) or len(outcome.media) != 1:
        return outcome
    found = MediaRef(at=Url(url), expected_width_px=row.get(FOUND_WIDTH))
    return replace(outcome, media=dict.fromkeys(outcome.media, found))


def _text(row: Mapping[str, Json], name: str) -> str:
    found = row.get(name)
    return found.strip() if isinstance(found, str) else ""


def _size(text: Json) -> int | None:
    return int(text) if isinstance(text, str) and re.fullmatch(r"[1-9]\d{0,6}", text) else None


RECIPE = Recipe(
    name="wit",
    version="2026.12.2",
    title="WIT, English",
    description="Pictures of English Wikipedia articles with what the articles say of them.",
    homepage="https://github.com/google-research-datasets/wit",
    license="cc-by-sa-3.0",
    citation=(
        "@inproceedings{srinivasan2021wit, title={{WIT}: Wikipedia-based Image Text Dataset for Multimodal "
        "Multilingual Machine Learning}, author={Srinivasan, Krishna and Raman, Karthik and Chen, Jiecao and "
        "Bendersky, Michael and Najork, Marc}, booktitle={SIGIR}, year={2021}}"
    ),
    redistribution="urls",
    stages=("sft",),
    sources=(
        Source(
            key="annotations",
            hub=VILA,
            revision="main",
            patterns=("wit_processed_538k.json", "wit_v1.train.all-*.tsv.gz", "wit_v1.train.all-*.tsv"),
            format="json",
            license="unstated by VILA; cc-by-sa-3.0 by WIT's authors",
            files=1,
            size_bytes=772_000_000,
            rows=538_000,
        ),
        Source(
            key="wit",
            role="aux",
            by_hand=(
                "Fetch wit_v1.train.all-0000{0..9}-of-00010.tsv.gz, 25 GB, from "
                "https://storage.googleapis.com/gresearch/wit/, if pictures of VILA's rows are to be found in them."
            ),
            patterns=("wit_v1.train.all-*.tsv.gz", "wit_v1.train.all-*.tsv"),
            format="tsv",
            license="cc-by-sa-3.0",
        ),
    ),
    parse=parse,
    writes=frozenset({"media.at", "media.url", "turns"}),
    key="wit_{file:02d}_{row:08d}",
    steps=(
        TakeNamed(
            lists="wit",
            where=("language=en",),
            drop_columns=("context_page_description", "context_section_description"),
        ),
        CheckConversations(),
        WikimediaThumbnails(),
        Crawl(
            hosts=(WIKIMEDIA,),
            resize_mode="no",
            keep_original=True,
            encode_quality=95,
            phash=False,
            min_side_px=32,
            total_s=60.0,
        ),
        Pack(shard_samples=5_000),
    ),
    expect=Expect(
        kept_share=0.8,
        usual_share=0.92,
        stored_bytes=180_000,
        received_bytes=170_000,
        remark="Wikimedia allows 25 Mbit/s: 538,000 thumbnails of some 170 kB take about half a day.",
    ),
    traps=(
        MAIN_BRANCH.format(repo=VILA),
        "Wikimedia's servers refuse whoever gives no contact, so --contact is a must. Two connections and 25 Mbit/s "
        "hold for all workers of a run together, and no setting lifts that.",
        "How VILA's file names its pictures is not known. With --source wit=FOLDER of WIT's TSV files a name is "
        "looked up in these; one that is not there is taken for that of a file on Wikimedia Commons. Of a file that "
        "lies elsewhere, or was renamed since, the answer is 404.",
        "--source annotations=FOLDER with wit_v1.train.all-0000N-of-00010.tsv.gz (25 GB, "
        "https://storage.googleapis.com/gresearch/wit/) reads the original rows, of which the English ones are "
        "taken (rows.where). A million pictures are most of a day of fetching: --tasks 0:1 takes one file of ten.",
        "--set thumbnails.width_px=0 asks for originals, of which some have hundreds of megabytes.",
        "SVG and TIFF come as PNG and JPEG thumbnails, GIF and WebP as their originals. A JPEG is stored as it came, "
        "all else as a JPEG of the same size; --set crawl.resize_mode=keep_ratio brings the shorter side to "
        "crawl.size_px.",
        "The texts that surround a picture (context_*) are not carried: nothing here uses them, and they are most of "
        "the bytes.",
    ),
)
