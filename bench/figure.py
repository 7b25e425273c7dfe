"""What a benchmark is told, and what it gives: the types that all of them share."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Options:
    """How much to measure. Counts are URLs, or files of FLAN-like sets."""

    urls: int = 9_000
    https_urls: int = 4_000
    share_urls: tuple[int, ...] = (9_000,)
    rounds: int = 1
    growth_urls: tuple[int, ...] = (1_000, 9_000, 90_000)
    script_urls: tuple[int, ...] = (3_000, 27_000)
    flan_files: int = 40  # of 125,000 rows
    flan_growth: tuple[int, ...] = (8, 40, 160)
    flan_baseline_growth: tuple[int, ...] = (8, 16, 32)


@dataclass(kw_only=True)
class Figure:
    """One line of the table; ``raw`` goes into the result file only."""

    name: str
    value: str
    goal: str = ""
    raw: dict[str, Any] = field(default_factory=dict)


def spread(values: Sequence[float], form: str = "{:.2f}") -> str:
    """The median, and the lowest and highest where there are several."""
    low, high = form.format(min(values)), form.format(max(values))
    median = form.format(statistics.median(values))
    return f"{median} ({low} to {high})" if len(values) > 1 else median
