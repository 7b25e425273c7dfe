"""Pictures in a column of Parquet files in a hub repository; rows name the row of each."""

from __future__ import annotations

from collections.abc import Mapping

from gristmill.spec.locator import Cell
from gristmill.spec.recipe import Source
from gristmill.spec.sample import Json, Outcome
from gristmill.testing.archived._toy import sample, toy
from gristmill.testing.hub import DEFAULT_REVISION

__all__ = ["RECIPE"]


def _parse(row: Mapping[str, Json]) -> Outcome:
    """The picture of a row is that of the same number over all files."""
    return sample(row, Cell("pictures", "image.bytes", row["id"]))


RECIPE = toy(
    "toy_parquet_column",
    Source(
        key="pictures",
        role="media",
        format="parquet",
        title="Toy pictures",
        hub="toy/pictures",
        revision=DEFAULT_REVISION,
        patterns=("data/*.parquet",),
        license="cc0-1.0",
    ),
    _parse,
)
