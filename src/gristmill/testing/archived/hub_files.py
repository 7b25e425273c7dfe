"""Pictures that are the files of a hub repository themselves."""

from __future__ import annotations

from gristmill.spec.recipe import Source
from gristmill.testing.archived._toy import LAYOUTS, toy
from gristmill.testing.hub import DEFAULT_REVISION

__all__ = ["RECIPE"]

RECIPE = toy(
    "toy_hub_files",
    Source(
        key="pictures",
        role="media",
        format="folder",
        title="Toy pictures",
        hub="toy/pictures",
        revision=DEFAULT_REVISION,
        patterns=("images/*",),
        license="cc0-1.0",
        layouts=LAYOUTS,
    ),
)
