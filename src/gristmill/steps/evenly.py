"""Positions spread evenly over a sequence."""

from __future__ import annotations

__all__ = ["evenly"]


def evenly(count: int, wanted: int) -> list[int]:
    """``wanted`` positions out of ``count``, from the first to the last, spread evenly and rounded down.

    All positions where there are no more than wanted; the first where one is wanted.
    """
    if wanted >= count:
        return list(range(count))
    if wanted == 1:
        return [0]
    return [i * (count - 1) // (wanted - 1) for i in range(wanted)]
