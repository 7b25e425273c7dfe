"""Places as a person types them: an address, or a path on this machine."""

from __future__ import annotations

import re
from urllib.parse import unquote

from gristmill.spec.errors import UsageError

__all__ = ["is_address", "path_here", "path_of"]

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SLIP = re.compile(r"(s3|gs|az|hf|https?)(?::(?!//)/?|//+)(.*)", re.IGNORECASE | re.DOTALL)
"""An address that was mistyped. As a path it would be made, and then be taken for the address."""


def is_address(place: str) -> bool:
    """Say whether a place is an address, ``SCHEME://``. No path is one, whatever lies on this machine."""
    return _ADDRESS.match(place) is not None


def path_of(place: str) -> str:
    """Give the path that a ``file://`` URL stands for; any other place as it is.

    Raises:
        UsageError: The URL names another machine, or it is an address that lacks a slash or the colon.
    """
    if slip := _SLIP.match(place):
        raise UsageError(
            f"{place}: did you mean {slip[1].lower()}://{slip[2]}? A path of that name is written ./{place}"
        )
    scheme, separator, rest = place.partition(":/")
    if not separator or scheme.lower() != "file":
        return place
    host, _, path = rest[1:].partition("/") if rest.startswith("/") else ("", "", rest)
    if host not in ("", "localhost"):
        raise UsageError(
            f"{place} names a machine, {host}. A path on this one has three slashes: file:///{host}/{path}"
        )
    return f"/{unquote(path).lstrip('/')}"


def path_here(place: str) -> str:
    """Give the path on this machine that was typed.

    Raises:
        UsageError: It is an address, or looks like one; see :func:`path_of`.
    """
    if is_address(path := path_of(place)):
        raise UsageError(f"{place} is a URL, and a path on this machine is expected. Mount it, or copy it.")
    return path
