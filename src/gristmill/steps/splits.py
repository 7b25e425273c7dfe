"""Splits of a dataset: training keeps the training split, and what upstream holds back for evaluation stays out."""

from __future__ import annotations

from dataclasses import dataclass

from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, Outcome, Sample
from gristmill.spec.step import SampleStep

__all__ = ["SPLIT", "Splits"]

SPLIT = "split"
"""The column in which ``parse`` puts the split that upstream counts a row to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits(SampleStep):
    """Keep the samples of some splits; those whose row names none are kept.

    Attributes:
        keep: Names of splits as upstream writes them.
    """

    keep: tuple[str, ...] = ("train",)

    name = "splits"
    reads = frozenset({f"columns.{SPLIT}"})
    drops = frozenset({Reason.OTHER_SPLIT})

    def apply(self, sample: Sample) -> Outcome:
        """See :class:`SampleStep`."""
        split = sample.columns.get(SPLIT)
        if split is None or split in self.keep:
            return sample
        return Drop(reason=Reason.OTHER_SPLIT, detail=str(split))
