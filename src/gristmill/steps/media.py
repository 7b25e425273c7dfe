"""Pictures wherever they are: in archives and folders, in Parquet columns, in files; checked, stored as they are."""

from __future__ import annotations

from dataclasses import dataclass

from gristmill.spec.reasons import Reason
from gristmill.steps.embedded import DecodeEmbedded

__all__ = ["Media"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Media(DecodeEmbedded):
    """Bring each medium from where its locator says, hash it, see that it decodes, and store the bytes as they came.

    Settings are those of :class:`gristmill.steps.embedded.DecodeEmbedded`.
    """

    name = "media"
    revision = 1
    reads = frozenset({"media.at"})
    drops = DecodeEmbedded.drops | {Reason.NO_FILE, Reason.SHORT_BODY, Reason.HASH_MISMATCH}
