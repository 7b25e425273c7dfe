"""MMC4-core: web pages as lists of sentences, with several images each, every image matched to a sentence.

Allen Institute for AI, 2023; alignments ODC-BY, the pages remain under Common Crawl's terms and the pictures their
owners'. 23,085 files of JSON Lines in a zip, one document a line; a file's number S runs from 0 to 23098, without
zeros in front, and fourteen numbers do not exist. VILA trained on the core split with faces, which was deleted
upstream in February 2025; what the hub holds is the fewer-faces split, some three quarters of it. It kept a document
only if all its images could be had, shrank them to a shorter side of 336 pixels, and put each directly before the
sentence it is matched to (https://github.com/NVlabs/VILA, data_prepare/mmc4 and llava/data/dataset.py). What is odd
about it: the published scripts sort the files' names as text; the extension in a URL is often not one; and about 3 %
of the addresses occur in several documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gristmill.spec.locator import Url
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Expect, Recipe, Source
from gristmill.spec.sample import Drop, Json, MediaRef, Outcome, Sample, Show, Text, Turn
from gristmill.steps.crawl import Crawl
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows
from gristmill.steps.same_picture import SamePicture

NEVER_EXISTED = (
    *(3218, 3267, 5064, 5146, 7119, 8991, 9750),
    *(11899, 15127, 15252, 16996, 17369, 17499, 17818),
)
"""Numbers from 0 to 23098 that have no file."""

MAX_IMAGES = 1000
"""Parts are numbered with three digits."""


def parse(row: Mapping[str, Json]) -> Outcome:
    """One document: its sentences and images in reading order, each image directly before its sentence.

    Several images of one sentence stand in the order of ``image_info``. The key comes from the file's number and
    the line; image ``n`` of ``image_info`` is medium ``n``.
    """
    sentences: Any = row.get("text_list")
    images: Any = row.get("image_info")
    if not _is_list_of(str, sentences):
        return Drop(reason=Reason.BAD_ROW, detail="text_list is not a list of texts")
    if images is None or images == []:
        return Drop(reason=Reason.FEW_IMAGES, detail="the document has no image")
    if not _is_list_of(dict, images):
        return Drop(reason=Reason.BAD_ROW, detail="image_info is not a list of objects")
    if len(images) > MAX_IMAGES:
        return Drop(reason=Reason.BAD_ROW, detail=f"{len(images)} images")
    fault = _fault(sentences, images, row.get("similarity_matrix"))
    if fault:
        return Drop(reason=Reason.BAD_ROW, detail=fault)
    if not any(sentence.strip() for sentence in sentences):
        return Drop(reason=Reason.EMPTY_TEXT)
    return Sample(
        key="",
        media={f"{n:03d}": MediaRef(at=Url(image["raw_url"])) for n, image in enumerate(images)},
        turns=(Turn(role="document", parts=tuple(_reading_order(sentences, images))),),
    )


def _is_list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _fault(sentences: Sequence[str], images: Sequence[Mapping[str, Any]], similarities: Any) -> str | None:
    """What a trainer would stumble over: an image without its sentence or without its row of similarities."""
    for n, image in enumerate(images):
        if not isinstance(image.get("raw_url"), str):
            return f"image {n} has no raw_url"
        at = image.get("matched_text_index")
        if type(at) is not int or not 0 <= at < len(sentences):
            return f"image {n} is matched to sentence {at!r} of {len(sentences)}"
    if not isinstance(similarities, list) or len(similarities) < len(images):
        return "similarity_matrix has no row for each image"
    return None


def _reading_order(sentences: Sequence[str], images: Sequence[Mapping[str, Any]]) -> list[Show | Text]:
    shown: dict[int, list[Show]] = {}
    for n, image in enumerate(images):
        shown.setdefault(image["matched_text_index"], []).append(Show(media=f"{n:03d}"))
    parts: list[Show | Text] = []
    for at, sentence in enumerate(sentences):
        parts += [*shown.get(at, []), Text(text=sentence)]
    return parts


RECIPE = Recipe(
    name="mmc4_core",
    version="2026.11.1",
    title="MMC4-core",
    description=(
        "Web pages as sentences with several images each, in reading order. From the hub: the fewer-faces split."
    ),
    homepage="https://github.com/allenai/mmc4",
    license="odc-by",
    citation=(
        "@article{zhu2023multimodal, title={Multimodal {C4}: An Open, Billion-scale Corpus of Images Interleaved "
        "With Text}, author={Zhu, Wanrong and Hessel, Jack and Awadalla, Anas and Gadre, Samir Yitzhak and Dodge, "
        "Jesse and Fang, Alex and Yu, Youngjae and Schmidt, Ludwig and Wang, William Yang and Choi, Yejin}, "
        "journal={arXiv preprint arXiv:2304.06939}, year={2023}}"
    ),
    redistribution="urls",
    stages=("pretrain",),
    sources=(
        Source(
            key="annotations",
            hub="jmhessel/mmc4-core-ff",
            revision="main",
            patterns=(
                "*docs_no_face_shard_*_v3.jsonl",
                "*docs_no_face_shard_*_v3.jsonl.zip",
                "*docs_shard_*_v3.jsonl",
                "*docs_shard_*_v3.jsonl.zip",
            ),
            format="jsonl",
            license="odc-by",
            access="open",
            number=r"docs_(?:no_face_)?shard_(\d+)_v3\.jsonl(?:\.zip)?$",
            order="numeric",
            gaps=NEVER_EXISTED,
            files=23_085,
            size_bytes=20_000_000_000,
            rows=5_500_000,
        ),
    ),
    parse=parse,
    writes=frozenset({"media.url"}),
    steps=(
        TakeRows(part_rows=1000),
        Crawl(phash=False),
        SamePicture(),
        Pack(shard_samples=1000),
    ),
    expect=Expect(
        kept_share=0.4,
        media_per_row=4.1,
        received_bytes=150_000,
        stored_bytes=110_000,
        remark=(
            "A document is kept only if all its images are. In 2023 17 % of the documents had lost one; expect to "
            "lose half today, and see on_missing_image."
        ),
    ),
    traps=(
        "VILA trained on the core split with faces (7.3 million documents, 29.9 million images), deleted upstream in "
        "February 2025. The hub's fewer-faces split has 5.5 million documents with 22.4 million images. Who holds "
        "files docs_shard_S_v3 gives their folder: --source annotations=FOLDER.",
        "The hub's repository is read at its main branch: no commit of it is known to us to pin. A folder is pinned "
        "to the commit that main stands for when it is begun, and dataset.json names it; to repeat it elsewhere give "
        "--source annotations=hf://datasets/jmhessel/mmc4-core-ff@COMMIT.",
        "Files are worked on by number. The published scripts sort their names as text (10 before 2), and their "
        "ranges count in that order: --set annotations.order=published.",
        "Version 3 files of core (v1.1) and older ones are different corpora; only names ending in _v3 are taken.",
        "matched_text_index and similarity_matrix are upstream's and are not computed anew.",
        "A document that its trainer could not read (an image without a sentence, or without its row of "
        "similarities) is dropped as bad_row.",
    ),
)
