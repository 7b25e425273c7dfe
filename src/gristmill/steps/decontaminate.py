"""Benchmarks kept out of training data: pictures and questions of evaluation sets are looked for in samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, Self

from gristmill.spec.command import to_type
from gristmill.spec.errors import SourceError, UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Recipe, Source
from gristmill.spec.sample import CHANGES, Drop, Outcome, Sample, Text
from gristmill.spec.step import SampleStep, ShardStep, Step, TableStep, runtime_option
from gristmill.steps.hash_list import read_lists

__all__ = ["BENCHMARK", "Decontaminate"]

BENCHMARK = "benchmark"
"""The column that says, with ``action=mark``, what of which evaluation sets a sample holds."""

_MOST_BITS = 16
_NO_LIST = "there is no hash list of what is kept out. Give one, or evaluation sets: --set decontaminate.against=PATH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decontaminate(SampleStep):
    """Look for pictures and questions of evaluation sets in each sample, and drop it or say so in a column.

    It is part of every recipe as soon as one of its settings is given, after all that brings media. What is looked
    for is a hash list, whose digest is part of the dataset's identity. Pictures are compared by perceptual hash;
    texts, those of turns that are no answers, by n-grams of words.

    Attributes:
        against: Evaluation sets: hash lists, a folder of them, or what ``gristmill hashes`` makes them of.
        max_distance: Bits (0 to 16) in which the perceptual hashes of one picture may differ.
        n: Words of an n-gram; a question of fewer is not compared.
        share: A question is found where so much of its n-grams is in a sample, above 0 and at most 1.
        action: ``drop`` the sample, or ``mark``: keep it and name what was found in its column ``benchmark``.
    """

    against: str = runtime_option("", "where the evaluation sets or their hash lists lie")
    max_distance: int = 6
    n: int = 8
    share: float = 0.5
    action: Literal["drop", "mark"] = "drop"
    _lists: tuple[Path, ...] = runtime_option(())

    name = "decontaminate"
    revision = 1
    drops = frozenset({Reason.BENCHMARK_PICTURE, Reason.BENCHMARK_TEXT})

    def __post_init__(self) -> None:
        if not 0 <= self.max_distance <= _MOST_BITS:
            raise UsageError(f"decontaminate.max_distance: expected 0 to {_MOST_BITS} bits")
        if self.n < 1 or not 0 < self.share <= 1:
            raise UsageError("decontaminate: n is at least 1, share above 0 and at most 1")
        if self.action not in ("drop", "mark"):
            raise UsageError(f"decontaminate.action={self.action}: expected drop or mark")

    @classmethod
    def added_to(cls, recipe: Recipe, settings: Mapping[str, str]) -> Recipe:
        """See :class:`gristmill.spec.recipe.OptionalStep`: after all that brings media, which are hashed then."""
        steps = [_hashing(step) for step in recipe.steps]
        place = sum(isinstance(step, TableStep | SampleStep | ShardStep) for step in steps)
        steps.insert(place, cls())
        lists = Source(
            key=cls.name,
            role="aux",
            patterns=("*.parquet",),
            license="of the evaluation sets",
            path=settings.get(f"{cls.name}.against") or None,
            by_hand=f"--set {cls.name}.against=PATH says which evaluation sets are kept out.",
        )
        return replace(recipe, steps=tuple(steps), sources=(*recipe.sources, lists))

    def missing(self) -> str:
        """See :class:`gristmill.spec.step.Step`: what is to be kept out."""
        return "" if self.against else _NO_LIST

    def with_aux(self, aux: Mapping[str, tuple[Path, ...]]) -> Self:
        """See :class:`SampleStep`.

        Raises:
            SourceError: There is no hash list, or it is of n-grams of another length.
        """
        if not aux.get(self.name):
            raise SourceError(_NO_LIST)
        known = read_lists(aux[self.name])
        if known.n != self.n:
            anew = to_type("hashes", "SET", "--ngram", self.n, "--out", "LIST")
            raise SourceError(
                f"the hash list is of n-grams of {known.n} words, and decontaminate.n is {self.n}: give --set "
                f"decontaminate.n={known.n}, or make the list anew: {anew}"
            )
        return replace(self, _lists=aux[self.name])

    def apply(self, sample: Sample) -> Outcome:
        """See :class:`SampleStep`.

        Raises:
            SourceError: There is no hash list.
            UsageError: A picture has no perceptual hash.
        """
        found = self._found(sample)
        if self.action == "drop":
            return next(found, sample)
        if not (drops := list(found)):
            return sample
        words = dict.fromkeys(f"{drop.reason}_kept" for drop in drops)
        columns = {
            **sample.columns,
            BENCHMARK: [drop.detail for drop in drops],
            CHANGES: [*sample.columns.get(CHANGES, ()), *words],
        }
        return replace(sample, columns=columns)

    def _found(self, sample: Sample) -> Iterator[Drop]:
        """What of evaluation sets a sample holds, each as the drop that it is."""
        if not self._lists:
            raise SourceError(_NO_LIST)
        known = read_lists(self._lists)
        for name, ref in sample.media.items() if known.pictures else ():
            if ref.kind != "image":
                continue
            if ref.phash is None:
                raise UsageError(
                    f"sample {sample.key}: {name} has no perceptual hash, so nobody knows whether a benchmark has "
                    "the picture. Leave phash on, of the step that brings the pictures."
                )
            if picture := known.picture(ref.phash, self.max_distance):
                variant = f", {picture.variant}" if picture.variant else ""
                detail = f"{name} is {picture.set}/{picture.name}{variant}, {picture.bits} bits off"
                yield Drop(reason=Reason.BENCHMARK_PICTURE, detail=detail[:200])
        texts = [
            part.text
            for turn in sample.turns
            if turn.role != "assistant"
            for part in turn.parts
            if isinstance(part, Text)
        ]
        if known.questions and (text := known.text(texts, self.share)):
            detail = f"{text.share:.0%} of the n-grams of {text.set}/{text.name}"
            yield Drop(reason=Reason.BENCHMARK_TEXT, detail=detail[:200])


def _hashing(step: Step) -> Step:
    """The step as it measures perceptual hashes, if it can."""
    return replace(step, phash=True) if any(field.name == "phash" for field in fields(step)) else step
