"""Holds the rows that the recipes of this folder share, and the parse that they share."""

from __future__ import annotations

from collections.abc import Mapping

from gristmill.spec.locator import Locator, Member
from gristmill.spec.media_source import MemberLayout
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Expect, Parse, Recipe, Source
from gristmill.spec.sample import Drop, Json, MediaRef, Outcome, Sample, Show, Text, Turn
from gristmill.steps.media import Media
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows

__all__ = ["LAYOUTS", "sample", "toy"]

LAYOUTS = (
    MemberLayout(name="archive", member=r"images/([^/]+)", path=r"\1"),
    MemberLayout(name="tree", member=r"(?:.*/)?toy/images/([^/]+)", path=r"\1"),
    MemberLayout(name="flat", member=r"[^/]+\.(?:jpg|png|gif)"),
)


def sample(row: Mapping[str, Json], at: Locator) -> Sample:
    """A picture and its caption."""
    return Sample(
        key=f"{row['id']:06d}",
        media={"image": MediaRef(at=at)},
        turns=(Turn(role="caption", parts=(Show(media="image"), Text(text=row["caption"]))),),
    )


def _parse(row: Mapping[str, Json]) -> Outcome:
    """A row names its picture as ``toy/images/NAME``."""
    if not isinstance(row.get("image"), str):
        return Drop(reason=Reason.BAD_ROW, detail="no image")
    return sample(row, Member("pictures", row["image"].removeprefix("toy/images/")))


def toy(name: str, pictures: Source, parse: Parse = _parse) -> Recipe:
    """A recipe over one media source."""
    return Recipe(
        name=name,
        version="2026.12.1",
        title="Toy pictures",
        description="Made-up pictures with a caption each.",
        homepage="https://example.org/toy",
        license="cc0-1.0",
        sources=(
            Source(key="annotations", by_hand="Have it made.", format="jsonl", license="cc0-1.0"),
            pictures,
        ),
        parse=parse,
        writes=frozenset({"media.at"}),
        steps=(TakeRows(format="jsonl", part_rows=8), Media(), Pack(shard_samples=10)),
        expect=Expect(kept_share=0.1),
    )
