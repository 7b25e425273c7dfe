"""The one error of this layer: bytes that do not become a picture, with a reason from the closed list."""

from __future__ import annotations

from gristmill.spec.errors import GristmillError
from gristmill.spec.reasons import Reason

__all__ = ["DETAIL_CHARS", "Undecodable"]

DETAIL_CHARS = 200
"""Decoders quote the file in their messages; what they say is cut to this length."""


class Undecodable(GristmillError):
    """The bytes are not an image that may be kept.

    Args:
        reason: Member of the closed list of reasons.
        detail: What the check or the decoder said; at most ``DETAIL_CHARS`` printable characters are kept.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        detail = "".join(c if c.isprintable() else " " for c in detail[:DETAIL_CHARS])
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)
