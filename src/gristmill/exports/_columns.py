"""Lays samples out as rows with the same columns for every sample of a dataset.

=============  ==========================================================================================
column         what it is
=============  ==========================================================================================
key            the sample's key
caption        its ``txt``, where some sample of the dataset has one; empty where this one has none
image, video   the bytes of its picture or video, where every sample has exactly one
images, videos else a list of them, in the order in which ``media`` of ``json`` names them
json           its ``json`` part as it lies in the shard: turns, columns, facts of media, the upstream row
=============  ==========================================================================================

Of a kind that no sample has there is no column.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, Self, TypeAlias

from gristmill.exports._unfit import PICTURE_ENDINGS, VIDEO_ENDINGS, Unfit
from gristmill.shards.lossless import utf8
from gristmill.shards.shape import Shape
from gristmill.shards.webdataset import ShardSample
from gristmill.spec.errors import DamagedOutput

__all__ = ["Columns", "Count", "Row"]

Count: TypeAlias = Literal["none", "one", "many"]
_TEXTS = frozenset({"txt", "json"})


@dataclass(slots=True, kw_only=True)
class Row:
    """Holds a sample by columns.

    Attributes:
        images, videos: Part name and bytes, in the order of the shard.
        json: Text in UTF-8.
    """

    key: str
    caption: str = ""
    images: list[tuple[str, bytes]] = field(default_factory=list)
    videos: list[tuple[str, bytes]] = field(default_factory=list)
    json: bytes

    @property
    def size_bytes(self) -> int:
        """Bytes that it takes, about."""
        media = sum(len(body) for _, body in (*self.images, *self.videos))
        return media + len(self.json) + len(self.caption) + len(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Says which columns the rows of a dataset have.

    Attributes:
        captions: Some sample has a ``txt``.
        images, videos: How many of them samples have: none, exactly one each, or any number.
        picture_endings: Of the names of its pictures.
    """

    captions: bool
    images: Count
    videos: Count
    picture_endings: frozenset[str]

    @classmethod
    def of(cls, shape: Shape) -> Self:
        """Decide by what all samples of a dataset are made of."""
        endings = {part.rpartition(".")[2] for part in shape.parts if part not in _TEXTS} | {*shape.positions}
        return cls(
            captions="txt" in shape.parts,
            images=_count(shape, endings, PICTURE_ENDINGS),
            videos=_count(shape, endings, VIDEO_ENDINGS),
            picture_endings=frozenset(endings & PICTURE_ENDINGS),
        )

    @property
    def names(self) -> list[str]:
        """Names of the columns, in their order."""
        plural = {"none": [], "one": [""], "many": ["s"]}
        return [
            "key",
            *(["caption"] if self.captions else []),
            *(f"image{end}" for end in plural[self.images]),
            *(f"video{end}" for end in plural[self.videos]),
            "json",
        ]

    def row(self, sample: ShardSample) -> Row:
        """Lay a sample out.

        Raises:
            Unfit: It has a part for which there is no column.
            DamagedOutput: It is not what its dataset's records say of all samples.
        """
        parts = sample.parts
        row = Row(key=sample.key, json=parts.get("json", b"{}"))
        for name, body in parts.items():
            ending = name.rpartition(".")[2]
            if name == "txt":
                row.caption = utf8(body.decode("utf-8", "replace")).decode()
            elif ending in PICTURE_ENDINGS:
                row.images.append((name, body))
            elif ending in VIDEO_ENDINGS:
                row.videos.append((name, body))
            elif name != "json":
                raise Unfit(
                    "other_medium", f"sample {sample.key} has {name}, which is no picture and no video"
                )
        fits = _fits(self.images, row.images) and _fits(self.videos, row.videos)
        if not fits or ("txt" in parts and not self.captions):
            raise DamagedOutput(
                f"sample {sample.key} has parts {', '.join(parts)}, and the records of its dataset say of all of "
                f"them that they have columns {', '.join(self.names)}."
            )
        return row


def _count(shape: Shape, endings: Collection[str], kind: frozenset[str]) -> Count:
    if not kind & set(endings):
        return "none"
    sets = shape.sets or ()
    one = sets and all(sum(part.rpartition(".")[2] in kind for part in parts) == 1 for parts in sets)
    return "one" if one else "many"


def _fits(count: Count, media: list[tuple[str, bytes]]) -> bool:
    return count == "many" or len(media) == (count == "one")
