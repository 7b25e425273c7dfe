"""Documents as ``LazyMMC4Dataset`` reads them: sentences, and pictures that each precede one of them.

Keys read there: ``text_list``, ``image_info[].image_base64``, ``image_info[].matched_text_index`` and
``similarity_matrix``, one row for each picture (its values are not used, but pictures beyond its length are not
seen). Format of MMC4: https://github.com/allenai/mmc4.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from gristmill.exports._unfit import Unfit, pictures_of
from gristmill.spec.sample import Json

__all__ = ["document_item"]


def document_item(key: str, record: Mapping[str, Json], parts: Mapping[str, bytes]) -> dict[str, Json]:
    """One document: MMC4's own keys verbatim, reduced to the pictures that are there; of other documents the
    keys that the loader reads.

    Args:
        key: Of the sample.
        record: Its ``json`` part.
        parts: As they lie in the shard.

    Raises:
        Unfit: It has no picture, or one that belongs to no sentence.
    """
    names = pictures_of(parts)
    if not names:
        raise Unfit("no_picture", f"sample {key} has no picture and LazyMMC4Dataset stops at such a document")
    upstream = record.get("upstream") or {}
    item = _verbatim(key, upstream, names) if _is_mmc4(upstream) else _from_turns(record, names)
    for info, name in zip(item["image_info"], names, strict=True):
        index = info.get("matched_text_index")
        if type(index) is not int or not 0 <= index < len(item["text_list"]):
            raise Unfit(
                "no_such_sentence",
                f"sample {key}: its picture {name} belongs to sentence {index!r} of {len(item['text_list'])}",
            )
        info["image_base64"] = base64.b64encode(parts[name]).decode("ascii")
    return item


def _is_mmc4(upstream: Mapping[str, Json]) -> bool:
    sentences, pictures = upstream.get("text_list"), upstream.get("image_info")
    return (
        isinstance(sentences, list)
        and all(isinstance(sentence, str) for sentence in sentences)
        and isinstance(pictures, list)
        and all(isinstance(info, dict) for info in pictures)
    )


def _verbatim(key: str, upstream: Mapping[str, Json], names: Sequence[str]) -> dict[str, Json]:
    """The upstream document, its pictures and their rows of the matrix reduced to those of ``names``."""
    infos = upstream["image_info"]
    kept = _positions(key, names, len(infos))
    matrix = upstream.get("similarity_matrix")
    width = len(upstream["text_list"])
    if isinstance(matrix, list) and len(matrix) >= len(infos):
        rows = [matrix[i] for i in kept]
    else:
        rows = [[0.0] * width for _ in kept]
    return {**upstream, "image_info": [dict(infos[i]) for i in kept], "similarity_matrix": rows}


def _positions(key: str, names: Sequence[str], infos: int) -> list[int]:
    """Find which of the document's pictures each part is: parts are named by position, ``000.jpg``."""
    if len(names) == infos:
        return list(range(infos))
    stems = [name.partition(".")[0] for name in names]
    if not all(stem.isdigit() and int(stem) < infos for stem in stems):
        raise Unfit(
            "unknown_picture",
            f"sample {key} has pictures {', '.join(names)} of {infos} that its document names",
        )
    return [int(stem) for stem in stems]


def _from_turns(record: Mapping[str, Json], names: Sequence[str]) -> dict[str, Json]:
    """A document in MMC4's keys: each picture belongs to the text that follows it."""
    texts: list[str] = []
    belongs: dict[str, int] = {}
    pieces: list[dict[str, Any]] = [piece for turn in record["turns"] for piece in turn["parts"]]
    for piece in pieces:
        if "text" in piece:
            texts.append(piece["text"])
        else:
            belongs.setdefault(piece["media"], len(texts))
    if not texts or any(index == len(texts) for index in belongs.values()):
        texts.append("")  # for pictures at the end to precede
    media = record.get("media") or {names[0]: record}
    return {
        "url": (record.get("upstream") or {}).get("url"),
        "text_list": texts,
        "image_info": [
            {
                "image_name": name,
                "raw_url": (media.get(name) or {}).get("url"),
                "matched_text_index": belongs.get(name),
            }
            for name in names
        ],
        "similarity_matrix": [[0.0] * len(texts) for _ in names],
    }
