"""Hash lists: what is known of evaluation sets without their pictures and texts, to keep them out of training data.

A list is a Parquet file of :data:`SCHEMA`. Of each picture it holds the perceptual hash, and that of the picture as
it is usually changed (see :mod:`gristmill.steps.evaluation_sets`); of each question the hashes of its n-grams. So it
can be passed on where the sets cannot; ``thumbnail`` is null unless small pictures were asked for.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.spec.errors import SourceError

__all__ = [
    "SCHEMA",
    "HashList",
    "KnownPicture",
    "KnownText",
    "grams_of",
    "is_hash_list",
    "read_lists",
    "thumbnails_in",
    "write_list",
]

SCHEMA = pa.schema(
    [
        pa.field("set", pa.string()),  # the evaluation set's name
        pa.field("name", pa.string()),  # of the picture or the question in it
        pa.field("kind", pa.string()),  # picture, question
        pa.field("variant", pa.string()),  # of a picture: what was done to it before it was hashed
        pa.field("phash", pa.string()),  # of a picture: 16 hexadecimal digits
        pa.field("grams", pa.list_(pa.uint64())),  # of a question: its n-grams that tell it from others
        pa.field("thumbnail", pa.binary()),  # of a picture as it is: a small JPEG, or null
    ]
)
"""One row for each variant of a picture, and one for each question."""

_KEY = b"gristmill.hashes"
_VERSION = 1
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")

_BUCKET_BITS = 16
_ROWS_AT_ONCE = 1024

Hashes = npt.NDArray[np.uint64]


def grams_of(text: str, n: int) -> list[int]:
    """Hashes of a text's n-grams of words, 64 bits each, in order; none of a text of fewer words.

    Case, punctuation, blanks and Unicode's forms of one character (NFKC) make no difference. A character of Chinese,
    Japanese or Korean is a word.
    """
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return [_hash(" ".join(words[i : i + n])) for i in range(len(words) - n + 1)]


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def write_list(stream: BinaryIO, tables: Iterable[pa.Table], *, n: int) -> None:
    """Write a hash list; the same rows give the same bytes.

    Args:
        stream: Where to.
        tables: Of :data:`SCHEMA`.
        n: Words of an n-gram.
    """
    head = {_KEY: json.dumps({"version": _VERSION, "n": n}).encode()}
    with pq.ParquetWriter(stream, SCHEMA.with_metadata(head), compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)


def is_hash_list(path: Path) -> bool:
    """Say whether a file is a hash list."""
    return _head(path) is not None


def _head(path: Path) -> dict[str, Any] | None:
    try:
        found = (pq.read_schema(path).metadata or {}).get(_KEY)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return json.loads(found) if found is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPicture:
    """A picture of an evaluation set that another one is like.

    Attributes:
        bits: In which their perceptual hashes differ.
        variant: What was done to the set's picture before it was hashed; empty for nothing.
    """

    set: str
    name: str
    variant: str
    bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownText:
    """A question of an evaluation set that is found in a text; ``share`` of its n-grams are, 0 to 1."""

    set: str
    name: str
    share: float


class Banded:
    """Hashes in bands, to find the nearest of them to one: only those that are equal to it in a band are compared.

    Two hashes of 64 bits that differ in at most n bits are equal in one of n + 1 bands.

    Args:
        hashes: Shape (n,).
        bits: The most that may differ.
    """

    def __init__(self, hashes: Hashes, bits: int) -> None:
        self.bits = bits
        edges = [round(i * 64 / (bits + 1)) for i in range(bits + 2)]
        self._bands = []
        for low, high in pairwise(edges):
            width = high - low
            keys = ((hashes >> np.uint64(low)) & np.uint64((1 << width) - 1)).astype(np.int64)
            order = np.argsort(keys, kind="stable")
            narrow = min(width, _BUCKET_BITS)  # of a wide band, the upper bits
            starts = np.searchsorted(keys[order] >> (width - narrow), np.arange((1 << narrow) + 1))
            self._bands.append((high - narrow, (1 << narrow) - 1, hashes[order], order, starts.tolist()))

    def find(self, value: int) -> tuple[int, int] | None:
        """Position and distance of the nearest, of equally near ones the first; None if none is near enough."""
        hopeful, places = [], []
        for low, mask, hashes, order, starts in self._bands:
            bucket = value >> low & mask
            first, last = starts[bucket], starts[bucket + 1]
            hopeful.append(hashes[first:last])
            places.append((order, first, last))
        distances = np.bitwise_count(np.concatenate(hopeful) ^ np.uint64(value))
        least = int(distances.min()) if len(distances) else self.bits + 1
        if least > self.bits:
            return None
        at = np.concatenate([order[first:last] for order, first, last in places])
        return int(at[distances == least].min()), least


class HashList:
    """One or several hash lists, to be asked.

    Args:
        table: Of :data:`SCHEMA`.
        n: Words of an n-gram.
    """

    def __init__(self, table: pa.Table, n: int) -> None:
        self.n = n
        pictures = table.filter(pa.compute.equal(table["kind"], "picture"))
        questions = table.filter(pa.compute.equal(table["kind"], "question"))
        self._pictures = pictures.select(["set", "name", "variant"]).combine_chunks()
        self._questions = questions.select(["set", "name"]).combine_chunks()
        self._hashes = np.array([int(text, 16) for text in pictures["phash"].to_pylist()], np.uint64)
        self._banded: Banded | None = None
        grams = questions["grams"].combine_chunks()
        sizes = np.diff(grams.offsets.to_numpy()) if len(grams) else np.zeros(0, np.int64)
        values = np.asarray(grams.flatten().to_numpy(), np.uint64) if len(grams) else np.zeros(0, np.uint64)
        owners = np.repeat(np.arange(len(sizes)), sizes)
        order = np.argsort(values, kind="stable")
        self._grams, self._owners, self._sizes = values[order], owners[order], sizes

    @property
    def pictures(self) -> int:
        """The number of hashes of pictures."""
        return len(self._hashes)

    @property
    def questions(self) -> int:
        """The number of questions."""
        return len(self._sizes)

    def picture(self, phash: str, bits: int) -> KnownPicture | None:
        """The nearest picture within ``bits``, of equally near ones the first; None if none is."""
        found = self._near(bits).find(int(phash, 16))
        if found is None:
            return None
        place, distance = found
        return KnownPicture(**self._pictures.slice(place, 1).to_pylist()[0], bits=distance)

    def _near(self, bits: int) -> Banded:
        if self._banded is None or self._banded.bits != bits:
            self._banded = Banded(self._hashes, bits)
        return self._banded

    def text(self, texts: Sequence[str], share: float) -> KnownText | None:
        """The question of which the largest share of n-grams is in these texts, at least ``share``; None if none."""
        if not len(self._grams):
            return None
        asked = np.unique(np.array([gram for text in texts for gram in grams_of(text, self.n)], np.uint64))
        first = np.searchsorted(self._grams, asked)
        last = np.searchsorted(self._grams, asked, side="right")
        owners = [self._owners[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True) if b > a]
        if not owners:
            return None
        found, counts = np.unique(np.concatenate(owners), return_counts=True)
        shares = counts / self._sizes[found]
        place = int(shares.argmax())
        if shares[place] < share:
            return None
        question = self._questions.slice(int(found[place]), 1).to_pylist()[0]
        return KnownText(**question, share=float(shares[place]))


def thumbnails_in(paths: Sequence[Path], wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
    """Small JPEGs of some pictures, by their set and name; without those that have none.

    Args:
        paths: Hash lists.
        wanted: Sets and names.

    Raises:
        SourceError: A list cannot be read.
    """
    found: dict[tuple[str, str], bytes] = {}
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(_ROWS_AT_ONCE, columns=["set", "name", "thumbnail"]):
                    some = batch.filter(pa.compute.is_valid(batch["thumbnail"]))
                    keys = zip(some["set"].to_pylist(), some["name"].to_pylist(), strict=True)
                    for place, key in enumerate(keys):
                        if key in wanted:
                            found.setdefault(key, some["thumbnail"][place].as_py())
        except (pa.ArrowException, KeyError) as err:
            raise SourceError(f"{path} is no readable hash list: {err}") from err
    return found


def read_lists(paths: Sequence[Path]) -> HashList:
    """Hash lists as one; a worker reads them once.

    Raises:
        SourceError: One is no hash list, or is of another version, or they are of n-grams of different length.
    """
    return _read(tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths))


@lru_cache(maxsize=2)
def _read(files: tuple[tuple[str, int, int], ...]) -> HashList:
    tables, lengths = [], set()
    for path, _, _ in files:
        head = _head(Path(path))
        if head is None or head.get("version") != _VERSION:
            raise SourceError(
                f"{path} is no hash list of this version of Gristmill. Make one of the evaluation set: "
                f"gristmill hashes SET --out LIST.parquet"
            )
        tables.append(pq.read_table(path, columns=[name for name in SCHEMA.names if name != "thumbnail"]))
        lengths.add(int(head["n"]))
    if len(lengths) != 1:
        raise SourceError(
            f"hash lists of n-grams of {', '.join(map(str, sorted(lengths))) or 'no'} words cannot be one: make them "
            "anew with one --ngram."
        )
    return HashList(pa.concat_tables(table.replace_schema_metadata(None) for table in tables), lengths.pop())
