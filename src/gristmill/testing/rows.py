"""Made-up annotation rows whose addresses lead to the made-up web.

`coyo_rows` has the columns of COYO-700M. Nine in ten rows lead to photographs; the rest to dead links and to
every fault that a crawl of thousands can stand. Everything follows from the seed and the row's number, so the
same call gives the same rows; pictures apart, a million rows take a second or two.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.spec.reasons import Reason
from gristmill.testing.faults import FAULTS
from gristmill.testing.pictures import Pictures, mix, shipped_photographs
from gristmill.testing.web import FakeWeb

__all__ = ["COYO_SCHEMA", "ODD_URLS", "coyo_rows", "write_coyo"]

COYO_SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("url", pa.string()),
        ("text", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("image_phash", pa.string()),
        ("text_length", pa.int64()),
        ("word_count", pa.int64()),
        ("num_tokens_bert", pa.int64()),
        ("num_tokens_gpt", pa.int64()),
        ("num_faces", pa.int64()),
        ("clip_similarity_vitb32", pa.float64()),
        ("clip_similarity_vitl14", pa.float64()),
        ("nsfw_score_opennsfw2", pa.float64()),
        ("nsfw_score_gantman", pa.float64()),
        ("watermark_score", pa.float64()),
        ("aesthetic_score_laion_v2", pa.float64()),
    ]
)
"""Columns as COYO-700M's card lists them, in its order."""

ODD_URLS: dict[str, Reason] = {
    "ftp://127.0.0.1/a.jpg": Reason.BAD_SCHEME,
    "file:///etc/hostname": Reason.BAD_SCHEME,
    "data:image/gif;base64,R0lGODlhAQABAAAAACw=": Reason.BAD_SCHEME,
    "http://": Reason.BAD_URL,
    "http://[::1/a.jpg": Reason.BAD_URL,
}
"""Addresses in a list that lead nowhere at all, and why."""

_PHOTOGRAPHS = 0.88  # share of rows
_DEAD = {  # shares of what is no photograph
    "404": 0.42,
    "410": 0.08,
    "403": 0.08,
    "html": 0.05,
    "placeholder": 0.12,
}
_PLACEHOLDER_HOSTS = (1, 4)  # that answer with a picture for what they have no more
_HOST_WIDE_ROWS = 4  # of each fault that slows a whole host down; they share the last host
_OTHER_FORMATS = {"png": 0.01, "webp": 0.03, "gif": 0.004}  # shares of photographs
_REPEATED = 0.06  # share of photograph rows whose picture an earlier row had, under another text
_RIGHT_PHASH, _OTHER_PHASH = 0.75, 0.15  # of photograph rows; the rest have a random one
_STRANGE_HASHES = 4096  # that belong to no picture
_WRONG_SIZE = 0.03
_ROWS_IN_A_PARTITION = 1000
_PARTITION_SHIFT = 33  # Spark's monotonically_increasing_id
_PARTITIONS_IN_A_FILE = 1 << 13
_CLIP_MEANS, _CLIP_STD, _CLIP_CORRELATION = (0.291266, 0.254632), 0.042, 0.7
_PART_NAME = "part-{:05d}-17da4908-939c-46e5-91d0-15f256041956-c000.snappy.parquet"

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_BEFORE = (
    "a photo of a",
    "the",
    "close-up of a",
    "beautiful",
    "stock image:",
    "my favourite",
    "vintage print,",
)
_AFTER = (
    "in the morning light",
    "| free wallpaper",
    "seen on our last trip",
    "- high resolution",
    "by the river, summer 2019",
    "for sale, very good condition",
    "(detail)",
    "at the national park",
    "and what to know about it before you go there for the first time",
    "– un très bel été",
    "#photooftheday",
    "IMG_2041.JPG",
)


