"""Rows of messages: ``messages`` of ``role`` and ``content``, with tags beside lists of media, or in parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from gristmill.exports._conversation import Conversation, Kind, Medium, Turn, tagged
from gristmill.exports._llava_rows import TAGS
from gristmill.exports._media_folder import frame_name
from gristmill.spec.sample import Json

__all__ = ["COLUMNS", "message_row", "part_row"]

COLUMNS: dict[Kind, str] = {"image": "images", "video": "videos", "frames": "videos"}
"""Names of the lists of media."""


def message_row(conversation: Conversation, paths: Sequence[str], *, before: str = "") -> dict[str, Json]:
    """Content as a text with tags; media in lists beside it, only of the kinds that it has.

    Args:
        conversation: Any.
        paths: Of its media, in order.
        before: Stands before each path.
    """
    row: dict[str, Json] = {
        "id": conversation.key,
        "messages": [
            {"role": turn.role, "content": tagged(turn, TAGS, glue="")} for turn in conversation.turns
        ],
    }
    media = list(zip(conversation.media, paths, strict=True))
    for kind, column in COLUMNS.items():
        if found := [_named(medium, f"{before}{path}") for medium, path in media if medium.kind == kind]:
            row[column] = [*row.get(column, ()), *found]
    return row


def _named(medium: Medium, path: str) -> Json:
    """A path; of a video that is stored as frames the paths of these, as LLaMA-Factory and swift take it."""
    count = len(medium.frames)
    return [str(PurePosixPath(path, frame_name(n, count))) for n in range(count)] if count else path


def part_row(
    conversation: Conversation, paths: Sequence[str], *, path_key: str | None = None
) -> dict[str, Json]:
    """Content as a list of parts, ``{type: text, text}`` or ``{type: image, image: PATH}``.

    Args:
        conversation: Any.
        paths: Of its media, in order, as the reader is to open them.
        path_key: The key of the path, if not the part's type.
    """
    left = list(paths)

    def parts(turn: Turn) -> list[Json]:
        return [
            {"type": part.kind, path_key or part.kind: left.pop(0)}
            if isinstance(part, Medium)
            else {"type": "text", "text": part}
            for part in _joined(turn)
        ]

    return {
        "id": conversation.key,
        "messages": [{"role": turn.role, "content": parts(turn)} for turn in conversation.turns],
    }


def _joined(turn: Turn) -> list[str | Medium]:
    """The parts of a turn with texts that follow each other joined, and empty ones gone.

    Unsloth keeps the first text of an answer only.
    """
    found: list[str | Medium] = []
    for part in turn.parts:
        if isinstance(part, str) and found and isinstance(last := found[-1], str):
            found[-1] = last + part
        elif part != "":
            found.append(part)
    return found
