"""Commands as messages name them: what a person can copy and paste, whatever their folders are called."""

from __future__ import annotations

import shlex

__all__ = ["to_type"]


def to_type(*words: object) -> str:
    """``gristmill`` with ``words``, each quoted for a shell (POSIX 2.2) where it needs that."""
    return shlex.join(["gristmill", *map(str, words)])
