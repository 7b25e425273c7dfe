"""Charts as inline SVG and plain HTML: no script, readable on paper, text stays text.

The SVG holds shapes only and stretches to the width it is given; labels are HTML beside it, so that they keep
their size on a phone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from gristmill.ledger.funnel import Funnel
from gristmill.ledger.losses import LossGroup, group_of, grouped

__all__ = ["Bar", "BarColumn", "FunnelRow", "Segment", "columns", "connector", "funnel_rows", "widths"]

_ZOOM_BELOW = 0.45
"""A level narrower than this share of the page is drawn over its full width, and said to be."""

_HEIGHT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One horizontal bar: a label, a value and its length in percent."""

    label: str
    value: int
    percent: float
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BarColumn:
    """One column of a chart over an axis: stacked values, each with the name of its colour."""

    values: tuple[tuple[float, str], ...]
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A piece of a level's bar."""

    tone: str
    percent: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelRow:
    """A level of the funnel as it is drawn.

    Attributes:
        segments: What goes on, what is lost by group, what waits; they fill the bar.
        width_percent: Length of the bar.
        enlarged: How much larger than the row above this one is drawn; 1 where it is the same scale.
        from_percent: Where on the row above the part that goes on ends.
    """

    title: str
    count: int
    segments: tuple[Segment, ...]
    width_percent: float
    enlarged: float
    from_percent: float
    lost: tuple[tuple[str, int, str], ...]
    waiting: int


def funnel_rows(funnel: Funnel) -> list[FunnelRow]:
    """The levels, to scale: each bar ends where the part of the one above that goes on ends."""
    rows: list[FunnelRow] = []
    full = max(funnel.levels[0].count, 1)
    for place, level in enumerate(funnel.levels):
        share = level.count / full
        enlarged = 1.0
        if place and 0 < share < _ZOOM_BELOW:
            enlarged, full = 1 / share, level.count
        following = funnel.levels[place + 1].count if place + 1 < len(funnel.levels) else level.count
        rows.append(
            FunnelRow(
                title=level.title,
                count=level.count,
                segments=_segments(level.lost, following, level.waiting, level.count),
                width_percent=100 * level.count / full,
                enlarged=enlarged,
                from_percent=100 * share,
                lost=tuple((reason, n, str(group_of(reason))) for reason, n in level.lost.items() if n),
                waiting=level.waiting,
            )
        )
    return rows


def _segments(lost: Mapping[str, int], following: int, waiting: int, count: int) -> tuple[Segment, ...]:
    pieces = [("good", following, "goes on")]
    groups = grouped(lost)
    pieces += [(str(g), sum(groups[g].values()), ", ".join(groups[g])) for g in LossGroup if g in groups]
    pieces.append(("waiting", waiting, "waits"))
    return tuple(
        Segment(tone=tone, percent=100 * n / max(count, 1), title=f"{n:,} {what}")
        for tone, n, what in pieces
        if n
    )


def connector(from_percent: float, to_percent: float) -> Markup:
    """The piece between two bars of different scale, widening from the one to the other."""
    points = f"0,0 {from_percent:.2f},0 {to_percent:.2f},20 0,20"
    return Markup(
        '<svg class="connector" viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true">'
        '<polygon points="{}"/></svg>'
    ).format(points)


def columns(chart: Sequence[BarColumn], label: str) -> Markup:
    """Columns side by side, filling the width; the tallest fills the height.

    Args:
        chart: At least one column.
        label: What the chart shows, for those who cannot see it.
    """
    top = max((sum(v for v, _ in column.values) for column in chart), default=0) or 1
    shapes = Markup("").join(_column(place, column, top) for place, column in enumerate(chart))
    return Markup(
        '<svg class="columns" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" '
        'aria-label="{label}">{shapes}</svg>'
    ).format(width=len(chart) * 10, height=_HEIGHT, label=label, shapes=shapes)


def _column(place: int, column: BarColumn, top: float) -> Markup:
    base = float(_HEIGHT)
    shapes = []
    for value, tone in column.values:
        height = max(_HEIGHT * value / top, 0.8) if value else 0.0
        base -= height
        shapes.append(
            f'<rect class="{escape(tone)}" x="{place * 10 + 0.5:g}" y="{base:.2f}" width="9"'
            f' height="{height:.2f}"/>'
        )
    hit = f'<rect class="hit" x="{place * 10}" y="0" width="10" height="{_HEIGHT}"/>'
    # a report has hundreds of columns: formatting each by Markup takes ten times as long
    return Markup(f"<g><title>{escape(column.title)}</title>{hit}{''.join(shapes)}</g>")


def widths(values: Sequence[int]) -> list[float]:
    """Lengths in percent, the largest 100; what is there is never invisible."""
    top = max(values, default=0) or 1
    return [max(100 * value / top, 0.5) if value else 0.0 for value in values]
