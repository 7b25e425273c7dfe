"""What formats share whose content is a list of parts, with absolute paths in the parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from gristmill.exports._conversation import Conversation
from gristmill.exports._dialect import Dialect, Laid
from gristmill.exports._message_rows import part_row
from gristmill.spec.sample import Json

__all__ = ["PartDialect"]


@dataclass(frozen=True, kw_only=True)
class PartDialect(Dialect):
    """JSON Lines of parts, a file for each kind of media.

    Attributes:
        path_key: Key of a path in its part; None: the part's type.
    """

    writes = "images.jsonl, text.jsonl and the like, media/"
    path_key: ClassVar[str | None] = None

    def row(self, conversation: Conversation, paths: Sequence[str], laid: Laid) -> dict[str, Json]:
        """See :func:`part_row`."""
        absolute = [f"{laid.at(laid.media)}/{path}" for path in paths]
        return part_row(conversation, absolute, path_key=self.path_key)

    def registration(self, laid: Laid) -> Mapping[str, str]:
        """None, unless a format has one."""
        return {}
