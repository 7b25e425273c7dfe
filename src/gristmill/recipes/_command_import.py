"""The recipe behind ``gristmill import``: folders of pickles as VILA's own scripts and loaders know them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gristmill.spec import locator
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Built, Recipe, Source
from gristmill.spec.sample import CHANGES, Drop, Json, MediaRef, Outcome, Sample, Show, Text, Turn
from gristmill.steps.embedded import DecodeEmbedded
from gristmill.steps.hygiene import TextHygiene
from gristmill.steps.instruct import dialogue
from gristmill.steps.pack import Pack
from gristmill.steps.pickles import TakePickles

__all__ = ["BUILT", "PATTERNS", "build", "parse_item"]

BUILT = Built(command=("import", "PICKLES", "--from", "vila"), source="pickles", input="pickle", item="item")

PATTERNS = ("*.pkl", "*.pickle")
"""Files of a folder that are taken for pickles."""

_DIALOGUE_WORDS = "Image Descriptions"

_PLACES = ("<image>\n", "\n<image>", "<image>")
"""In a question about pictures: where they stand. VILA's loader takes these out, in this order, and puts all pictures
in front; so do we. Anywhere else such a text is free text, which is left to the step ``hygiene``."""


def parse_item(row: Mapping[str, Json]) -> Outcome:
    """One item: a document, a question with its answer, or a captioned picture, by its keys."""
    if "text_list" in row:
        return _document(row)
    return _question(row) if "question" in row else _caption(row)


def _caption(row: Mapping[str, Json]) -> Outcome:
    text = row["text"] if "text" in row else row.get("caption")
    body = row["image"] if "image" in row else row.get("rawbytes")
    if not isinstance(text, str):
        return Drop(reason=Reason.BAD_ROW, detail="its text is not text")
    if not isinstance(body, str):
        return Drop(reason=Reason.NO_IMAGE)
    url = row.get("url")
    columns = {"clip_sim": row["clip_sim"]} if "clip_sim" in row else {}
    return Sample(
        key="",
        media={"image": MediaRef(at=locator.Embedded(body, url if isinstance(url, str) else None))},
        turns=(Turn(role="caption", parts=(Show(media="image"), Text(text=text))),),
        columns=columns,
    )


def _document(row: Mapping[str, Json]) -> Outcome:
    sentences, infos = row["text_list"], row.get("image_info")
    if not isinstance(sentences, list) or not all(isinstance(text, str) for text in sentences):
        return Drop(reason=Reason.BAD_ROW, detail="text_list is not a list of texts")
    if not isinstance(infos, list) or not all(isinstance(info, dict) for info in infos):
        return Drop(reason=Reason.BAD_ROW, detail="image_info is not a list of objects")
    if not infos:
        return Drop(reason=Reason.NO_IMAGE)
    media: dict[str, MediaRef] = {}
    shown: dict[int, list[Show]] = {}
    for n, info in enumerate(infos):
        at, body, url = info.get("matched_text_index"), info.get("image_base64"), info.get("raw_url")
        if type(at) is not int or not 0 <= at < len(sentences):
            return Drop(reason=Reason.BAD_ROW, detail=f"image {n} is matched to sentence {at!r}"[:200])
        if not isinstance(body, str):
            return Drop(reason=Reason.NO_IMAGE, detail=f"image {n}")
        media[f"{n:03d}"] = MediaRef(at=locator.Embedded(body, url if isinstance(url, str) else None))
        shown.setdefault(at, []).append(Show(media=f"{n:03d}"))
    parts: list[Show | Text] = []
    for at, sentence in enumerate(sentences):
        parts += [*shown.get(at, []), Text(text=sentence)]
    return Sample(key="", media=media, turns=(Turn(role="document", parts=tuple(parts)),))


def _question(row: Mapping[str, Json]) -> Outcome:
    question = row["question"]
    answer = row["answer:"] if "answer:" in row else row.get("answer")
    found = row["image:"] if "image:" in row else row.get("image", [])
    bodies: Any = [found] if isinstance(found, str) else found
    if not isinstance(question, str) or not isinstance(answer, str):
        return Drop(reason=Reason.BAD_ROW, detail="question or answer is not text")
    if not isinstance(bodies, list) or not all(isinstance(body, str) for body in bodies):
        return Drop(reason=Reason.BAD_ROW, detail="image is not a list of texts")
    names = [f"{n:03d}" for n in range(len(bodies))]
    columns: dict[str, Json] = {}
    if names and _PLACES[-1] in question:
        question = _without_places(question)
        columns[CHANGES] = ["media_token_removed_in_question"]
    shows = tuple(Show(media=name) for name in names)
    # the words by which VILA's loader knows a visual dialogue; other questions may quote one and be one question
    talk = dialogue(question) if names and _DIALOGUE_WORDS in question else None
    said = [question, answer] if talk is None else [*talk[1], answer]
    if talk is not None:
        columns["dialogue_context"] = talk[0]
    turns = tuple(
        Turn(role=("user", "assistant")[n % 2], parts=(*(() if n else shows), Text(text=text)))
        for n, text in enumerate(said)
    )
    return Sample(
        key="",
        media={name: MediaRef(at=locator.Embedded(body)) for name, body in zip(names, bodies, strict=True)},
        turns=turns,
        columns=columns,
    )


def _without_places(question: str) -> str:
    for place in _PLACES:
        question = question.replace(place, "")
    return question


def build(path: str, patterns: Sequence[str] = PATTERNS) -> Recipe:
    """The recipe of a pickle, or of a folder of them.

    Args:
        path: Where they lie; only their content bears identity.
        patterns: Which files of a folder.
    """
    return Recipe(
        name="import",
        version="2026.11.2",
        title="Imported from VILA's pickles",
        description="Samples of pickled lists that VILA's loaders read, pictures in their own bytes, text cleaned.",
        homepage="https://github.com/NVlabs/VILA",
        license="unknown",
        redistribution="nothing",
        sources=(Source(key="pickles", path=path, patterns=tuple(patterns), format="pickle"),),
        parse=parse_item,
        built=BUILT,
        writes=frozenset({"media.embedded"}),
        steps=(TakePickles(), TextHygiene(), DecodeEmbedded(), Pack(shard_samples=10_000)),
    )
