"""M3IT's subset docvqa: scanned documents and questions about what they say.

DocVQA (Mathew et al., 2021): scanned pages of the Industry Documents Library and questions about them. Lines
of about one megabyte make it by far the largest of the fourteen subsets.
"""

from __future__ import annotations

from gristmill.recipes._m3it import m3it

RECIPE = m3it(
    "docvqa",
    task="vqa",
    title="DocVQA",
    description="Scanned documents and questions about what they say.",
    rows=39_463,
    size_gb=37.6,
    traps=("Its lines have about one megabyte each, 37.6 GB in all: two fifths of all fourteen subsets.",),
)
