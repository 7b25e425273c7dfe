"""The recipe behind ``gristmill crawl``: any list of image URLs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Column, Recipe, Source
from gristmill.spec.sample import Drop, Json, MediaRef, Outcome, Sample, Show, Text, Turn
from gristmill.steps.crawl import Crawl
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows
from gristmill.steps.same_picture import SamePicture

__all__ = ["PATTERNS", "url_list"]

_TEXTS = ("txt", "csv", "tsv", "json", "jsonl", "ndjson")
PATTERNS = (*(f"*.{end}" for end in (*_TEXTS, "parquet", "gz")), *(f"*.{end}.zip" for end in _TEXTS))
"""Files of a folder that are taken for lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseUrl:
    """A row of a list: a URL, perhaps a caption and a checksum; all columns are carried."""

    url_column: str
    caption_column: str | None
    hash_column: str | None
    hash_kind: str

    def __call__(self, row: Mapping[str, Json]) -> Outcome:
        """See :data:`gristmill.spec.recipe.Parse`. Keys come from the row's place: see ``keyed_by_row``."""
        url = _text(row.get(self.url_column))
        if not isinstance(url, str):
            return Drop(
                reason=Reason.BAD_URL, detail="missing" if url is None else f"not text: {url!r}"[:200]
            )
        if not url.strip():
            return Drop(reason=Reason.BAD_URL, detail="empty")
        caption = _text(row.get(self.caption_column)) if self.caption_column else None
        digest = _text(row.get(self.hash_column)) if self.hash_column else None
        parts: tuple[Show | Text, ...] = (Show(media="image"),)
        if isinstance(caption, str) and caption:
            parts = (*parts, Text(text=caption))
        return Sample(
            key="",
            media={
                "image": MediaRef(url=url, expected_hash=f"{self.hash_kind}:{digest}" if digest else None)
            },
            turns=(Turn(role="caption", parts=parts),),
        )


def _text(value: Json) -> Json:
    """Parquet of older writers has its texts as bytes; what is no UTF-8 stays as it is."""
    if isinstance(value, bytes):
        with suppress(UnicodeDecodeError):
            return value.decode()
    return value


def url_list(
    path: str,
    url_column: str = "url",
    caption_column: str | None = None,
    hash_column: str | None = None,
    hash_kind: str = "sha256",
    patterns: Sequence[str] = PATTERNS,
) -> Recipe:
    """The recipe of one list, or of a folder of lists.

    Args:
        path: The list; only its content bears identity.
        url_column, caption_column, hash_column: Names of columns.
        hash_kind: ``sha256``, ``md5`` or ``sha512``: what ``hash_column`` holds, in hex of either case.
        patterns: Which files of a folder.
    """
    columns = tuple(c for c in (url_column, caption_column, hash_column) if c)
    return Recipe(
        name="crawl",
        version="2026.11.1",
        title="A list of image URLs",
        description=f"Pictures of a list of URLs, by its column {url_column!r}.",
        homepage="",
        license="unknown",
        sources=(
            Source(
                key="list",
                path=path,
                patterns=tuple(patterns),
                format="any",
                columns=tuple(Column(name=c, kind="string or binary", needed=False) for c in columns),
            ),
        ),
        parse=ParseUrl(
            url_column=url_column,
            caption_column=caption_column,
            hash_column=hash_column,
            hash_kind=hash_kind,
        ),
        writes=frozenset({"media.url"}),
        steps=(
            TakeRows(columns=columns, unique=url_column, parts=1000),
            Crawl(phash=False, md5=False),
            SamePicture(),
            Pack(shard_samples=10_000),
        ),
    )
