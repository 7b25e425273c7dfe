"""A tar.gz, also split into parts."""

from __future__ import annotations

from gristmill.spec.recipe import Source
from gristmill.testing.archived._toy import LAYOUTS, toy

__all__ = ["RECIPE"]

RECIPE = toy(
    "toy_tar_gz",
    Source(
        key="pictures",
        role="media",
        format="archives",
        title="Toy pictures",
        by_hand="Fill in the form and fetch it.",
        address="https://example.org/toy/form",
        terms="research only",
        access="form",
        license="cc0-1.0",
        layouts=LAYOUTS,
        patterns=("*.tar.gz",),
    ),
)
