"""The recipe behind ``gristmill crawl``: any list of image URLs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gristmill.spec.checksums import checksum_of, is_missing
from gristmill.spec.columns import value_at
from gristmill.spec.errors import UsageError
from gristmill.spec.locator import Url
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Built, Column, Expect, Recipe, Source
from gristmill.spec.sample import Drop, Json, MediaRef, Outcome, Sample, Show, Text, Turn
from gristmill.steps.crawl import Crawl
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows
from gristmill.steps.same_picture import SamePicture
from gristmill.steps.spread import ELEMENT, LIST_ROW

__all__ = ["BUILT", "NO_LISTS", "PATTERNS", "Captions", "build"]

BUILT = Built(command=("crawl", "URLS"), source="list", input="list")

Captions: TypeAlias = Literal["first", "joined", "each"]
"""What may become of several captions of one picture."""

KEPT_SHARE = 0.1
"""What a list must give at least, unless ``--min-kept`` says otherwise."""

_TEXTS = ("txt", "csv", "tsv", "json", "jsonl", "ndjson")
PATTERNS = (*(f"*.{end}" for end in (*_TEXTS, "parquet", "gz")), *(f"*.{end}.zip" for end in _TEXTS))
"""Files of a folder that are taken for lists."""

NO_LISTS = (
    *(f"{name}{end}" for name in ("license", "licence", "copying", "notice") for end in (".*", "-*.txt")),
    *("readme.*", "changelog.*", "changes.*", "citation.*", "authors.*", "requirements*.txt"),
    *("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "croissant.json"),
)
"""Files beside published lists that are none, by their names in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseUrl:
    """A row of a list: a URL, perhaps a caption and a checksum; all columns are carried."""

    url_column: str
    caption_column: str | None
    hash_column: str | None
    hash_kind: str
    captions: Captions | None = None

    def __call__(self, row: Mapping[str, Json]) -> Outcome:
        """See :data:`gristmill.spec.recipe.Parse`. Keys come from the row's place: see ``keyed_by_row``."""
        url = _text(value_at(row, self.url_column))
        if not isinstance(url, str):
            return Drop(
                reason=Reason.BAD_URL, detail="missing" if url is None else f"not text: {url!r}"[:200]
            )
        if not url.strip():
            return Drop(reason=Reason.BAD_URL, detail="empty")
        try:
            caption = self._caption(row) if self.caption_column else None
            expected = self._checksum(row) if self.hash_column else None
        except ValueError as err:
            return Drop(reason=Reason.BAD_ROW, detail=str(err)[:200])
        parts: tuple[Show | Text, ...] = (Show(media="image"),)
        if caption:
            parts = (*parts, Text(text=caption))
        columns = {}
        if ELEMENT in row:
            columns = {"list_row": row[LIST_ROW], "caption_number": row[ELEMENT]}
        return Sample(
            key="",
            media={"image": MediaRef(at=Url(url), expected_hash=expected)},
            turns=(Turn(role="caption", parts=parts),),
            columns=columns,
        )

    def _caption(self, row: Mapping[str, Json]) -> str | None:
        """The caption, or one text of several.

        Raises:
            ValueError: What stands there is no text.
        """
        found = _text(value_at(row, self.caption_column or ""))
        if self.captions is None or not isinstance(found, list):
            return self._checked(found)
        if self.captions == "each":
            return self._checked(found[row[ELEMENT]] if found else None)
        texts = [text for item in found if (text := self._checked(item))]
        if self.captions == "first":
            return texts[0] if texts else None
        return "\n".join(texts)

    def _checked(self, value: Json) -> str | None:
        text = _text(value)
        if text is None or isinstance(text, str):
            return text
        raise ValueError(f"{self.caption_column!r} is no text: {text!r}")

    def _checksum(self, row: Mapping[str, Json]) -> str | None:
        """The checksum as a medium expects it; None where the list has none for it.

        Raises:
            ValueError: What stands there can be no checksum of this kind.
        """
        found = value_at(row, self.hash_column or "")
        if is_missing(found):
            return None
        expected = checksum_of(found, self.hash_kind)
        if expected is None:
            raise ValueError(f"{self.hash_column!r} is no {self.hash_kind}: {found!r}")
        return expected


def _text(value: Json) -> Json:
    """Parquet of older writers has its texts as bytes; what is no UTF-8 stays as it is."""
    if isinstance(value, bytes):
        with suppress(UnicodeDecodeError):
            return value.decode()
    return value


def build(
    path: str,
    url_column: str = "url",
    caption_column: str | None = None,
    hash_column: str | None = None,
    hash_kind: str = "sha256",
    captions: Captions | None = None,
    patterns: Sequence[str] = PATTERNS,
    name: str = "crawl",
    title: str | None = None,
    license: str | None = None,
    description: str | None = None,
) -> Recipe:
    """The recipe of one list, or of a folder of lists.

    Args:
        path: The list; only its content bears identity.
        url_column, caption_column, hash_column: Names of columns, or paths into them: ``image.url``.
        hash_kind: ``sha256``, ``md5`` or ``sha512``: what ``hash_column`` holds, in hex or Base64.
        captions: What becomes of several captions of one picture, where ``caption_column`` holds lists.
        patterns: Which files of a folder.
        name: Of the dataset, as typed: dashes for underscores.
        title, license, description: What its card says of it.

    Raises:
        UsageError: The name is no name.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise UsageError(f"--name {name}: a name is of a-z, 0-9 and -, and begins with a letter")
    columns = tuple(c for c in (url_column, caption_column, hash_column) if c)
    typed = [
        Column(
            name=name,
            kind="string or list of strings" if captions and name == caption_column else "string or binary",
            needed=False,
        )
        for name in columns
    ]
    return Recipe(
        name=name.replace("-", "_"),
        version="2026.12.1",
        title=title or "A list of image URLs",
        description=description or f"Pictures of a list of URLs, by its column {url_column!r}.",
        homepage="",
        license=license or "unknown",
        sources=(
            Source(
                key="list",
                path=path,
                patterns=tuple(patterns),
                leave_out=NO_LISTS,
                format="any",
                columns=tuple(typed),
            ),
        ),
        parse=ParseUrl(
            url_column=url_column,
            caption_column=caption_column,
            hash_column=hash_column,
            hash_kind=hash_kind,
            captions=captions,
        ),
        built=BUILT,
        writes=frozenset({"media.url"}),
        steps=(
            TakeRows(
                columns=columns,
                unique=url_column,
                each=caption_column if captions == "each" else None,
                parts=1000,
            ),
            Crawl(phash=False, md5=False),
            SamePicture(),
            Pack(shard_samples=10_000),
        ),
        expect=Expect(
            kept_share=KEPT_SHARE,
            usual_share=0.7,
            stored_bytes=30_000,
            received_bytes=200_000,
            remark="Of lists some years old half to nine tenths come; sizes are of usual pictures of the web.",
        ),
    )
