"""Evaluation sets, read into hash lists: folders of pictures, Parquet with pictures in cells, TSV with Base64.

The TSV is that of VLMEvalKit (https://github.com/open-compass/VLMEvalKit, vlmeval/dataset/image_base.py): a header;
``index``, ``question``, and ``image`` with one picture in Base64, or a Python list of them; a cell that is no longer
than 64 characters is the index of the row whose picture is meant.

Of each picture the hashes of :func:`gristmill.media.variants.hashes_of_variants` are listed. An n-gram of questions
counts only where few questions have it: instructions and phrases that a set repeats would be found in training data
of any origin.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.media.errors import Undecodable
from gristmill.media.settings import ImageSettings
from gristmill.spec.errors import SourceError, UsageError
from gristmill.steps.hash_list import SCHEMA, grams_of, is_hash_list, write_list
from gristmill.storage.files import sweep_temporaries, whole_file

__all__ = ["Hashed", "hash_set"]

_SMALL = ImageSettings(
    resize_mode="keep_ratio_largest",
    size_px=384,
    encode_quality=95,
    quality="fast",
    orientation="ignore",
    max_pixels=1_000_000_000,
)
"""What a decoder's process makes of a stranger's picture; hashes are taken of that here."""
_THUMBNAIL_PX = 120
_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})
_TABLES = frozenset({".tsv", ".parquet"})
_TEXT_COLUMNS = ("question", "prompt", "problem", "query", "instruction", "text")
_NAME_COLUMNS = ("index", "id", "question_id", "qid", "pid")
_REFERENCE_CHARACTERS = 64
_MOST_CELL_BYTES = 256 << 20
_ROWS_AT_ONCE = 32
_AT_ONCE = 24
_COMMON = 3
"""An n-gram that more questions of a set have, about different pictures, tells none of them from others."""
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]{65,}")


@dataclass(slots=True, kw_only=True)
class Hashed:
    """The account of a set that was hashed.

    Attributes:
        pictures: Listed.
        constant: Pictures that are near-constant, which are not listed.
        questions: Listed.
        short: Questions of fewer words than an n-gram, or all of whose n-grams others have too; not listed.
        unreadable: Names of pictures that could not be read, and why.
    """

    pictures: int = 0
    constant: int = 0
    questions: int = 0
    short: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationItem:
    """One item of a set: its pictures' bytes, or where they lie; its question; what tells its picture from others."""

    name: str
    pictures: tuple[bytes | Path, ...] = ()
    question: str = ""
    about: str = ""


def hash_set(
    place: Path,
    out: Path,
    *,
    n: int,
    thumbnails: bool = False,
    processes: int = 1,
    text_column: str | None = None,
    tell: Callable[[int], None] = lambda items: None,
) -> Hashed:
    """Write the hash list of an evaluation set.

    Args:
        place: A picture, a TSV, a Parquet file, or a folder of such, at any depth.
        out: The list.
        n: Words of an n-gram.
        thumbnails: Also keep a small picture of each.
        processes: Decoders beside this process.
        text_column: The column with the questions; found by its usual names if None.
        tell: Called with the number of items done.

    Raises:
        UsageError: Nothing to read there.
        SourceError: A table that cannot be read.
    """
    if not place.exists():
        raise UsageError(f"{place}: there is no such file or folder.")
    hashed, name = Hashed(), place.stem if place.is_file() else place.resolve().name
    sweep_temporaries(out.parent, of=out.name)
    with whole_file(out) as stream:
        write_list(
            stream,
            _tables(_items(place, text_column), name, hashed, n, thumbnails, processes, tell),
            n=n,
        )
        if not (hashed.pictures or hashed.constant or hashed.questions or hashed.short or hashed.unreadable):
            raise UsageError(f"{place}: no pictures there, and no Parquet or TSV.")
    return hashed


def _tables(
    items: Iterator[EvaluationItem],
    name: str,
    hashed: Hashed,
    n: int,
    thumbnails: bool,
    processes: int,
    tell: Callable[[int], None],
) -> Iterator[pa.Table]:
    from gristmill.media.pool import CodecPool

    questions: dict[tuple[str, str], str] = {}
    done = 0
    with asyncio.Runner() as loop:
        pool = CodecPool(_SMALL, processes=processes)
        try:
            while some := list(islice(items, _AT_ONCE)):
                yield pa.Table.from_pylist(loop.run(_pictures(pool, some, name, hashed, thumbnails)), SCHEMA)
                for item in some:
                    if item.question:
                        questions.setdefault((item.question, item.about), item.name)
                done += len(some)
                tell(done)
        finally:
            loop.run(pool.close())
    yield pa.Table.from_pylist(list(_questions(questions, name, hashed, n)), SCHEMA)


async def _pictures(
    pool: Any, items: Sequence[EvaluationItem], name: str, hashed: Hashed, thumbnails: bool
) -> list[dict[str, Any]]:
    """The rows of some items' pictures, in order."""

    async def asked(own: str, body: bytes | Path) -> list[dict[str, Any]] | tuple[str, str] | None:
        try:
            small = await pool.transcode(body.read_bytes() if isinstance(body, Path) else body)
        except Undecodable as err:
            return own, f"{err.reason}: {err.detail}"
        except OSError as err:
            return own, str(err.strerror)
        return _variants(small.body, small.phash, name, own, thumbnails)

    named = [
        (item.name if len(item.pictures) == 1 else f"{item.name}#{k}", body)
        for item in items
        for k, body in enumerate(item.pictures)
    ]
    rows: list[dict[str, Any]] = []
    for found in await asyncio.gather(*(asked(*one) for one in named)):
        if found is None:
            hashed.constant += 1
        elif isinstance(found, tuple):
            hashed.unreadable.append(found)
        else:
            hashed.pictures += 1
            rows += found
    return rows


