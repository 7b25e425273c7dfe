"""M3IT's subset clevr: rendered scenes of simple solids and questions about them that need several steps.

CLEVR (Johnson et al., 2017): rendered solids, and questions whose answers need counting and comparing. The
later of the two files holds rephrased inputs and answers under other keys and is twice as large.
"""

from __future__ import annotations

from gristmill.recipes._m3it import m3it

RECIPE = m3it(
    "clevr",
    task="reasoning",
    title="CLEVR",
    description="Rendered scenes of simple solids and questions about them that need several steps.",
    rows=30_000,
    size_gb=5.97,
    latest="train_2023-10-07.jsonl",
    latest_gb=12.0,
)
