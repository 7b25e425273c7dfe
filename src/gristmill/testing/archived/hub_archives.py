"""Archives in a hub repository."""

from __future__ import annotations

from gristmill.spec.recipe import Source
from gristmill.testing.archived._toy import LAYOUTS, toy
from gristmill.testing.hub import DEFAULT_REVISION

__all__ = ["RECIPE"]

RECIPE = toy(
    "toy_hub_archives",
    Source(
        key="pictures",
        role="media",
        format="archives",
        title="Toy pictures",
        hub="toy/pictures",
        revision=DEFAULT_REVISION,
        patterns=("data/*.tar", "data/*.zip"),
        license="cc0-1.0",
        layouts=LAYOUTS,
    ),
)
