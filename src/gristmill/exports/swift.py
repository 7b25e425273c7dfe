"""JSON Lines for ms-swift, which needs no registration.

Reader: https://github.com/modelscope/ms-swift, ``swift/dataset`` and ``swift/template``. It deletes rows that it
cannot read unless it is told ``--strict``, puts missing tags in front and ignores those too many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from gristmill.exports._conversation import Conversation
from gristmill.exports._dialect import Dialect, Laid, command
from gristmill.exports._message_rows import message_row
from gristmill.spec.sample import Json

__all__ = ["EXPORTER", "Swift"]


@dataclass(frozen=True, kw_only=True)
class Swift(Dialect):
    """JSON Lines for ms-swift."""

    writes = "images.jsonl, text.jsonl and the like, media/"
    trainer: ClassVar[str] = "ms-swift"
    takes_frames: ClassVar[bool] = True

    def row(self, conversation: Conversation, paths: Sequence[str], laid: Laid) -> dict[str, Json]:
        """See :func:`message_row`."""
        return message_row(conversation, paths, before=f"{laid.at(laid.media)}/")

    def registration(self, laid: Laid) -> Mapping[str, str]:
        """None: the command names the files."""
        return {}

    def start(self, laid: Laid) -> str:
        """See :class:`Dialect`."""
        files = [laid.at(file.name) for file in laid.files]
        return command(
            *("swift", "sft", "--model", "$MODEL", "--dataset", *files, "--strict", "true"),
            *("--output_dir", f"output/{laid.name}"),
        )


EXPORTER = Swift()
