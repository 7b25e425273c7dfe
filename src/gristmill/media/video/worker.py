"""A process for videos: one video at a time, answers as they are finished, until its parent goes.

Started by ``gristmill.media.video.pool`` as ``gristmill.media.worker`` is by its pool. Clips are written by this
process into the folder that is named to it, each no larger than a limit that the kernel enforces.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from gristmill.media import limits, wire
from gristmill.media.errors import Undecodable
from gristmill.media.video import clips, mux, stills
from gristmill.media.video.facts import VideoFacts
from gristmill.media.video.settings import VideoSettings
from gristmill.media.video.source import BAD
from gristmill.media.video.window import Window
from gristmill.spec.cut import Cut
from gristmill.spec.reasons import Reason

__all__ = ["answered", "main"]

CPU_S = 4 * 3600.0
"""Processor time that a video may use in all; between two signs of life it is the parent's deadline that counts."""
MEMORY_BYTES = 700 << 20
"""Address space beyond what the process has when it begins, for a frame of no size."""
BYTES_PER_PIXEL = 150
RECYCLE_RSS_BYTES = 400 << 20

_OF_THE_MACHINE = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EACCES,
        errno.EMFILE,
        errno.ENFILE,
    }
)

Said = tuple[dict[str, Any], bytes]
Tell = Callable[[dict[str, Any], bytes], None]


def main(arguments: list[str] | None = None) -> None:
    """Serve until the parent closes its end."""
    settings_json, deadline_s = arguments or sys.argv[1:]
    settings = VideoSettings(**orjson.loads(settings_json))
    limits.enclose(file_bytes=settings.max_clip_bytes)
    gc.freeze()
    gc.enable()
    with socket.socket(fileno=os.dup(0)) as sock, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        sock.sendall(wire.READY)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        _serve(sock, settings, float(deadline_s))
    os._exit(0)


def _serve(sock: socket.socket, settings: VideoSettings, deadline_s: float) -> None:
    leave = False

    def tell(facts: dict[str, Any], stored: bytes) -> None:
        wire.send_answer(sock, facts, stored)

    while not leave and (request := wire.receive_request(sock)) is not None:
        data = wire.receive_request(sock)
        if data is None:
            return
        limits.begin_body(len(data), wall_s=CPU_S, cpu_s=CPU_S)
        limits.allow_bytes(MEMORY_BYTES + settings.max_pixels * BYTES_PER_PIXEL)
        end = answered(orjson.loads(request), data, settings, tell)
        gc.collect()
        leave = limits.end_body() > RECYCLE_RSS_BYTES
        tell({**end, "leave": leave}, b"")
        limits.give_back()


def answered(asked: dict[str, Any], data: bytes, settings: VideoSettings, tell: Tell) -> dict[str, Any]:
    """Do what is asked of one video, and ``tell`` the answers as they are finished and signs of life between them.

    Returns:
        The last that is to be said: nothing, or why no more came.

    Raises:
        OSError: Nobody listens any more.
    """
    job = _Job(asked, data, settings, tell)
    try:
        for facts, stored in job.answers():
            tell(facts, stored)
    except Undecodable as err:
        return _refused(err)
    except MemoryError:
        return {"reason": str(Reason.UNDECODABLE), "detail": "needs too much memory"}
    except OSError as err:
        if isinstance(err, BrokenPipeError | ConnectionResetError):
            raise
        return _os_error(err, job.folder)
    except BAD as err:
        return _refused(Undecodable(Reason.UNDECODABLE, str(err.strerror)))
    finally:
        job.close()
    return {}


def _refused(err: Undecodable) -> dict[str, Any]:
    return {"reason": str(err.reason), "detail": err.detail}


