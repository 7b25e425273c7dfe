"""M3IT's subset multi30k: pictures and descriptions to be translated between English, German and French.

Multi30K (Elliott et al., 2016): a description in one language is given with its picture and asked for in
another. The same picture occurs in several rows, once for each direction.
"""

from __future__ import annotations

from gristmill.recipes._m3it import m3it

RECIPE = m3it(
    "multi30k",
    task="generation",
    title="Multi30K",
    description="Pictures and descriptions to be translated between English, German and French.",
    rows=90_000,
    size_gb=4.69,
)
