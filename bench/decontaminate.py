"""Decontamination: the hashes of many pictures looked for among those of an evaluation set, and of none."""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from bench.figure import Figure, Options
from bench.paths import say
from gristmill.spec.sample import MediaRef, Sample
from gristmill.steps.decontaminate import Decontaminate
from gristmill.steps.hash_list import SCHEMA, write_list

PICTURES, SET_PICTURES, VARIANTS = 100_000, 20_000, 12
FOUND = 1_000
"""Of the pictures, so many are of the set, up to three bits off."""
GOAL_S = 60


def decontaminate(files: Sequence[Path], options: Options) -> list[Figure]:
    """The step over samples of one picture each, hashes made up, every one with 32 bits set as real ones have."""
    say(f"decontaminate: {PICTURES:,} pictures against {SET_PICTURES:,}, {VARIANTS} hashes each")
    rng = np.random.default_rng(1)
    known, asked = _hashes(rng, SET_PICTURES * VARIANTS), _hashes(rng, PICTURES)
    flips = np.uint64(1) << rng.integers(0, 64, (FOUND, 3), dtype=np.uint64)
    asked[:FOUND] = known[rng.permutation(len(known))[:FOUND]] ^ np.bitwise_xor.reduce(flips, axis=1)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "list.parquet"
        rows = {
            "set": ["made"] * len(known),
            "name": [str(n // VARIANTS) for n in range(len(known))],
            "kind": ["picture"] * len(known),
            "variant": [str(n % VARIANTS) for n in range(len(known))],
            "phash": [f"{value:016x}" for value in known.tolist()],
            "grams": pa.nulls(len(known), SCHEMA.field("grams").type),
            "thumbnail": pa.nulls(len(known), pa.binary()),
        }
        with path.open("wb") as stream:
            write_list(stream, [pa.table(rows, SCHEMA)], n=8)
        samples = [
            Sample(key=str(n), media={"jpg": MediaRef(phash=f"{value:016x}")})
            for n, value in enumerate(asked.tolist())
        ]
        began = time.perf_counter()
        step = Decontaminate().with_aux({"decontaminate": (path,)})
        dropped = sum(not isinstance(step.apply(sample), Sample) for sample in samples)
        took_s = time.perf_counter() - began
    if not FOUND <= dropped <= FOUND + 20:
        raise RuntimeError(f"{dropped:,} found of {FOUND:,}")
    return [
        Figure(
            name=f"decontaminate: {PICTURES:,} pictures against {SET_PICTURES:,}, one process, list read",
            value=f"{took_s:.1f} s, {dropped:,} found",
            goal=f"under {GOAL_S} s",
            raw={"took_s": took_s, "dropped": dropped},
        )
    ]


def _hashes(rng: np.random.Generator, count: int) -> np.ndarray:
    bits = np.argsort(rng.random((count, 64), np.float32), axis=1) < 32
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64).ravel()
