"""Patterns of paths as in robots.txt (RFC 9309, 2.2.3): ``*`` is any characters, ``$`` at the end the end."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

__all__ = ["Pattern", "comparable"]

_KEPT_ESCAPE = re.compile(r"%(2[Ff]|25)")


class Pattern:
    """One pattern; it holds for every path that begins like it."""

    def __init__(self, text: str) -> None:
        pattern = text.removesuffix("$")
        self._parts = tuple(map(comparable, pattern.split("*")))
        self._to_end = pattern != text
        self.length = len(text)

    def matches(self, path: str) -> bool:
        """Say whether it holds for a :func:`comparable` path; in time proportional to both, whatever the pattern."""
        first, *middle = self._parts
        if not path.startswith(first):
            return False
        if not middle:
            return not self._to_end or path == first
        last = middle.pop()
        at = len(first)
        for part in middle:
            at = path.find(part, at)
            if at < 0:
                return False
            at += len(part)
        return path.endswith(last, at) if self._to_end else path.find(last, at) >= 0


def comparable(text: str) -> str:
    """One spelling for all ways to percent-encode a path or a part of one; ``%2F`` stays other than ``/``."""
    kept = _KEPT_ESCAPE.sub(lambda escape: "%25" + escape[1].upper(), text)
    return quote(unquote_to_bytes(kept.encode("utf-8", "surrogatepass")), safe="/%")
