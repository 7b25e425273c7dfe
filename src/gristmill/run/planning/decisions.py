"""What planning decided for one task, a dataclass for each stage: its hash is part of the task's id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gristmill.spec.reasons import Reason

__all__ = ["FileDecision", "GatherDecision", "PackDecision", "RetryDecision", "ScatterDecision", "Share"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDecision:
    """How the rows of one annotation file are chosen.

    Attributes:
        only: Rows at most, of a small run.
        prescan: What the step decided for this file when it knew all; None where files are not prescanned.
    """

    only: int | None = None
    prescan: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryDecision:
    """What a retry round asks for again in one part: rows lost for these reasons, and how many each had."""

    reasons: tuple[str, ...]
    retried: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackDecision:
    """The samples of one shard: from and to which, in each input; or why they are left out."""

    slices: tuple[tuple[int, int], ...]
    drop: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What is taken of a mixture's part, evenly spaced: ``taken`` of its ``of`` samples.

    Attributes:
        first: The position in the part of the input's first sample.
    """

    first: int
    taken: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatterDecision:
    """Where the samples of one input stand in the order of the whole dataset.

    Attributes:
        start: Number of its first sample.
        samples: Samples of all inputs.
        earlier: Samples of the first round, where this is a later one.
        prefix: What keys get in front.
        share: What is taken; all if None.
    """

    start: int
    samples: int
    earlier: int | None = None
    prefix: str = ""
    share: Share | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherDecision:
    """The number of a shuffle's shard, its first place and the first beyond it."""

    shard: int
    places: tuple[int, int]
