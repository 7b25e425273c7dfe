"""Frames brought to the shape in which they are stored: turned, scaled, even sides, YUV 4:2:0."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import av.filter

__all__ = ["FrameShape", "scaled"]

PIXELS = "yuv420p"
_TURNS = {90: ("transpose=cclock",), 180: ("hflip", "vflip"), 270: ("transpose=clock",)}
# libswscale's results depend on the processor's instructions without these
_SCALING = "bicubic+accurate_rnd+full_chroma_int+bitexact"


class FrameShape:
    """Brings every frame of a video to one shape.

    Args:
        rotation: Degrees to turn, counterclockwise.
        size_px: Wanted width and height.
        pixels: Wanted layout of pixels.
    """

    def __init__(self, *, rotation: int, size_px: tuple[int, int], pixels: str = PIXELS) -> None:
        self._rotation, self.size_px, self._pixels = rotation, size_px, pixels
        self._graphs: dict[tuple[Any, ...], Any] = {}

    def __call__(self, frame: Any) -> Any:
        """The frame in its wanted shape; its time is not."""
        if not self._rotation and (frame.width, frame.height, frame.format.name) == (
            *self.size_px,
            self._pixels,
        ):
            return frame
        key = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        graph = self._graphs.get(key)
        if graph is None:
            self._graphs = {key: (graph := self._graph(frame))}
        frame.pts, frame.time_base = None, Fraction(1, 1000)
        graph.push(frame)
        return graph.pull()

    def _graph(self, frame: Any) -> Any:
        graph = av.filter.Graph()
        graph.threads = 1
        node = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
        )
        width_px, height_px = self.size_px
        has = (frame.height, frame.width) if self._rotation in (90, 270) else (frame.width, frame.height)
        steps = list(_TURNS.get(self._rotation, ()))
        if all(0 <= has_px - px <= 1 < has_px for has_px, px in zip(has, self.size_px, strict=True)):
            steps.append(f"crop={width_px}:{height_px}:0:0:exact=1")
        else:
            steps.append(f"scale={width_px}:{height_px}:flags={_SCALING}")
        steps.append(f"format={self._pixels}")
        for step in steps:
            name, _, arguments = step.partition("=")
            after = graph.add(name, arguments or None)
            node.link_to(after)
            node = after
        node.link_to(graph.add("buffersink"))
        graph.configure()
        return graph


def scaled(size_px: tuple[int, int], short_side_px: int) -> tuple[int, int]:
    """Width and height, even, with the shorter side at most ``short_side_px``; 0 is no limit."""
    width_px, height_px = size_px
    short_px = min(size_px)
    if short_side_px and short_px > short_side_px:
        width_px, height_px = (round(Fraction(px * short_side_px, short_px) / 2) * 2 for px in size_px)
    return max(2, width_px // 2 * 2), max(2, height_px // 2 * 2)
