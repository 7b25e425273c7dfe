"""Checksums as lists write them: in hex or in Base64, with or without the name of their kind."""

from __future__ import annotations

import base64
import binascii
import math
import re

from gristmill.spec.sample import Json

__all__ = ["DIGEST_BYTES", "checksum_of", "is_missing"]

DIGEST_BYTES = {"sha256": 32, "md5": 16, "sha512": 64}
"""Kinds of checksums and their sizes."""

_PREFIX = re.compile(r"(md5|sha-?256|sha-?512)\s*[:=-]\s*", re.IGNORECASE)
_MISSING = {"", "nan", "none", "null", "<na>", "n/a"}


def is_missing(value: Json) -> bool:
    """Say whether a list names no checksum here: null, NaN, an empty text, or what writers of text put for these."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and value.strip().lower() in _MISSING)


def checksum_of(value: Json, kind: str) -> str | None:
    """``KIND:HEX`` of a checksum in hex, in Base64 of either alphabet, or in bytes; None where it is none.

    The length tells hex from Base64: a checksum of one kind has another in each. A kind that stands in front
    (``md5:``, or ``sha256-`` as in subresource integrity) is what counts.
    """
    if isinstance(value, bytes):
        if not value.isascii():
            return f"{kind}:{value.hex()}" if len(value) == DIGEST_BYTES[kind] else None
        value = value.decode()
    if not isinstance(value, str):
        return None
    text = value.strip()
    if named := _PREFIX.match(text):
        kind, text = named[1].lower().replace("-", ""), text[named.end() :]
    size = DIGEST_BYTES[kind]
    if re.fullmatch(rf"[0-9a-fA-F]{{{2 * size}}}", text):
        return f"{kind}:{text.lower()}"
    bare = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        digest = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return f"{kind}:{digest.hex()}" if len(digest) == size else None
