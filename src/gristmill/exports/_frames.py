"""Shows videos as pictures of their frames, for trainers that read pictures alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from gristmill.exports._conversation import Conversation, Medium, Part, Turn
from gristmill.exports._media_folder import frame_name
from gristmill.exports._unfit import Unfit
from gristmill.media.errors import Undecodable
from gristmill.media.video.pool import VideoPool
from gristmill.media.video.settings import VideoSettings
from gristmill.spec.body import Body, FileBody, bytes_of

__all__ = ["VideoFrames", "video_frames"]


@contextmanager
def video_frames(count: int, label: str) -> Iterator[VideoFrames]:
    """A :class:`VideoFrames` whose decoder ends with the block."""
    frames = VideoFrames(count, label)
    try:
        yield frames
    finally:
        frames.close()


class VideoFrames:
    """Puts pictures in the places of videos; a decoder's process is started with the first of them.

    Args:
        count: Frames of each video, evenly spread from the first to the last.
        label: Stands before each of them, with ``{}`` for its number from 1.
    """

    def __init__(self, count: int, label: str) -> None:
        self._count, self._label = count, label
        self._loop = asyncio.Runner()
        self._pool: VideoPool | None = None

    def __call__(self, conversation: Conversation) -> Conversation:
        """The conversation with each video as lines of a label and a picture; itself, if it has none.

        Raises:
            Unfit: One does not decode.
            UsageError: The library for videos is not installed.
        """
        if not conversation.videos:
            return conversation
        turns = []
        for turn in conversation.turns:
            parts: list[Part] = []
            behind_video = False
            for part in turn.parts:
                is_video = isinstance(part, Medium) and part.is_video
                if (is_video and _goes_on(parts, -1)) or (behind_video and _goes_on([part], 0)):
                    parts.append("\n")
                parts += (
                    self._lines(conversation.key, part) if isinstance(part, Medium) and is_video else [part]
                )
                behind_video = is_video
            turns.append(Turn(role=turn.role, parts=tuple(parts)))
        return Conversation(key=conversation.key, turns=tuple(turns))

    def _lines(self, key: str, video: Medium) -> list[Part]:
        bodies = self._bodies(key, video)
        folder = video.original.rpartition(".")[0] or video.original or key
        lines: list[Part] = []
        for n, body in enumerate(bodies):
            name = f"{folder}/{frame_name(n, len(bodies))}"
            picture = replace(
                video,
                kind="image",
                part=f"{n:03d}.jpg",
                body=body,
                original=name,
                as_upstream=True,
                frames=(),
            )
            lines += ["\n" if n else "", self._label.format(n + 1), picture]
        return lines

    def _bodies(self, key: str, video: Medium) -> list[Body]:
        if video.frames:
            last, count = len(video.frames) - 1, min(self._count, len(video.frames))
            return [video.frames[n * last // max(count - 1, 1)] for n in range(count)]
        if self._pool is None:
            self._pool = VideoPool(VideoSettings(max_streams=1000), processes=1)
        body = video.body if isinstance(video.body, FileBody) else bytes_of(video.body)
        try:
            return [*self._loop.run(self._pool.frames_at(body, self._count))]
        except Undecodable as err:
            raise Unfit("video_unreadable", f"sample {key}: its video does not decode: {err}") from err

    def close(self) -> None:
        """End the decoder."""
        if self._pool is not None:
            self._loop.run(self._pool.close())
        self._loop.close()


def _goes_on(parts: list[Part], at: int) -> bool:
    """Say whether a line cannot end there: a medium, or a text whose last (-1) or first (0) letter is no space."""
    if not parts:
        return False
    part = parts[at]
    return isinstance(part, Medium) or (part != "" and not part[at].isspace())
