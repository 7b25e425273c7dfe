"""Made-up instructions in the layout of Open-Orca/FLAN: folders ``*_data`` of ``part.N.parquet``, and decoys.

Among the rows are those that a preparer must not stumble over: empty and very long texts, NUL, literal
``<image>``, nulls. Everything follows from the seed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["FLAN_FOLDERS", "flan_rows", "write_flan"]

FLAN_FOLDERS: Mapping[str, int] = {"cot_fsopt_data": 1, "flan_zsopt_data": 12, "t0_fsnoopt_data": 3}
"""Folders, and the files in each: enough for ``part.10`` to come before ``part.2``."""

_TASKS = (
    ("Translate to French: {}", "Voici : {}"),
    ("Q: Is it true that {}?\nOPTIONS:\n- yes\n- no\nA:", "no"),
    ("Summarize: {}. {}. {}.", "{}"),
    ("Premise: {}\nHypothesis: {}\nDoes the premise entail the hypothesis?", "it is not possible to tell"),
    ("Solve step by step: what follows from {}?", "First, {}. Then, {}. The answer is 7."),
)
_SUBJECTS = (
    "the brick",
    "a feather",
    "my neighbour",
    "the old river",
    "every second train",
    "a cat – un chat",
)
_VERBS = ("is heavier than", "waits for", "was painted before", "cannot be told from", "sings about")
_ODD: tuple[tuple[str | None, str | None], ...] = (
    ("", "an answer to nothing"),
    ("A question without an answer?", " \n"),
    ("What does <image> mean in a web page?", "It is where an <image> is put."),
    ("NUL \0 in the middle", "yes"),
    (None, "no question at all"),
    ("Repeat the letter.", "a" * 70_000),
)
_ODD_EVERY = 37


def flan_rows(count: int, *, first: int = 0, seed: int = 0) -> pa.Table:
    """Rows with FLAN's columns; every 37th is an odd one.

    Args:
        count: How many.
        first: Number of the first; other numbers give other rows.
        seed: Another one gives other rows.
    """
    rng = np.random.default_rng([seed, first])
    pairs = [
        _ODD[n // _ODD_EVERY % len(_ODD)] if n % _ODD_EVERY == _ODD_EVERY - 1 else _pair(rng, n)
        for n in range(first, first + count)
    ]
    return pa.table(
        {
            "inputs": pa.array([question for question, _ in pairs], pa.string()),
            "targets": pa.array([answer for _, answer in pairs], pa.string()),
            "_template_idx": pa.array(rng.integers(0, 10, count)),
            "_task_name": pa.array([f"made_up_task_{n % 11}" for n in range(count)]),
        }
    )


def _pair(rng: np.random.Generator, number: int) -> tuple[str, str]:
    question, answer = _TASKS[int(rng.integers(len(_TASKS)))]
    facts = [
        f"{_SUBJECTS[int(rng.integers(len(_SUBJECTS)))]} {_VERBS[int(rng.integers(len(_VERBS)))]} "
        f"{_SUBJECTS[int(rng.integers(len(_SUBJECTS)))]}"
        for _ in range(3)
    ]
    return f"[{number}] {question.format(*facts)}", answer.format(*facts)


def write_flan(folder: Path, *, rows: int = 6000, seed: int = 0) -> list[Path]:
    """Write all folders, ``rows`` in all, in several row groups a file; beside them the JSON that is not to be read.

    Returns:
        The annotation files, in the order of their names as text.
    """
    files = [(name, n) for name, count in FLAN_FOLDERS.items() for n in range(count)]
    first, paths = 0, []
    for number, (name, n) in enumerate(files):
        count = rows * (number + 1) // len(files) - rows * number // len(files)
        path = folder / name / f"part.{n}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        compression = ("snappy", "zstd")[number % 2]
        table = flan_rows(count, first=first, seed=seed)
        pq.write_table(table, path, compression=compression, row_group_size=max(1, count // 4))
        paths.append(path)
        first += count
    decoy = {"inputs": "not to be read", "targets": "never"}
    (folder / "cot_zs_submix_data.json").write_text(json.dumps([decoy] * 100))
    return sorted(paths, key=lambda path: path.relative_to(folder).as_posix())
