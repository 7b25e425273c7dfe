"""Puts the medium before or behind a question, for rows that do not say so themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from gristmill.spec.errors import UsageError
from gristmill.spec.sample import Outcome, Part, Sample, Show
from gristmill.spec.step import SampleStep

__all__ = ["MediaPlace"]

_CONVERSATIONS = "conversations"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPlace(SampleStep):
    """Put the media of the first question before or behind its words; rows with conversations say it themselves.

    Attributes:
        media: ``first``, ``last``, or ``alternate``: behind the words in the list's rows 0, 2, 4 and so on, before
            them in all others, whichever rows are kept. So does Video-ChatGPT's
            scripts/convert_instruction_json_to_training_format.py.
    """

    media: Literal["alternate", "first", "last"] = "alternate"

    name = "place"
    reads = frozenset({"turns", "media.at"})

    def __post_init__(self) -> None:
        if self.media not in ("alternate", "first", "last"):
            raise UsageError(f"place.media={self.media}: expected alternate, first or last")

    def apply(self, sample: Sample) -> Outcome:
        """See :class:`SampleStep`."""
        if _CONVERSATIONS in sample.upstream or not sample.turns:
            return sample
        asked, *others = sample.turns
        shown: tuple[Part, ...] = tuple(part for part in asked.parts if isinstance(part, Show))
        words: tuple[Part, ...] = tuple(part for part in asked.parts if not isinstance(part, Show))
        first = self.media == "first" or (self.media == "alternate" and sample.row % 2 == 1)
        parts = (*shown, *words) if first else (*words, *shown)
        return replace(sample, turns=(replace(asked, parts=parts), *others))
