"""Videos in child processes: a decoder that crashes, hangs or eats memory costs one video, or what was left of it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib.util
import json
import secrets
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from gristmill.media import wire
from gristmill.media.children import Child, ChildPool
from gristmill.media.errors import Undecodable
from gristmill.media.video.facts import VideoClip, VideoFacts
from gristmill.media.video.settings import VideoSettings
from gristmill.spec.body import FileBody
from gristmill.spec.cut import Cut
from gristmill.spec.errors import MachineError, UsageError
from gristmill.spec.extras import install
from gristmill.spec.reasons import Reason

__all__ = ["VideoPool", "has_video", "require_video"]

VideoBody: TypeAlias = bytes | FileBody
Said: TypeAlias = dict[str, Any]

_MAIN = "import gc; gc.disable(); from gristmill.media.video.worker import main; main()"


def has_video() -> bool:
    """Say whether the library for videos is installed."""
    return importlib.util.find_spec("av") is not None


def require_video() -> None:
    """See that the library for videos is installed.

    Raises:
        UsageError: It is not; the message says how it comes.
    """
    if not has_video():
        raise UsageError(f"Videos need PyAV, which is not installed. Type: {install('video')}")


class VideoPool(ChildPool):
    """A fixed number of processes that decode and cut videos, used by any number of tasks of one event loop.

    Every method waits for a free process. Files that it makes lie in the folder that it was given and are
    ``temporary``; of what fails or is cancelled, none stay.

    Every method raises:
        Undecodable: The video is not to be had, with the reason.
        MachineError: No process can be started, the disk is full, or the pool was closed.

    Args:
        settings: What to do with every video.
        processes: Children, and so videos in work at the same time.
        deadline_s: Seconds of wall time in which a child must get on (by some fifty frames), or it is killed and its
            video given up.
        command: What to start instead of ``gristmill.media.video.worker``; for tests.

    Raises:
        UsageError: The library for videos is not installed.
    """

    def __init__(
        self,
        settings: VideoSettings,
        *,
        processes: int,
        deadline_s: float = 60,
        command: Sequence[str] = (sys.executable, "-P", "-c", _MAIN),
    ) -> None:
        require_video()
        super().__init__(
            [*command, json.dumps(dataclasses.asdict(settings)), str(deadline_s)],
            module="gristmill.media.video.worker",
            processes=processes,
            deadline_s=deadline_s,
        )

    async def probe(self, body: VideoBody) -> VideoFacts:
        """Decode all of a video and say what was found."""
        ((said, _),) = await self._answers(body, {"do": "probe"})
        return VideoFacts(**said["facts"])

    async def clips(
        self, body: VideoBody, cuts: Sequence[Cut], folder: Path
    ) -> AsyncGenerator[tuple[int, VideoClip | Undecodable]]:
        """Cut pieces out of a video, which is decoded once for all of them.

        Yields:
            The number of a cut, and what became of it, in the order in which they are finished. Each comes once.
        """
        token = secrets.token_hex(4)
        left = set(range(len(cuts)))
        ready: asyncio.Queue[tuple[int, VideoClip | Undecodable] | None] = asyncio.Queue()

        def hear(said: Said, _: bytes) -> None:
            number = said["clip"]
            left.discard(number)
            ready.put_nowait((number, _refusal(said) or _clip(said)))

        def request() -> Said:
            wanted = [(number, dataclasses.asdict(cuts[number])) for number in sorted(left)]
            return {"do": "clips", "cuts": wanted, "folder": str(folder), "token": token}

        async def work() -> None:
            try:
                await self._told(body, request, hear)
            except Undecodable as err:
                for number in sorted(left):
                    ready.put_nowait((number, err))
                left.clear()
            finally:
                ready.put_nowait(None)

        task = asyncio.create_task(work())
        handed: set[int] = set()
        try:
            while (made := await ready.get()) is not None:
                if isinstance(made[1], VideoClip):
                    handed.add(made[0])
                yield made
            await task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
            for number in set(range(len(cuts))) - handed:
                _clip_path(folder, token, number).unlink(missing_ok=True)

    async def whole(self, body: VideoBody, folder: Path) -> VideoClip:
        """All of a video: encoded anew, copied into a new file, or as it came, as the settings say.

        As it came it is handed back where it lies; bytes are written to a file.
        """
        return await self._one(body, {"do": "whole"}, folder)

    async def joined(self, body: VideoBody, fps: float, folder: Path) -> VideoClip:
        """Make a video out of JPEGs that lie one behind another, each shown for ``1 / fps`` seconds."""
        return await self._one(body, {"do": "joined", "fps": fps}, folder)

    async def muxed(self, picture: FileBody, sound: FileBody, folder: Path) -> FileBody:
        """Put the pictures of one file and the sound of another into one, as they are coded: an MP4, or Matroska."""
        token = secrets.token_hex(4)
        asked = {"do": "mux", "sound": _at(sound), "folder": str(folder), "token": token}
        whole: FileBody | None = None
        try:
            ((said, _),) = await self._answers(picture, asked)
            whole = _file(said)
        finally:
            if whole is None:
                _remove(folder.glob(f"{token}.*"))
        return whole

    async def frames_at(
        self, body: VideoBody, times_s: Sequence[float] | int, short_side_px: int = 0
    ) -> list[bytes]:
        """Frames of a video as JPEGs.

        Args:
            body: The video.
            times_s: For each, the frame that is shown at that time (from the first frame on; behind the end it is the
                last). A number: so many, spread evenly from the first to the last.
            short_side_px: Wanted shorter side; 0 leaves it.
        """
        at = {"count": times_s} if isinstance(times_s, int) else {"times_s": list(times_s)}
        answers = await self._answers(body, {"do": "frames", "short_side_px": short_side_px, **at})
        return [jpeg for _, jpeg in answers]

    async def split(self, body: VideoBody, fps: float | None, folder: Path) -> list[FileBody]:
        """All frames of a video as JPEG files, or those that are shown each ``1 / fps`` seconds."""
        token = secrets.token_hex(4)
        asked = {"do": "split", "fps": fps, "folder": str(folder), "token": token}
        made: list[FileBody] | None = None
        try:
            answers = await self._answers(body, asked)
            made = [_file(said) for said, _ in answers]
        finally:
            if made is None:
                _remove(folder.glob(f"{token}-*.jpg"))
        return made

    async def _one(self, body: VideoBody, asked: Said, folder: Path) -> VideoClip:
        token = secrets.token_hex(4)
        path = _clip_path(folder, token, 0)
        clip = None
        try:
            ((said, _),) = await self._answers(body, {**asked, "folder": str(folder), "token": token})
            if "file" not in said:  # as it came
                clip = VideoClip(body=_lying(body, path), facts=VideoFacts(**said["facts"]))
            else:
                clip = _clip(said)
        finally:
            if clip is None:
                path.unlink(missing_ok=True)
        return clip

    async def _answers(self, body: VideoBody, asked: Said) -> list[tuple[Said, bytes]]:
        """All that a child says to one request that is asked anew as a whole if the child ends over it."""
        answers: list[tuple[Said, bytes]] = []

        def request() -> Said:
            answers.clear()
            return asked

        await self._told(body, request, lambda said, stored: answers.append((said, stored)))
        return answers

    async def _told(
        self, body: VideoBody, request: Callable[[], Said], hear: Callable[[Said, bytes], None]
    ) -> None:
        """Have a child answer ``request()``, and hand all its answers but the last to ``hear``."""
        at = _at(body) if isinstance(body, FileBody) else None
        data = b"" if isinstance(body, FileBody) else body

        async def asked(child: Child) -> Said:
            said = json.dumps({**request(), "at": at}).encode()
            answer, stored = await child.ask(wire.lead_of(said) + said + wire.lead_of(data), data)
            while child.busy:
                if "beat" not in answer:
                    hear(answer, stored)
                answer, stored = await child.hear()
            return answer

        end = await self.insist(asked)
        if refusal := _refusal(end):
            raise refusal
        if "machine" in end:
            raise MachineError(end["machine"])


def _at(body: FileBody) -> Said:
    return dataclasses.asdict(body) | {"path": str(body.path)}


def _refusal(said: Said) -> Undecodable | None:
    return Undecodable(Reason(said["reason"]), said["detail"]) if "reason" in said else None


def _clip(said: Said) -> VideoClip:
    return VideoClip(body=_file(said), facts=VideoFacts(**said["facts"]))


def _file(said: Said) -> FileBody:
    file = said["file"]
    return FileBody(**{**file, "path": Path(file["path"])})


def _lying(body: VideoBody, path: Path) -> FileBody:
    """A body in a file: as it lies, or bytes written to ``path``."""
    if isinstance(body, FileBody):
        return body
    path.write_bytes(body)
    return FileBody(path=path, size_bytes=len(body), temporary=True)


def _clip_path(folder: Path, token: str, number: int) -> Path:
    return folder / f"{token}-{number}.mp4"


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
