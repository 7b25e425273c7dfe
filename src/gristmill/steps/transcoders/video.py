"""Videos: decoded in child processes, once for all that is wanted of one; cut, counted, kept or encoded anew."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from mmap import ACCESS_READ, ALLOCATIONGRANULARITY, mmap
from pathlib import Path
from typing import Any, Literal, Protocol

from gristmill.media.errors import Undecodable
from gristmill.media.head import head
from gristmill.media.video.containers import HEAD_BYTES, container_of
from gristmill.media.video.facts import VideoClip, VideoFacts
from gristmill.media.video.jpegs import JPEG_MAGIC, jpeg_sizes
from gristmill.media.video.pool import VideoPool
from gristmill.media.video.settings import VideoSettings
from gristmill.spec.body import Body, FileBody, bytes_of, release
from gristmill.spec.cut import Cut
from gristmill.spec.part_names import FRAMES
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop
from gristmill.spec.step import MediaContext
from gristmill.steps.transcoders import StoredMedium

__all__ = ["transcoder"]

Made = StoredMedium | Drop
VideoBody = bytes | FileBody

_READ = frozenset({"mp4", "mov", "mkv", "webm", "avi"})
"""Containers that trainers' loaders read by their endings; what comes in another is encoded anew."""
_MIMES = {
    "mov": "quicktime",
    "mkv": "x-matroska",
    "avi": "x-msvideo",
    "wmv": "x-ms-wmv",
    "flv": "x-flv",
    "ogv": "ogg",
}
"""Of containers whose media type is not their name."""


class Cutting(Protocol):
    """Holds what it wants to know of the step."""

    @property
    def whole(self) -> Literal["keep", "encode"]:
        """Say what becomes of a video of which no piece is meant."""

    @property
    def store(self) -> Literal["mp4", "frames"]:
        """Say what a video is stored as."""

    @property
    def frame_rate(self) -> float:
        """Frames a second of what comes or is stored as frames."""

    @property
    def min_frames(self) -> int:
        """Fewer are dropped."""

    @property
    def codecs(self) -> int:
        """Decoding processes."""

    @property
    def video_deadline_s(self) -> float:
        """Without a sign of life."""

    def video_settings(self) -> VideoSettings:
        """Say what is done with every video."""


class VideoTranscoder:
    """Decoders, and what the step wants of them."""

    def __init__(self, step: Cutting) -> None:
        self._step, self._settings = step, step.video_settings()
        self._pool = VideoPool(self._settings, processes=step.codecs, deadline_s=step.video_deadline_s)

    async def take(
        self, body: Body, sha256: str, cuts: Sequence[Cut | None], box: MediaContext
    ) -> AsyncGenerator[tuple[Cut | None, Made]]:
        """See :class:`gristmill.steps.transcoders.Transcoder`."""
        assert isinstance(body, bytes | FileBody)
        folder = box.scratch()
        pieces = [cut for cut in cuts if cut is not None]
        if pieces:
            async with aclosing(self._pieces(body, pieces, folder)) as made:
                async for number, stored in made:
                    yield pieces[number], stored
        if len(pieces) < len(cuts):
            yield None, await self._whole(body, folder)

    async def _pieces(
        self, body: VideoBody, cuts: Sequence[Cut], folder: Path
    ) -> AsyncGenerator[tuple[int, Made]]:
        """Each piece, by its number, as it is finished."""
        joined = None
        try:
            if _is_frames(body):
                joined = body = (await self._pool.joined(body, self._step.frame_rate, folder)).body
            async with aclosing(self._pool.clips(body, cuts, folder)) as made:
                async for number, clip in made:
                    yield number, await self._piece(clip, folder)
        except Undecodable as err:  # before any piece was begun
            for number in range(len(cuts)):
                yield number, _drop(err)
        finally:
            release(joined)

    async def _piece(self, clip: VideoClip | Undecodable, folder: Path) -> Made:
        """A clip as it is stored."""
        if isinstance(clip, Undecodable):
            return _drop(clip)
        facts = clip.facts
        if self._step.store == "frames":
            try:
                return await self._framed(clip.body, facts, folder, told={"start_s": facts.start_s})
            except Undecodable as err:
                return _drop(err)
            finally:
                release(clip.body)
        return self._judged(clip.body, facts, told={"start_s": facts.start_s})

    async def _whole(self, body: VideoBody, folder: Path) -> Made:
        """All of a video as it is stored: as it came, where it fits."""
        try:
            if _is_frames(body):
                return await self._joined(body, folder)
            container = container_of(_head(body))
            before = await self._pool.probe(body)
            told = {
                "original_mime": _mime(container),
                "original_width_px": before.width_px,
                "original_height_px": before.height_px,
            }
            if before.broken_tail and not self._settings.keep_broken:
                return Drop(reason=Reason.BROKEN_TAIL, detail=f"{before.frames:,} frames decode")
            if self._step.store == "frames":
                return await self._framed(body, before, folder, told=told)
            if self._fits(before):
                return self._judged(None, before, told=told)
            if before.frames < self._step.min_frames:
                return self._too_few(before.frames)
            clip = await self._pool.whole(body, folder)
        except Undecodable as err:
            return _drop(err)
        return self._judged(clip.body, clip.facts, told=told)

    def _fits(self, facts: VideoFacts) -> bool:
        """Whether the bytes that came are what is to be stored."""
        side_px, settings = min(facts.width_px, facts.height_px), self._settings
        return (
            self._step.whole == "keep"
            and facts.format in _READ
            and not facts.broken_tail
            # not every loader turns it, or passes over what is hidden
            and not ((facts.rotation or facts.hidden_frames) and settings.mode != "copy")
            and not (settings.short_side_px and side_px > settings.short_side_px)
            and not (settings.audio == "drop" and facts.has_audio)
        )

    async def _joined(self, body: VideoBody, folder: Path) -> Made:
        """Frames that came as pictures: made a video, or seen to be pictures and kept so."""
        clip = await self._pool.joined(body, self._step.frame_rate, folder)
        if self._step.store == "mp4":
            return self._judged(clip.body, clip.facts)
        try:
            if self._settings.short_side_px:
                return await self._framed(clip.body, clip.facts, folder, every=True)
            sizes, (width_px, height_px) = await asyncio.to_thread(_pictures_in, body)
            facts = replace(clip.facts, width_px=width_px, height_px=height_px)
            return self._judged(body, facts, pieces=sizes)
        finally:
            release(clip.body)

    async def _framed(
        self,
        body: VideoBody,
        facts: VideoFacts,
        folder: Path,
        *,
        every: bool = False,
        told: Mapping[str, Any] = {},
    ) -> Made:
        """A video as its frames: so many a second, or all of them."""
        fps = None if every else self._step.frame_rate
        files = await self._pool.split(body, fps, folder)
        try:
            together, size = await asyncio.to_thread(_one_behind_another, files, folder)
        finally:
            for file in files:
                release(file)
        sizes = [file.size_bytes for file in files]
        shown = replace(facts, width_px=size[0], height_px=size[1], frames=len(files), fps=fps or facts.fps)
        return self._judged(together, shown, pieces=sizes, told=told)

    def _judged(
        self,
        body: VideoBody | None,
        facts: VideoFacts,
        *,
        pieces: Sequence[int] = (),
        told: Mapping[str, Any] = {},
    ) -> Made:
        """A video that is good, unless it is too short; ``body`` is None where it is stored as it came."""
        if facts.frames < self._step.min_frames:
            release(body)
            return self._too_few(facts.frames)
        measured = {
            "mime": "image/jpeg" if pieces else _mime(facts.format),
            "width_px": facts.width_px,
            "height_px": facts.height_px,
            "duration_s": facts.duration_s,
            "fps": facts.fps,
            "frames": facts.frames,
        }
        form = FRAMES if pieces else facts.format
        return StoredMedium(body=body, format=form, facts={**measured, **told}, pieces=pieces)

    def _too_few(self, frames: int) -> Drop:
        said = f"{frames:,} frames, at least {self._step.min_frames} wanted"
        return Drop(reason=Reason.TOO_FEW_FRAMES, detail=said)

    async def close(self) -> None:
        """End the decoders."""
        await self._pool.close()