def coyo_rows(
    web: FakeWeb, count: int, seed: int = 0, *, first_row: int = 0, file_number: int = 0
) -> pa.Table:
    """Rows with COYO-700M's columns, `COYO_SCHEMA`.

    Args:
        web: where the addresses lead; its port is part of them, so fix it where rows must not change.
        count: how many rows.
        seed: another one gives other rows.
        first_row: number of the first row; different ranges have different pictures.
        file_number: what keeps the ids of several files apart.
    """
    rng = np.random.default_rng([seed, first_row])
    numbers = _picture_numbers(rng, count, first_row, seed)
    variants = web.pictures.variants(numbers.astype(np.uint64))
    urls = _urls(rng, web, numbers)
    columns = {"id": _spark_ids(count, file_number), "url": urls}
    columns |= _texts(rng, variants // (web.pictures.count // len(shipped_photographs())))
    columns |= _sizes_and_hashes(rng, web.pictures, variants)
    columns |= _scores(rng, count)
    return pa.table({name: columns[name] for name in COYO_SCHEMA.names}, schema=COYO_SCHEMA)


def write_coyo(folder: Path, web: FakeWeb, *, files: int = 2, rows: int = 3000, seed: int = 0) -> list[Path]:
    """Write ``data/part-*.parquet`` as COYO-700M names its files, ``rows`` in each, beside an empty ``_SUCCESS``.

    Returns:
        The annotation files, sorted.
    """
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    (data / "_SUCCESS").touch()
    paths = [data / _PART_NAME.format(number) for number in range(files)]
    for number, path in enumerate(paths):
        table = coyo_rows(web, rows, seed, first_row=number * rows, file_number=number)
        pq.write_table(table, path, compression="snappy", row_group_size=max(1000, rows // 4))
    return paths


def _picture_numbers(rng: np.random.Generator, count: int, first_row: int, seed: int) -> Ints:
    """One picture for each row, some rows showing that of an earlier row."""
    rows = np.arange(count)
    earlier = (rng.random(count) * rows).astype(np.int64)
    repeated = np.where(rng.random(count) < _REPEATED, earlier, rows)
    shown: Ints = np.where(
        repeated[repeated] == repeated, repeated, rows
    )  # of a row that is no repeat itself
    return shown + first_row + (seed << 40)


# addresses


def _urls(rng: np.random.Generator, web: FakeWeb, numbers: Ints) -> pa.Array:
    """A photograph's address depends on its number only, so that repeated pictures have equal addresses."""
    scattered = mix(numbers.astype(np.uint64) ^ np.uint64(0x5BD1E995))
    usual = max(1, len(web.addresses) - 1)  # the last host is for faults that make a crawler slow down
    host = (scattered % np.uint64(usual)).astype(np.int64)
    kind = _draw((scattered >> np.uint64(20)) / np.float64(1 << 44), [*_OTHER_FORMATS.values()])
    suffixes = pa.array([*(f".{name}" for name in _OTHER_FORMATS), ".jpg"]).take(pa.array(kind))
    origins = pa.array([web.url("", address) for address in range(usual)]).take(pa.array(host))
    text = pc.cast(pa.array(numbers), pa.string())
    photographs = pc.binary_join_element_wise(origins, "/photo/", text, suffixes, "")
    is_photograph = rng.random(len(numbers)) < _PHOTOGRAPHS
    others = _other_urls(rng, web, np.flatnonzero(~is_photograph), origins, text)
    return pc.replace_with_mask(photographs, pa.array(~is_photograph), others)


def _other_urls(
    rng: np.random.Generator, web: FakeWeb, rows: Ints, origins: pa.Array, text: pa.Array
) -> pa.Array:
    """Addresses of the rows that lead to no plain photograph."""
    quick = [name for name, fault in FAULTS.items() if fault.quick and name not in _DEAD]
    names = [*_DEAD, *quick]
    drawn = _draw(
        rng.random(len(rows)), [*_DEAD.values(), *([(1 - sum(_DEAD.values())) / len(quick)] * len(quick))]
    )
    drawn = np.minimum(drawn, len(names) - 1)
    faults = pa.array([f"/fault/{name}/" for name in names]).take(pa.array(drawn))
    at = pa.array(rows)
    politely = pa.array([web.url("", host) for host in _PLACEHOLDER_HOSTS]).take(pa.array(rows % 2))
    with_picture = pa.array(drawn == names.index("placeholder"))
    hosts = pc.replace_with_mask(origins.take(at), with_picture, politely.filter(with_picture))
    urls = pc.binary_join_element_wise(hosts, faults, text.take(at), "")
    special = _special_urls(web)
    places = np.unique(
        np.linspace(0, max(0, len(rows) - 1), min(len(special), len(rows) // 4)).astype(np.int64)
    )
    mask = np.zeros(len(rows), bool)
    mask[places] = True
    return pc.replace_with_mask(urls, pa.array(mask), pa.array(special[: len(places)], pa.string()))


def _special_urls(web: FakeWeb) -> list[str]:
    """Those of which a list holds only a few: odd ones, a closed port, faults that slow a host down."""
    host_wide = [name for name, fault in FAULTS.items() if fault.host_wide and None in fault.reasons]
    slowing = [web.url(f"/fault/{name}/{n}", -1) for n in range(_HOST_WIDE_ROWS) for name in host_wide]
    return [*ODD_URLS, f"http://127.0.0.1:{_closed_port(web)}/a.jpg", *slowing]


def _closed_port(web: FakeWeb) -> int:
    return 1 if web.port != 1 else 2


# what is said about the pictures


def _texts(rng: np.random.Generator, subjects: Ints) -> dict[str, pa.Array]:
    """Alt texts that name what is to be seen, with their counts."""
    before = pa.array(_BEFORE).take(pa.array(rng.integers(0, len(_BEFORE), len(subjects))))
    after = pa.array(_AFTER).take(pa.array(rng.integers(0, len(_AFTER), len(subjects))))
    text = pc.binary_join_element_wise(before, _subject_names().take(pa.array(subjects)), after, " ")
    words = pc.add(pc.count_substring(text, " "), 1).to_numpy().astype(np.int64)
    return {
        "text": text,
        "text_length": pc.cast(pc.utf8_length(text), pa.int64()),
        "word_count": pa.array(words),
        "num_tokens_bert": pa.array(words + rng.binomial(words, 0.3)),
        "num_tokens_gpt": pa.array(words + rng.binomial(words, 0.4)),
    }


@functools.cache
def _subject_names() -> pa.Array:
    return pa.array([name.replace("_", " ") for name, _ in shipped_photographs()])


def _sizes_and_hashes(rng: np.random.Generator, pictures: Pictures, variants: Ints) -> dict[str, pa.Array]:
    """Size and hash of the picture itself for most rows; of another, or of none, for some."""
    distinct, place = np.unique(variants, return_inverse=True)
    facts = [pictures.variant(int(variant)) for variant in distinct]
    other = rng.permutation(place)
    strange = len(facts) + rng.integers(0, _STRANGE_HASHES, len(variants))
    hashes = [fact.phash for fact in facts]
    hashes += [f"{bits:016x}" for bits in rng.integers(0, 2**64, _STRANGE_HASHES, np.uint64)]
    source = _draw(rng.random(len(variants)), [_RIGHT_PHASH, _OTHER_PHASH])
    sized = pa.array(np.where(rng.random(len(variants)) < _WRONG_SIZE, other, place))
    return {
        "width": pa.array([fact.width for fact in facts], pa.int64()).take(sized),
        "height": pa.array([fact.height for fact in facts], pa.int64()).take(sized),
        "image_phash": pa.array(hashes).take(pa.array(np.choose(source, [place, other, strange]))),
    }


def _scores(rng: np.random.Generator, count: int) -> dict[str, pa.Array]:
    """Scores with the published means; some 24 % of the rows have a CLIP sum above 0.6."""
    common, *own = rng.standard_normal((3, count))
    shared, rest = np.sqrt(_CLIP_CORRELATION), np.sqrt(1 - _CLIP_CORRELATION)
    clip = [
        mean + _CLIP_STD * (shared * common + rest * noise)
        for mean, noise in zip(_CLIP_MEANS, own, strict=True)
    ]
    return {
        "num_faces": pa.array(rng.poisson(0.15, count)),
        "clip_similarity_vitb32": _halves(clip[0]),  # CLIP was run in half precision
        "clip_similarity_vitl14": _halves(clip[1]),
        "nsfw_score_opennsfw2": _singles(rng.beta(0.3, 12, count)),
        "nsfw_score_gantman": _singles(rng.beta(0.4, 12, count)),
        "watermark_score": _singles(rng.beta(0.8, 4, count)),
        "aesthetic_score_laion_v2": _singles(rng.normal(4.9, 0.6, count)),
    }


def _halves(values: Floats) -> pa.Array:
    return pa.array(values.astype(np.float16).astype(np.float64))


def _singles(values: Floats) -> pa.Array:
    return pa.array(values.astype(np.float32).astype(np.float64))


def _spark_ids(count: int, file_number: int) -> pa.Array:
    """Unique, ascending, not consecutive: partition in the high bits, row of the partition in the low ones."""
    rows = np.arange(count)
    partition = file_number * _PARTITIONS_IN_A_FILE + rows // _ROWS_IN_A_PARTITION
    return pa.array((partition << _PARTITION_SHIFT) + rows % _ROWS_IN_A_PARTITION)


def _draw(chances: Floats, shares: Sequence[float]) -> Ints:
    """Which of the shares each number from 0 to 1 falls into; those beyond their sum get the next index."""
    drawn: Ints = np.searchsorted(np.cumsum(shares), chances, side="right")
    return drawn
