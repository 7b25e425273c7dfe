"""Calculator marks in the answers of grade-school mathematics."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from gristmill.spec.sample import Outcome, Sample, Text, Turn
from gristmill.spec.step import SampleStep

__all__ = ["CalculatorMarks"]

_MARK = re.compile(r"<<[^<>\n]*=[^<>\n]*>>")
"""``<<48/2=24>>``: what a calculator is to be asked, and its answer, which follows once more as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalculatorMarks(SampleStep):
    """Leaves the marks ``<<48/2=24>>`` in answers as published, or takes them out.

    Attributes:
        strip_marks: Take them out; the result that follows each of them stays.
    """

    strip_marks: bool = False

    name = "calculator"

    def apply(self, sample: Sample) -> Outcome:
        """See :class:`SampleStep`."""
        if not self.strip_marks:
            return sample
        return replace(sample, turns=tuple(map(_stripped, sample.turns)))


def _stripped(turn: Turn) -> Turn:
    if turn.role != "assistant":
        return turn
    parts = (replace(p, text=_MARK.sub("", p.text)) if isinstance(p, Text) else p for p in turn.parts)
    return replace(turn, parts=tuple(parts))
