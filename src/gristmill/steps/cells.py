"""Taking rows of Parquet files whose pictures lie in a column beside them, as datasets of the hub mostly have it."""

from __future__ import annotations

from dataclasses import dataclass

from gristmill.steps.rows import TakeRows

__all__ = ["TakeCells"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeCells(TakeRows):
    """Every row of a list, as :class:`TakeRows` has it; pictures in ``image.bytes`` stay where they are.

    Of the column ``image`` a row then has what stands beside the bytes, such as ``{"path": "a.png"}``, or None where
    it holds no picture. ``parse`` names the picture as ``Cell.beside("image.bytes")``, and the step ``media`` reads
    it out of the annotation file, which stays as long as samples are made.
    """

    keeps_source = True

    @property
    def left_beside(self) -> tuple[str, ...]:
        """See :class:`TakeRows`."""
        return ("image.bytes",)