def _os_error(err: OSError, folder: str) -> dict[str, Any]:
    """Tell the video's fault, as a file that grew beyond its limit, from the machine's."""
    if err.errno == errno.EFBIG:
        return _refused(Undecodable(Reason.TOO_LARGE, "the clip would be larger than the limit"))
    if isinstance(err, BAD) and err.errno not in _OF_THE_MACHINE:
        return _refused(Undecodable(Reason.UNDECODABLE, str(err.strerror)))
    said = f"A video could not be read, or its clips written to {folder or 'memory'}: {err}."
    return {"machine": f"{said}\nSee to the disk, then run the same command."}


class _Job:
    """One request: the readers that it opened, and its answers."""

    def __init__(self, asked: dict[str, Any], data: bytes, settings: VideoSettings, tell: Tell) -> None:
        self._asked, self._data, self._settings, self._tell = asked, data, settings, tell
        self._readers: list[Window] = []

    @property
    def folder(self) -> str:
        """The folder that files are written to, if any are."""
        return str(self._asked.get("folder", ""))

    def _reader(self, which: str = "at") -> BinaryIO:
        at = self._asked[which]
        if at is None:
            reader = Window(BytesIO(self._data), 0, len(self._data))
        else:
            file = open(at["path"], "rb", buffering=0)  # noqa: SIM115 - the window closes it
            reader = Window(file, at["offset"], at["size_bytes"])
        self._readers.append(reader)
        return cast(BinaryIO, reader)

    def _beat(self) -> None:
        self._tell({"beat": True}, b"")

    def _path(self, number: int) -> Path:
        return Path(self._asked["folder"], f"{self._asked['token']}-{number}.mp4")

    def close(self) -> None:
        for reader in self._readers:
            reader.close()

    def answers(self) -> Iterator[Said]:
        """Answer the request, but for the end."""
        asked, settings = self._asked, self._settings
        match asked["do"]:
            case "probe":
                yield {"facts": asdict(clips.measured(self._reader, settings, self._beat))}, b""
            case "clips":
                cuts = [(number, Cut(**cut)) for number, cut in asked["cuts"]]
                for number, made in clips.clips(self._reader, cuts, self._path, settings, self._beat):
                    yield {"clip": number, **self._said(made, self._path(number))}, b""
            case "whole" if settings.mode == "keep":
                facts = clips.measured(self._reader, settings, self._beat)
                if facts.broken_tail and not settings.keep_broken:
                    raise Undecodable(Reason.BROKEN_TAIL, f"{facts.frames} frames decode")
                yield {"facts": asdict(facts)}, b""
            case "whole":
                made = clips.whole(self._reader, self._path(0), settings, self._beat)
                if isinstance(made, Undecodable):
                    raise made
                yield self._said(made, self._path(0)), b""
            case "joined":
                path = self._path(0)
                stills.joined(self._reader(), asked["fps"], path, settings, self._beat)
                yield self._said(clips.measured_file(path, settings, self._beat), path), b""
            case "mux":
                begins = Path(self._asked["folder"], self._asked["token"])
                path = mux.muxed(self._reader(), self._reader("sound"), begins, settings, self._beat)
                yield {"file": _file(path)}, b""
            case "frames":
                wanted = {
                    name: asked[name] for name in ("times_s", "count", "short_side_px") if name in asked
                }
                for jpeg in stills.frames_at(self._reader, settings, self._beat, **wanted):
                    yield {}, jpeg
            case "split":
                for number, jpeg in enumerate(stills.split(self._reader, asked["fps"], settings, self._beat)):
                    path = Path(asked["folder"], f"{asked['token']}-{number:06}.jpg")
                    path.write_bytes(jpeg)
                    yield {"file": _file(path)}, b""

    def _said(self, made: VideoFacts | Undecodable, path: Path) -> dict[str, Any]:
        if isinstance(made, Undecodable):
            return _refused(made)
        return {"facts": asdict(made), "file": _file(path)}


def _file(path: Path) -> dict[str, Any]:
    return {"path": str(path), "size_bytes": path.stat().st_size, "temporary": True}


if __name__ == "__main__":
    main()
