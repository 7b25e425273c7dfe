"""Says how the libraries come that only some commands need."""

from __future__ import annotations

import re
import shlex

__all__ = ["install"]


def install(extra: str) -> str:
    """Say what to type to have the libraries of one of Gristmill's extras, in the versions that it takes.

    The libraries themselves are named, as Gristmill's metadata have them: ``gristmill[...]`` would need an index that
    has Gristmill.
    """
    from importlib.metadata import PackageNotFoundError, requires  # slow to import, and seldom needed

    try:
        lines = requires("gristmill") or []
    except PackageNotFoundError:  # run from its sources
        lines = []
    of_extra = re.compile(rf"""([^;]+);.*\bextra == ["']{re.escape(extra)}["']""")
    found = [match[1].strip() for line in lines if (match := of_extra.match(line))]
    return "pip install " + (shlex.join(found) if found else f"'.[{extra}]'")