def _variants(
    small: bytes, phash: str | None, name: str, own: str, thumbnails: bool
) -> list[dict[str, Any]] | None:
    """The rows of one picture; None of a near-constant one."""
    from gristmill.media.variants import hashes_of_variants, small_jpeg

    hashes = hashes_of_variants(small)
    if hashes is None:
        return None
    if phash is not None:
        hashes[""] = phash  # of the whole original, as in a crawl
    rows: list[dict[str, Any]] = [
        {"set": name, "name": own, "kind": "picture", "variant": variant, "phash": value}
        for variant, value in hashes.items()
    ]
    if thumbnails:
        rows[0]["thumbnail"] = small_jpeg(small, _THUMBNAIL_PX)
    return rows


def _questions(
    questions: dict[tuple[str, str], str], name: str, hashed: Hashed, n: int
) -> Iterator[dict[str, Any]]:
    """The rows of the questions, with the n-grams that tell them from others."""
    grams = {key: list(dict.fromkeys(grams_of(key[0], n))) for key in questions}
    common = Counter(gram for own in grams.values() for gram in own)
    for key, own in questions.items():
        telling = [gram for gram in grams[key] if common[gram] <= _COMMON]
        if telling:
            hashed.questions += 1
            yield {"set": name, "name": own, "kind": "question", "variant": "", "grams": telling}
        else:
            hashed.short += 1


def _items(place: Path, text_column: str | None) -> Iterator[EvaluationItem]:
    if place.is_file():
        yield from _of_file(place, place.name, text_column)
        return
    for path in sorted(place.rglob("*")):
        within = path.relative_to(place).as_posix()
        if path.is_file() and not any(part.startswith(".") for part in Path(within).parts):
            yield from _of_file(path, within, text_column)


def _of_file(path: Path, name: str, text_column: str | None) -> Iterator[EvaluationItem]:
    ending = path.suffix.lower()
    if ending in _PICTURES:
        yield EvaluationItem(name=name, pictures=(path,))
    elif ending in _TABLES:
        if ending == ".parquet" and is_hash_list(path):
            raise UsageError(f"{path} is a hash list already, and cannot be hashed.")
        rows = _of_tsv(path, text_column) if ending == ".tsv" else _of_parquet(path, text_column)
        for number, item in enumerate(rows):
            yield replace(item, name=f"{Path(name).stem}:{item.name or number}")


def _of_tsv(path: Path, text_column: str | None) -> Iterator[EvaluationItem]:
    csv.field_size_limit(_MOST_CELL_BYTES)
    seen: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream, delimiter="\t")
            text = _text_column(path, rows.fieldnames or (), text_column)
            for row in rows:
                name = next((row[column] for column in _NAME_COLUMNS if row.get(column)), "")
                pictures = tuple(_from_cell(row.get("image") or ""))
                about = _about(pictures) or seen.get((row.get("image") or "").strip(), "")
                seen[name] = about
                yield EvaluationItem(
                    name=name, pictures=pictures, question=(row.get(text) or "") if text else "", about=about
                )
    except (csv.Error, UnicodeDecodeError) as err:
        raise SourceError(f"{path} is no readable TSV: {err}") from err


def _from_cell(cell: str) -> Iterator[bytes]:
    """The pictures of a cell: Base64, or a list of such; none of a reference to another row."""
    for text in _BASE64.findall(cell) if len(cell) > _REFERENCE_CHARACTERS else ():
        try:
            yield base64.b64decode(text)
        except (binascii.Error, ValueError):
            yield b"no Base64"


def _about(pictures: Iterable[bytes]) -> str:
    """What tells the pictures of a question from those of others; empty where there are none."""
    return "".join(sha256(body).hexdigest()[:16] for body in pictures)


def _text_column(path: Path, names: Iterable[str], wanted: str | None) -> str | None:
    known = list(names)
    if wanted is not None and wanted not in known:
        raise UsageError(f"{path}: it has no column {wanted!r}; its columns: {', '.join(known)}")
    return wanted or next((name for name in _TEXT_COLUMNS if name in known), None)


def _of_parquet(path: Path, text_column: str | None) -> Iterator[EvaluationItem]:
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            text = _text_column(path, schema.names, text_column)
            shown = [column.name for column in schema if _holds_pictures(column.type)]
            names = [name for name in _NAME_COLUMNS if name in schema.names][:1]
            columns = dict.fromkeys([*shown, *names, *([text] if text else [])])
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=list(columns)):
                for row in batch.to_pylist():
                    pictures = tuple(body for name in shown for body in _bodies(row[name]))
                    yield EvaluationItem(
                        name=str(row[names[0]]) if names and row[names[0]] is not None else "",
                        pictures=pictures,
                        question=_plain(row[text]) if text else "",
                        about=_about(pictures),
                    )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as err:
        raise SourceError(f"{path} is no readable Parquet file: {err}") from err


def _plain(value: object) -> str:
    return value if isinstance(value, str) else ""


def _holds_pictures(kind: pa.DataType) -> bool:
    """Binary, a struct with a binary field ``bytes``, as ``datasets`` writes it, or a list of either."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _holds_pictures(kind.value_type)
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _holds_pictures(kind.field(place).type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _bodies(value: Any) -> Iterator[bytes]:
    if isinstance(value, list):
        for one in value:
            yield from _bodies(one)
    elif isinstance(value, dict):
        yield from _bodies(value.get("bytes"))
    elif isinstance(value, bytes):
        yield value
