"""Selecting from a COYO-like annotation file: 5.8 million rows, all of its columns, about 1 GB, as Spark writes it.

``python -m bench.select_rows FILE OUT`` does the tool's first task once, parts and fates written, in a process of its
own: what is measured.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.measure import Measurement, measured
from bench.paths import WORK, say

ROWS = 5_800_000
# Spark cuts row groups at 128 MB as it holds them in memory.
ROW_GROUP_ROWS = 700_000
SEED = 11
REVISION = 3


def annotation_file() -> Path:
    """The annotation file, written once (about a minute)."""
    path = WORK / f"annotations-{ROWS}-r{REVISION}.snappy.parquet"
    if not path.exists():
        say(f"select: writing {ROWS:,} rows to {path.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(SEED)
        pools = _make_pools(rng)
        part, writer = path.with_suffix(".part"), None
        for start in range(0, ROWS, ROW_GROUP_ROWS):
            table = _rows(rng, pools, start, min(ROW_GROUP_ROWS, ROWS - start))
            # Spark writes format 1.0 with pages of 1 MB, snappy, dictionaries where they pay.
            writer = writer or pq.ParquetWriter(part, table.schema, compression="snappy", version="1.0")
            writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        if writer is not None:
            writer.close()
        part.rename(path)
    return path


def select() -> Measurement:
    """Time and memory of one selection, the start of the process and its imports included."""
    path = annotation_file()
    with path.open("rb") as file:  # into the page cache: the figure is about the step, not about the disk
        while file.read(1 << 24):
            pass
    out = WORK / "out" / "select"
    shutil.rmtree(out, ignore_errors=True)
    # in the environment that the tool gives its workers
    worker = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    command = [sys.executable, "-m", "bench.select_rows", str(path), str(out)]
    cost = measured(command, env={**os.environ, **worker})
    shutil.rmtree(out)
    return cost


def run_select(path: Path, out: Path) -> None:
    """The first task of recipe coyo-700m at its published settings: select, write the parts and all fates."""
    from gristmill.ledger.run_config import InputFile
    from gristmill.recipes import coyo_700m
    from gristmill.run.stages._rows import run_rows
    from gristmill.run.stages.rows import Rows
    from gristmill.run.state.context import Context, Work
    from gristmill.spec.task import ShardInfo, Task
    from gristmill.steps.select import SelectTop
    from gristmill.storage.arrow import without_pandas
    from gristmill.storage.store import store_at

    without_pandas()  # as a worker does
    step = SelectTop(score=("clip_similarity_vitb32", "clip_similarity_vitl14"), floor=0.6, share=0.2)
    size_bytes, digest = path.stat().st_size, "0" * 64
    source = InputFile(
        source="annotations", name=path.name, size_bytes=size_bytes, digest=digest, path=str(path)
    )
    shard = ShardInfo(path=path.name, role="source", samples=0, size_bytes=size_bytes, digest=digest)
    task = Task(stage=Rows.name, number=(0, 0, 0), inputs=(shard,), identity="bench")
    work = Work()
    run_rows(
        step, coyo_700m.RECIPE, task, None, Context(store=store_at(out), inputs=(source,), remotes={}), work
    )
    if work.kept != int(0.2 * ROWS) or work.samples_in != ROWS:
        raise RuntimeError(f"select: {work.samples_in:,} rows in and {work.kept:,} kept of {ROWS:,}")


def _rows(rng: np.random.Generator, pools: Pools, start: int, count: int) -> pa.Table:
    """``count`` rows with COYO's columns; means of the scores as published, a fifth and more above 0.6 in sum."""
    width = rng.integers(200, 2_000, count, dtype=np.int32)
    vitb32 = rng.normal(0.291266, 0.038, count)
    vitl14 = 0.254632 + 0.75 * (vitb32 - 0.291266) + rng.normal(0, 0.026, count)
    text, words = _texts(rng, pools, count)
    partition = (np.arange(start, start + count) // 6_700) << 33
    columns = {
        "id": partition + np.arange(start, start + count) % 6_700,
        "url": _urls(rng, pools, count),
        "text": text,
        "width": width,
        "height": (width * rng.choice([0.56, 0.67, 0.75, 1.0, 1.33], count)).astype(np.int32),
        "image_phash": _hexadecimal(rng, count),
        "text_length": pc.cast(pc.utf8_length(text), pa.int32()),
        "word_count": words,
        "num_tokens_bert": (words * 1.3).astype(np.int32),
        "num_tokens_gpt": (words * 1.4).astype(np.int32),
        "num_faces": rng.poisson(0.4, count).astype(np.int32),
        "clip_similarity_vitb32": vitb32.astype(np.float32),
        "clip_similarity_vitl14": vitl14.astype(np.float32),
        "nsfw_score_opennsfw2": rng.beta(0.5, 12, count).astype(np.float32),
        "nsfw_score_gantman": rng.beta(0.5, 10, count).astype(np.float32),
        "watermark_score": rng.beta(0.6, 2, count).astype(np.float32),
        "aesthetic_score_laion_v2": rng.normal(4.7, 0.6, count).astype(np.float32),
    }
    return pa.table(columns)


def _hexadecimal(rng: np.random.Generator, count: int) -> pa.Array:
    """16 hexadecimal characters a row."""
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    return _fixed_width(digits[rng.integers(0, 16, (count, 16), dtype=np.uint8)])


def _fixed_width(characters: npt.NDArray[np.uint8]) -> pa.Array:
    """Strings from rows of ASCII characters, shape (rows, length)."""
    rows, length = characters.shape
    offsets = np.arange(0, (rows + 1) * length, length, dtype=np.int32)
    return pa.StringArray.from_buffers(
        rows, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(characters))
    )


