"""Evenly spaced rows out of a set in FLAN's layout: 5 million rows in 40 files, 795 and 147 characters on average.

The text is made of invented words whose frequencies fall as in English, so that it packs about as real text does.
``python -m bench.flan`` writes the sets; the figures are in :mod:`bench.figures`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure import Measurement, measured
from bench.paths import WORK, say

CODECS = ("zstd", "snappy")
FILES = 40
FOLDERS = ("cot_fsopt_data", "flan_zsopt_data", "niv2_zsopt_data", "t0_fsopt_data")
ROWS_A_FILE = 125_000  # one row group, as dask wrote FLAN's files
QUESTION_CHARS, ANSWER_CHARS = 795, 147
LENGTH_SIGMA = 0.8
POOL_BYTES = 256 << 20
SAMPLE = 13_000
SEED = 7
REVISION = 1


def flan_set(codec: str, files: int = FILES) -> Path:
    """A folder with that many files of 125,000 rows, written once."""
    folder = WORK / f"flan-r{REVISION}-{codec}-{files}"
    if files > FILES:
        return _linked(folder, flan_set(codec), files)
    if not folder.exists():
        say(f"flan: writing {files * ROWS_A_FILE:,} rows, {codec}")
        making = folder.with_suffix(".part")
        shutil.rmtree(making, ignore_errors=True)
        pool = _text_pool(np.random.default_rng(SEED))
        for name in FOLDERS:
            (making / name).mkdir(parents=True)
        with ThreadPoolExecutor(2) as writers:  # a table at a time each
            list(writers.map(lambda number: _write(making, pool, number, codec), range(files)))
        making.rename(folder)
    return folder


def _linked(folder: Path, written: Path, files: int) -> Path:
    """A longer set out of the files of the written one, each under several names."""
    if not folder.exists():
        making = folder.with_suffix(".part")
        shutil.rmtree(making, ignore_errors=True)
        paths = list(_files(written))
        for number in range(files):
            path = paths[number % len(paths)]
            target = making / path.parent.name / f"part.{number}.parquet"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(path)
        making.rename(folder)
    return folder


def _write(folder: Path, pool: Any, number: int, codec: str) -> None:
    rng = np.random.default_rng([SEED, number])
    columns = {
        "inputs": _texts(rng, pool, QUESTION_CHARS),
        "targets": _texts(rng, pool, ANSWER_CHARS),
        "_template_idx": pa.array(rng.integers(0, 10, ROWS_A_FILE)),
        "_task_name": pa.array([f"task{n}" for n in range(50)]).take(
            pa.array(rng.integers(0, 50, ROWS_A_FILE))
        ),
    }
    path = folder / FOLDERS[number % len(FOLDERS)] / f"part.{number // len(FOLDERS)}.parquet"
    pq.write_table(pa.table(columns), path, compression=codec)


def _text_pool(rng: np.random.Generator) -> Any:
    """Running text of invented words, as one buffer."""
    letters = np.frombuffer(b"etaoinshrdlucmfwypvbgkjqxz", np.uint8)
    sizes = np.clip(rng.poisson(4.2, 30_000), 1, 14)
    words = [bytes(letters[np.minimum(rng.geometric(0.11, size) - 1, 25)]) + b" " for size in sizes]
    shares = 1 / np.arange(3, len(words) + 3)
    drawn = np.searchsorted(np.cumsum(shares) / shares.sum(), rng.random(POOL_BYTES // 5))
    return pa.array(words, pa.binary()).take(pa.array(drawn)).buffers()[2]


def _texts(rng: np.random.Generator, pool: Any, mean_chars: int) -> pa.Array:
    """Texts cut out of the pool one after another from a random place, with log-normal lengths."""
    middle = np.log(mean_chars) - LENGTH_SIGMA**2 / 2
    lengths = np.maximum(1, rng.lognormal(middle, LENGTH_SIGMA, ROWS_A_FILE)).astype(np.int64)
    offsets: npt.NDArray[np.int64] = np.concatenate([[0], np.cumsum(lengths)])
    start = int(rng.integers(0, pool.size - offsets[-1]))
    return pa.StringArray.from_buffers(
        ROWS_A_FILE, pa.py_buffer(offsets.astype(np.int32)), pool.slice(start, int(offsets[-1]))
    )


def ours(folder: Path, size: int, *, to_step: str | None = None, workers: int = 2) -> Measurement:
    """``gristmill run text-flan`` over a folder, start-up included: to finished shards, or to the chosen rows."""
    _into_page_cache(folder)
    out = WORK / "out" / "flan"
    shutil.rmtree(out, ignore_errors=True)
    program = str(Path(sys.executable).with_name("gristmill"))
    command = [program, "run", "text-flan", "--out", str(out), "--source", f"annotations={folder}"]
    command += ["--set", f"sample.size={size}", "--workers", str(workers)]
    return measured(command + (["--to", to_step] if to_step else []))


def baseline(folder: Path, size: int) -> Measurement:
    """The published way: everything into lists."""
    _into_page_cache(folder)
    out = WORK / "out" / "flan-baseline.pkl"
    out.parent.mkdir(parents=True, exist_ok=True)
    return measured([sys.executable, "-m", "bench.flan_baseline", str(folder), str(size), str(out)])


def _into_page_cache(folder: Path) -> None:
    """The figures are about the tool, not about the disk."""
    for path in _files(folder):
        with path.open("rb") as stream:
            while stream.read(1 << 24):
                pass


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.rglob("*.parquet"))


if __name__ == "__main__":
    for codec in CODECS:
        flan_set(codec)
