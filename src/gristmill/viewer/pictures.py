"""A handful of a dataset's pictures, small enough to be part of a page."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gristmill.ledger.features import IMAGE_PARTS, evenly
from gristmill.media.thumbnail import Undecodable, thumbnail
from gristmill.shards.webdataset import ShardSample, read_samples
from gristmill.spec.errors import DamagedOutput
from gristmill.spec.task import ShardInfo

__all__ = ["Thumbnail", "thumbnails"]

_SIDE_PX = 300
_QUALITY = 70
_LOOKED_AT = 600
"""Samples per shard among which pictures are taken, so that large shards need not be read to their end."""

_CAPTION_CHARACTERS = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """One picture.

    Attributes:
        source: A ``data:`` address with the small JPEG.
        original: Size of the original, in words; empty if not known.
    """

    key: str
    caption: str
    source: str
    width_px: int
    height_px: int
    original: str


def thumbnails(folder: Path, shards: Sequence[ShardInfo], wanted: int) -> tuple[list[Thumbnail], list[str]]:
    """At most ``wanted`` pictures, spread over the shards and within them; the same on every call.

    Returns:
        The pictures, and a sentence for each shard that could not be read.
    """
    by_path = {shard.path: shard for shard in shards if shard.samples}
    chosen = evenly(list(by_path), wanted)
    made: list[Thumbnail] = []
    trouble: list[str] = []
    for number, path in enumerate(chosen):
        share = (number + 1) * wanted // len(chosen) - number * wanted // len(chosen)
        try:
            made += _of_shard(folder / path, by_path[path].samples, share)
        except DamagedOutput as err:
            trouble.append(str(err))
        except FileNotFoundError:
            trouble.append(f"{path} is not there.")
    return made, trouble


def _of_shard(path: Path, samples: int, wanted: int) -> Iterator[Thumbnail]:
    within = min(samples, _LOOKED_AT)
    places = {i * within // wanted for i in range(wanted)}
    for place, sample in enumerate(read_samples(path)):
        if place in places and (small := _thumbnail(sample)) is not None:
            yield small
        if place >= max(places):
            return


def _thumbnail(sample: ShardSample) -> Thumbnail | None:
    part = next((name for name in sample.parts if name.rpartition(".")[2] in IMAGE_PARTS), None)
    if part is None:
        return None
    try:
        small = thumbnail(sample.parts[part], side_px=_SIDE_PX, quality=_QUALITY)
    except Undecodable:
        return None
    if small is None:
        return None
    body, width_px, height_px = small
    facts = orjson.loads(sample.parts["json"]) if "json" in sample.parts else {}
    return Thumbnail(
        key=sample.key,
        caption=_shortened(sample.parts.get("txt", b"").decode(errors="replace") or _beside(facts, part)),
        source="data:image/jpeg;base64," + base64.b64encode(body).decode("ascii"),
        width_px=width_px,
        height_px=height_px,
        original=_original((facts.get("media") or {}).get(part, facts)),
    )


def _beside(facts: dict[str, Any], part: str) -> str:
    """In a document or a talk, the text that follows the picture."""
    parts = [piece for turn in facts.get("turns") or () for piece in turn["parts"]]
    at = next((i for i, piece in enumerate(parts) if piece.get("media") == part), len(parts))
    return next((piece["text"] for piece in parts[at:] if "text" in piece), "")


def _original(facts: dict[str, Any]) -> str:
    width, height = facts.get("original_width"), facts.get("original_height")
    return f"{width} × {height} px" if width and height else ""


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    if len(text) <= _CAPTION_CHARACTERS:
        return text
    return text[:_CAPTION_CHARACTERS].rsplit(" ", 1)[0] + " …"
