"""Made-up upstreams for the demo: one file a recipe, or a family of recipes, found by its name.

A module holds ``UPSTREAMS``: recipe name to :class:`gristmill.testing.upstreams.base.Upstream`.
"""

from __future__ import annotations

import importlib
import pkgutil

from gristmill.testing.upstreams.base import Upstream

__all__ = ["upstreams"]


def upstreams() -> dict[str, Upstream]:
    """All made-up upstreams, by the name of the recipe whose upstream they play."""
    found: dict[str, Upstream] = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name != "base"):
        found.update(importlib.import_module(f"{__name__}.{module}").UPSTREAMS)
    return found