def _pick(rng: np.random.Generator, pool: pa.Array, count: int) -> pa.Array:
    return pool.take(pa.array(rng.integers(0, len(pool), count, dtype=np.int32)))


@dataclass(frozen=True, kw_only=True)
class Pools:
    """Strings that URLs and texts are put together from; ``phrase_words`` counts the words of each phrase."""

    hosts: pa.Array
    folders: pa.Array
    slugs: pa.Array
    phrases: pa.Array
    phrase_words: npt.NDArray[np.int32]


def _make_pools(rng: np.random.Generator) -> Pools:
    words = np.array(_names(rng, 8_000, 2, 9))
    phrase_words = rng.integers(1, 6, 60_000, dtype=np.int32)
    folders = _names(rng, 5_000, 6, 12)
    picks = np.split(words[rng.integers(0, len(words), phrase_words.sum())], np.cumsum(phrase_words)[:-1])
    return Pools(
        hosts=pa.array([f"https://{name}.example/" for name in _names(rng, 20_000, 8, 22)]),
        folders=pa.array([f"media/{2005 + n % 15}/{n % 12:02d}/{name}" for n, name in enumerate(folders)]),
        slugs=pa.array(_names(rng, 20_000, 10, 26)),
        phrases=pa.array([" ".join(pick) for pick in picks]),
        phrase_words=phrase_words,
    )


def _names(rng: np.random.Generator, count: int, low: int, high: int) -> list[str]:
    """Strings of ``low`` to ``high`` letters."""
    letters = np.frombuffer(b"aeiou" * 4 + b"bcdfghklmnprstvw" * 2, np.uint8)
    lengths = rng.integers(low, high + 1, count)
    text = letters[rng.integers(0, len(letters), lengths.sum())].tobytes().decode()
    ends = np.cumsum(lengths)
    return [text[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def _urls(rng: np.random.Generator, pools: Pools, count: int) -> pa.Array:
    """About 90 characters: a host, a folder, a slug, and digits that occur once."""
    digits = np.frombuffer(b"0123456789", np.uint8)
    number = _fixed_width(digits[rng.integers(0, 10, (count, 11), dtype=np.uint8)])
    host, folder, slug = (_pick(rng, pool, count) for pool in (pools.hosts, pools.folders, pools.slugs))
    return pc.binary_join_element_wise(host, folder, "/", slug, "-", number, ".jpg", "")


def _texts(rng: np.random.Generator, pools: Pools, count: int) -> tuple[pa.Array, npt.NDArray[np.int32]]:
    """About 60 characters in three phrases, and the number of words of each row."""
    picks = [rng.integers(0, len(pools.phrases), count) for _ in range(3)]
    texts = pc.binary_join_element_wise(*(pools.phrases.take(pa.array(pick)) for pick in picks), " ")
    return texts, np.sum([pools.phrase_words[pick] for pick in picks], axis=0, dtype=np.int32)


if __name__ == "__main__":
    run_select(Path(sys.argv[1]), Path(sys.argv[2]))
