"""Makes of a sample what VILA's loaders want: plain dicts, in three forms told apart by who speaks in the turns.

========  ====================  =============================================================
form      roles                 keys of an item
========  ====================  =============================================================
coyo      caption, or no turn   ``id, url, text, clip_sim, image`` (Base64 text)
mmc4      document              the document's own keys, with ``image_info[].image_base64``
vflan     user, assistant       ``question, answer, id, image`` (list of Base64 texts)
========  ====================  =============================================================

Rules are those of ``LazyCoyoDataset``, ``LazyMMC4Dataset`` and ``LazyVFlanDataset`` in
https://github.com/NVlabs/VILA, ``llava/data/dataset.py`` of June 2024.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from gristmill.exports._unfit import Unfit, pictures_of
from gristmill.exports._vila_documents import document_item
from gristmill.shards.not_finite import put_back
from gristmill.spec.sample import Json

__all__ = ["MOST_PICTURES", "Form", "ItemMaker", "form_of", "item_id"]

Form: TypeAlias = Literal["coyo", "mmc4", "vflan"]

MOST_PICTURES = 8  # an assertion of LazyVFlanDataset
_TOKEN = "<image>"
_DIALOGUE = "Image Descriptions"
_QUESTION, _ANSWER = "\nQuestion: ", "\nAnswer: "


def form_of(record: Mapping[str, Json]) -> Form | None:
    """The form that fits a sample's turns; None if none does.

    Args:
        record: The sample's ``json`` part.
    """
    roles = {turn["role"] for turn in record.get("turns") or [{"role": "caption"}]}
    if roles == {"caption"}:
        return "coyo"
    if roles == {"document"}:
        return "mmc4"
    return "vflan" if roles <= {"user", "assistant"} else None


def item_id(key: str, record: Mapping[str, Json]) -> Json:
    """The sample's id upstream, or else its key."""
    found = (record.get("upstream") or {}).get("id", key)
    return found if found is None or isinstance(found, (str, int)) else str(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemMaker:
    """Makes items of one form.

    Attributes:
        spread: Of more than eight pictures of a question take eight, evenly spread; else it is unfit.
    """

    form: Form
    spread: bool = False

    def item(self, key: str, parts: Mapping[str, bytes]) -> tuple[dict[str, Json], int]:
        """Make what the loader wants of one sample, and count how many of its pictures were left out.

        Args:
            key: Of the sample.
            parts: As they lie in the shard.

        Raises:
            Unfit: The loader would stumble over it.
            ValueError: Its turns are of another form.
        """
        record = put_back(parts["json"])
        if form_of(record) != self.form:
            roles = sorted({turn["role"] for turn in record.get("turns") or [{"role": "caption"}]})
            raise ValueError(f"sample {key} has turns of {', '.join(roles)}")
        if self.form == "coyo":
            return _caption_item(key, record, parts), 0
        if self.form == "mmc4":
            return document_item(key, record, parts), 0
        return self._question_item(key, record, parts)

    def _question_item(
        self, key: str, record: Mapping[str, Json], parts: Mapping[str, bytes]
    ) -> tuple[dict[str, Json], int]:
        turns = record["turns"]
        pictures = _check_turns(key, turns)
        question, answer = _as_one_turn(key, record)
        taken = self._taken(key, pictures)
        _check_text(key, question, answer, len(taken))
        item = {
            "question": question,
            "answer": answer,
            "id": item_id(key, record),
            "image": [_base64(parts[name]) for name in taken],
        }
        return item, len(pictures) - len(taken)

    def _taken(self, key: str, pictures: list[str]) -> list[str]:
        if len(pictures) <= MOST_PICTURES:
            return pictures
        if not self.spread:
            raise Unfit(
                "too_many_pictures",
                f"sample {key} has {len(pictures)} pictures and LazyVFlanDataset takes {MOST_PICTURES}; take "
                f"{MOST_PICTURES} evenly with --spread-images",
            )
        last = MOST_PICTURES - 1
        return [pictures[i * (len(pictures) - 1) // last] for i in range(MOST_PICTURES)]


def _caption_item(key: str, record: Mapping[str, Json], parts: Mapping[str, bytes]) -> dict[str, Json]:
    pictures = pictures_of(parts)
    if len(pictures) != 1:
        raise Unfit(
            "not_one_picture", f"sample {key} has {len(pictures)} pictures and LazyCoyoDataset takes one"
        )
    return {
        "id": item_id(key, record),
        "url": record.get("url"),
        "text": parts["txt"].decode() if "txt" in parts else "",
        "clip_sim": record.get("clip_sim"),
        "image": _base64(parts[pictures[0]]),
    }


def _check_turns(key: str, turns: list[dict[str, Any]]) -> list[str]:
    """Names of the pictures, in order, if all stand before the first question."""
    roles = [turn["role"] for turn in turns]
    if roles != ["user", "assistant"] * (len(roles) // 2) or not roles:
        raise Unfit("turns_do_not_alternate", f"sample {key} has turns of {', '.join(roles)}, in this order")
    first = turns[0]["parts"]
    names = [part["media"] for part in first if "media" in part]
    early = all("media" in part for part in first[: len(names)])
    if not early or any("media" in part for turn in turns[1:] for part in turn["parts"]):
        raise Unfit(
            "picture_within_text",
            f"sample {key} has a picture after its first text and LazyVFlanDataset puts all of them in front",
        )
    return names


def _as_one_turn(key: str, record: Mapping[str, Json]) -> tuple[str, str]:
    """Question and answer; turns before the last as a visual dialogue in M3IT's wording."""
    texts = ["".join(part.get("text", "") for part in turn["parts"]) for turn in record["turns"]]
    context = record.get("dialogue_context", (record.get("columns") or {}).get("dialogue_context"))
    if context is None:
        if len(texts) > 2:
            raise Unfit(
                "several_turns",
                f"sample {key} has {len(texts) // 2} questions and no dialogue_context; LazyVFlanDataset takes one",
            )
        return texts[0], texts[1]
    if any(mark in text for text in texts[:-1] for mark in (_QUESTION, _ANSWER)):
        raise Unfit("dialogue_marks", f"sample {key} has {_QUESTION!r} or {_ANSWER!r} within a turn")
    earlier = "".join(
        f"{_QUESTION}{question}{_ANSWER}{answer}"
        for question, answer in zip(texts[:-2:2], texts[1:-2:2], strict=True)
    )
    return f"{context}{earlier}{_QUESTION}{texts[-2]}", texts[-1]


def _check_text(key: str, question: str, answer: str, pictures: int) -> None:
    """Refuse what the loader's own parsing would stumble over."""
    if _TOKEN in answer:
        raise Unfit(
            "token_in_answer", f"sample {key} has the text {_TOKEN} in its answer, a slot without a picture"
        )
    if _DIALOGUE not in question:
        return  # the loader takes the token out of any other question by itself
    pieces = question.rstrip().split(_QUESTION)[1:]
    splits = [len(piece.split(_ANSWER)) for piece in pieces]
    if not pieces or splits != [2] * (len(pieces) - 1) + [1] or pictures != 1 or _TOKEN in question:
        raise Unfit(
            "not_a_dialogue",
            f"sample {key} speaks of {_DIALOGUE!r}, which LazyVFlanDataset takes for a visual dialogue about one "
            "picture, and it is none",
        )


def _base64(body: bytes) -> str:
    return base64.b64encode(body).decode("ascii")