def transcoder(step: Cutting) -> VideoTranscoder:
    """See :mod:`gristmill.steps.transcoders`."""
    return VideoTranscoder(step)


def _drop(err: Undecodable) -> Drop:
    return Drop(reason=err.reason, detail=err.detail)


def _mime(container: str) -> str:
    return f"video/{_MIMES.get(container, container)}"


def _head(body: VideoBody) -> bytes:
    return body[:HEAD_BYTES] if isinstance(body, bytes) else next(body.pieces(), b"")[:HEAD_BYTES]


def _is_frames(body: VideoBody) -> bool:
    """It is pictures that lie one behind another."""
    return _head(body).startswith(JPEG_MAGIC)


def _pictures_in(body: VideoBody) -> tuple[Sequence[int], tuple[int, int]]:
    """The sizes of the pictures that a body is made of, in bytes, and the first one's width and height.

    Raises:
        Undecodable: It is not made of JPEGs.
    """
    if isinstance(body, bytes):
        sizes = list(jpeg_sizes(body))
        return sizes, _size_of(body[: sizes[0]])
    begin = body.offset % ALLOCATIONGRANULARITY
    with (
        body.path.open("rb") as stream,
        mmap(
            stream.fileno(), begin + body.size_bytes, offset=body.offset - begin, access=ACCESS_READ
        ) as data,
    ):
        sizes = list(jpeg_sizes(data, begin))
        return sizes, _size_of(data[begin : begin + sizes[0]])


def _size_of(jpeg: bytes) -> tuple[int, int]:
    found = head(jpeg)
    return found.width_px, found.height_px


def _one_behind_another(files: Sequence[FileBody], folder: Path) -> tuple[FileBody, tuple[int, int]]:
    """Frames in one file, and their width and height."""
    size_px = (0, 0)
    fd, name = tempfile.mkstemp(dir=folder)
    try:
        with open(fd, "wb") as stream:
            for file in files:
                jpeg = bytes_of(file)
                size_px = size_px if any(size_px) else _size_of(jpeg)
                stream.write(jpeg)
            size_bytes = stream.tell()
    except BaseException:  # whatever it is: half of it is of no use; and it is raised on
        os.unlink(name)
        raise
    return FileBody(path=Path(name), size_bytes=size_bytes, temporary=True), size_px
