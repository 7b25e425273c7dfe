"""Rows of LLaVA's kind: ``id``, ``image`` or ``video``, and ``conversations`` from ``human`` and ``gpt``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gristmill.exports._conversation import Conversation, Kind, tagged
from gristmill.exports._unfit import Unfit
from gristmill.spec.sample import Json

__all__ = ["TAGS", "llava_row", "only_movable", "paths_of"]

TAGS: Mapping[Kind, str] = {"image": "<image>", "video": "<video>", "frames": "<video>"}
_KEYS: Mapping[Kind, str] = {"image": "image", "video": "video", "frames": "video"}
_ROLES = {"user": "human", "assistant": "gpt", "system": "system"}


def llava_row(
    conversation: Conversation,
    paths: Sequence[str],
    *,
    tags: Mapping[Kind, str] = TAGS,
    lists: bool = False,
) -> dict[str, Json]:
    """One row; a key of media is there only where it has some, ``fps`` and ``frame_count`` where they were measured.

    Args:
        conversation: Any.
        paths: Of its media, in order.
        tags: For each kind of medium; of a video that is stored as frames the path is their folder.
        lists: A single medium is a list of one too.
    """
    row: dict[str, Json] = {"id": conversation.key}
    for kind in TAGS:
        found = paths_of(conversation, paths, kind)
        if found:
            row[_KEYS[kind]] = found[0] if len(found) == 1 and not lists else found
    videos = conversation.videos
    if len(videos) == 1 and videos[0].fps and videos[0].frame_count:
        row["fps"], row["frame_count"] = videos[0].fps, videos[0].frame_count
    row["conversations"] = [
        {"from": _ROLES[turn.role], "value": tagged(turn, tags)} for turn in conversation.turns
    ]
    return row


def paths_of(conversation: Conversation, paths: Sequence[str], kind: Kind) -> list[str]:
    """Those of the paths that are of this kind of media."""
    return [path for medium, path in zip(conversation.media, paths, strict=True) if medium.kind == kind]


def only_movable(conversation: Conversation, trainer: str, *, alone: bool = False) -> None:
    """Refuse a medium between words where the trainer moves it to the turn's beginning.

    Args:
        conversation: Any.
        trainer: Whose reader does so.
        alone: It does so only with the one medium of a turn.

    Raises:
        Unfit: There is one.
    """
    for turn in conversation.turns:
        if turn.media_within_text and not (alone and len(turn.media) > 1):
            raise Unfit(
                "medium_within_text",
                f"sample {conversation.key} has a medium between words, and {trainer} moves it before them",
            )
