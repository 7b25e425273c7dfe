"""Media sources that several recipes share: one file each, found by its name. A recipe lists them among its sources.

::

    from gristmill.sources import coco

    RECIPE = Recipe(..., sources=(Source(key="annotations", ...), coco.SOURCE))

Each is fetched once for all datasets under one ``--out DIR``, into ``DIR/sources/NAME``.
"""

from __future__ import annotations

import sys

from gristmill.spec.recipe import Source
from gristmill.spec.registry import find_in, names_in

__all__ = ["find", "names"]


def names() -> list[str]:
    """Media sources that come with Gristmill: dashes for underscores."""
    return names_in(__path__)


def find(name: str) -> Source:
    """A media source by its name.

    Raises:
        UnknownName: There is none of that name.
        RecipeError: Its file has no ``SOURCE``, or it contradicts itself.
    """
    return find_in(sys.modules[__name__], name, Source)
