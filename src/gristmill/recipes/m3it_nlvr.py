"""M3IT's subset nlvr: pictures of coloured shapes, and whether a sentence about them is true.

NLVR (Suhr et al., 2017): is a sentence about a picture, or a pair of pictures, true? Some rows are reported
to hold broken pictures, which are dropped and counted here like any others.
"""

from __future__ import annotations

from gristmill.recipes._m3it import m3it

RECIPE = m3it(
    "nlvr",
    task="reasoning",
    title="NLVR",
    description="Pictures of coloured shapes, and whether a sentence about them is true.",
    rows=29_372,
    size_gb=8.5,
)
