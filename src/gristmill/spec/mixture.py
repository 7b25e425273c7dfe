"""A mixture: finished datasets, how much of each, and the step that shuffles them into one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias, get_args

from gristmill.spec.barrier import GlobalShuffle
from gristmill.spec.condition import Condition
from gristmill.spec.errors import RecipeError
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Recipe, Source
from gristmill.spec.registry import typed
from gristmill.spec.sample import Drop, Json, Outcome

__all__ = ["FORMAT", "STAGES", "Mixture", "Part", "refuse_same_keys"]

FORMAT = "shards"
"""Format of a mixture's sources: the finished shards of a dataset."""

Subset: TypeAlias = Literal["even", "first", "random"]
SUBSETS: tuple[str, ...] = get_args(Subset)

STAGES = ("align", "pretrain", "sft")
"""Stages of a training, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One dataset of a mixture.

    Attributes:
        name: Of its recipe, as typed.
        weight: How much of it, in samples: 1 is each once, 0.25 every fourth, 2.5 each twice and every second
            once more. Further copies of a sample get keys of their own, ``KEY-2``, ``KEY-3``.
        cap: Samples that are taken at most, copies counted; None for no limit.
        subset: Which samples are taken where not all are, or more often than others: ``even`` ones, spaced evenly
            over the part; the ``first``; or ``random`` ones, which the seed of the mixture decides.
        where: Conditions, all of which a sample must meet: ``COLUMN OP VALUE``, see
            :class:`gristmill.spec.condition.Condition`.
        prefix: Put before each key, where parts would have keys in common.
        folder: Where it lies finished, if not beside the mixture.
        command: The words of the command that prepares it, without its name and ``--out``, where it is not by
            ``run NAME``: ``("crawl", "urls.parquet")``.
        published: Name of its file where the published way concatenates files by sorted names. Either all parts
            of a mixture have one, and stand in that order, or none.
    """

    name: str
    weight: float = 1.0
    cap: int | None = None
    subset: Subset = "even"
    where: tuple[str, ...] = ()
    prefix: str = ""
    folder: str = ""
    command: tuple[str, ...] = ()
    published: str | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise RecipeError(f"part {self.name}: a weight is above 0, not {self.weight}")
        if self.cap is not None and self.cap < 1:
            raise RecipeError(f"part {self.name}: a cap is at least 1, not {self.cap}")
        if self.subset not in SUBSETS:
            raise RecipeError(f"part {self.name}: subset is one of {', '.join(SUBSETS)}, not {self.subset!r}")
        for text in self.where:
            Condition.read(text)
        if not re.fullmatch(r"[A-Za-z0-9_-]*", self.prefix):
            raise RecipeError(f"part {self.name}: prefix {self.prefix!r} is not of letters, digits, _ and -")

    @property
    def keyed_by(self) -> str:
        """The command whose samples have their places in its files as keys, and so the same; empty for a recipe.

        It is called as in the manifest of what that command made.
        """
        match self.command[:1]:
            case ("crawl",):
                return "crawl"
            case ("import",):
                return "conversations" if "llava" in self.command else "import"
            case _:
                return ""

    def taken(self, samples: int) -> int:
        """Samples of the mixture that come from so many, copies counted: to the nearest, halves upwards."""
        taken = math.floor(Fraction(str(self.weight)) * samples + Fraction(1, 2))
        return taken if self.cap is None else min(taken, self.cap)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Several datasets as one.

    Attributes:
        groups: Names under which it is prepared together with others: the stages of one training.
    """

    name: str
    version: str
    title: str
    description: str
    homepage: str
    license: str
    parts: tuple[Part, ...]
    shuffle: GlobalShuffle
    citation: str = ""
    redistribution: Literal["media", "urls", "nothing"] = "urls"
    stages: tuple[Literal["align", "pretrain", "sft"], ...] = ()
    traps: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        if not names or len(set(names)) < len(names):
            raise RecipeError(f"{self.name}: a mixture has at least one part, and each once; it has {names}")
        if self.public_name in names:
            raise RecipeError(f"{self.name}: a mixture is no part of itself")
        refuse_same_keys((part, part.keyed_by) for part in self.parts)
        published = [part.published for part in self.parts if part.published is not None]
        if published and (len(published) < len(names) or published != sorted(published)):
            raise RecipeError(
                f"{self.name}: parts stand in the order of their published names; these are {published}"
            )

    @property
    def public_name(self) -> str:
        """The name as typed and as found on disk."""
        return typed(self.name)

    def recipe(self) -> Recipe:
        """The mixture as a recipe whose sources are its parts' shards and whose only step shuffles."""
        return Recipe(
            name=self.name,
            version=self.version,
            title=self.title,
            description=self.description,
            homepage=self.homepage,
            license=self.license,
            sources=tuple(
                Source(key=part.name, format=FORMAT, patterns=("shards/*.tar",), license=self.license)
                for part in self.parts
            ),
            parse=_no_rows,
            steps=(self.shuffle,),
            citation=self.citation,
            redistribution=self.redistribution,
            stages=self.stages,
            traps=self.traps,
        )


def refuse_same_keys(parts: Iterable[tuple[Part, str]]) -> None:
    """Refuse parts that have the same places as keys, and the same prefix.

    Args:
        parts: Each with the command after whose samples its keys are called; empty where these have names.

    Raises:
        RecipeError: Two have.
    """
    taken: dict[tuple[str, str], str] = {}
    for part, keyed_by in parts:
        other = taken.setdefault((keyed_by, part.prefix), part.name) if keyed_by else part.name
        if other != part.name:
            raise RecipeError(
                f"parts {other} and {part.name} have the same keys, which are places in their files. Give "
                f'{part.name} a prefix of its own in the mixture\'s file: prefix = "{part.name}-"'
            )


def _no_rows(row: Mapping[str, Json]) -> Outcome:
    return Drop(reason=Reason.BAD_ROW, detail="a mixture is made of samples")
