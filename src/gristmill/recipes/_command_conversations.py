"""The recipe behind ``gristmill import --from llava``: conversations in LLaVA's form, and their media."""

from __future__ import annotations

from collections.abc import Mapping

from gristmill.recipes._llava import LlavaRecords
from gristmill.spec.locator import Member
from gristmill.spec.recipe import Built, Recipe, Source
from gristmill.spec.sample import Json, Outcome
from gristmill.spec.step import Step
from gristmill.steps.check import CheckConversations
from gristmill.steps.clip import Clip
from gristmill.steps.media import Media
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows

__all__ = ["BUILT", "build", "parse"]

BUILT = Built(
    command=("import", "FILE", "--from", "llava"), source="conversations", input="file", item="record"
)

_MEDIA = "media"


def _place(path: str) -> Member:
    return Member(_MEDIA, path)


_PICTURES, _VIDEOS = LlavaRecords(place=_place), LlavaRecords(place=_place, kind="video")


def parse(row: Mapping[str, Json]) -> Outcome:
    """A record about pictures, or about videos where it has ``video``, or of text alone."""
    return (_VIDEOS if row.get("video") else _PICTURES)(row)


def build(
    path: str,
    kind: str = "pictures",
    name: str = "conversations",
    title: str | None = None,
    license: str | None = None,
) -> Recipe:
    """The recipe of a file of conversations, or a folder of them.

    Args:
        path: Where they lie; only their content bears identity.
        kind: ``videos`` where records may name such, which are then checked to the last frame.
        name: Of the dataset.
        title, license: For its card.
    """
    bring: Step = Clip() if kind == "videos" else Media()
    return Recipe(
        name=name.replace("-", "_"),
        version="2026.12.1",
        title=title or "Conversations of your own",
        description="Conversations in LLaVA's form, checked one by one, with the media that they name.",
        homepage="https://example.org",
        license=license or "unknown",
        redistribution="nothing",
        sources=(
            Source(
                key="conversations",
                path=path,
                patterns=("*.json", "*.jsonl", "*.json.gz", "*.jsonl.gz"),
                format="json",
            ),
            Source(
                key=_MEDIA,
                role="media",
                title="media that the conversations name",
                format="archives",
                by_hand="Name the folder or the archives that they lie in: --media PATH.",
            ),
        ),
        parse=parse,
        built=BUILT,
        writes=frozenset({"media.at", "turns"}),
        key="{row:08d}",
        steps=(TakeRows(), CheckConversations(), bring, Pack(shard_samples=5_000)),
    )
