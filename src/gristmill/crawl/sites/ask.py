"""Fetching the video of one page: a child process with deadlines, and a partial file that goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any, TypeAlias

from gristmill.crawl.answer import clean
from gristmill.crawl.sites.refusals import Said, reason_of
from gristmill.crawl.sites.settings import SiteSettings
from gristmill.media.errors import Undecodable
from gristmill.spec.errors import MachineError, Stopped, UsageError
from gristmill.spec.extras import install
from gristmill.spec.reasons import Reason
from gristmill.storage.files import write_whole

__all__ = ["Join", "SiteRefusal", "SiteVideo", "ask"]

Join: TypeAlias = Callable[[Path, Path], Awaitable[Path]]
"""Puts a picture and its sound into one file beside them; it may raise :class:`Undecodable`."""

_MAIN = "from gristmill.crawl.sites.child import main; main()"
_COMMAND = (sys.executable, "-P", "-c", _MAIN)
_DONE = "done.json"
_POLL_S = 0.2
_GOES_ON_S = 86_400.0
"""What came longer ago is not gone on with: yt-dlp does not ask whether the site still has the same."""
_LINE_BYTES = 1 << 20
_TAIL_CHARS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteVideo:
    """A video that is there.

    Attributes:
        format: As the site calls it.
        height_px: As the site says; None where it does not.
    """

    path: Path
    format: str = ""
    height_px: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRefusal:
    """Says why a page gave no video."""

    reason: Reason
    detail: str


async def ask(
    page: str,
    folder: Path,
    settings: SiteSettings,
    stop: Event,
    *,
    join: Join,
    command: Sequence[str] = _COMMAND,
) -> SiteVideo | SiteRefusal:
    """The video that a page shows, in ``folder``, which is the page's own and outlasts a kill.

    What came of it before is gone on with; a video that is there whole is not asked for.

    Args:
        page: ``http`` or ``https``.
        folder: It is made.
        settings: Limits.
        stop: When it is set, the child is ended.
        join: What to do with a picture and a sound that came apart.
        command: What to start; for tests.

    Raises:
        Stopped: ``stop`` was set.
        UsageError: The file of cookies is none.
        MachineError: The child does not start.
        OSError: As the system says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = _there(folder)
    if found is not None:
        return found
    for part in folder.glob("*.part*"):
        if time.time() - part.stat().st_mtime > _GOES_ON_S:
            part.unlink()
    child = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=_LINE_BYTES, start_new_session=True
    )
    errors = asyncio.ensure_future(_tail(child))
    try:
        assert child.stdin is not None
        child.stdin.write(
            json.dumps({"page": page, "folder": str(folder), **asdict(settings)}).encode() + b"\n"
        )
        told = await _told(child, settings, stop)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # and what it started
        await child.wait()
        assert child.stdin is not None
        child.stdin.close()
        said = await errors
    if isinstance(told, SiteRefusal):
        return told
    if told is None:
        if "No module named" in said:
            raise MachineError(f"yt-dlp is missing, which asks video sites: {install('video')}")
        return SiteRefusal(reason=Reason.SITE_REFUSED, detail=clean(f"yt-dlp ended without a word: {said}"))
    if "files" in told:
        return await _whole(told, folder, settings, join)
    return _refusal(told)


async def _whole(
    told: dict[str, Any], folder: Path, settings: SiteSettings, join: Join
) -> SiteVideo | SiteRefusal:
    """The video, in one file, and a note that it is whole; what came goes if it cannot be one."""
    parts = [folder / Path(str(name)).name for name in told["files"]]
    sizes = [part.stat().st_size for part in parts]
    refused = None
    if sum(sizes) > settings.max_body_bytes or not all(sizes):
        reason = Reason.TOO_LARGE if all(sizes) else Reason.EMPTY
        allowed = f"{settings.max_body_bytes:,} allowed"
        refused = SiteRefusal(reason=reason, detail=f"{sum(sizes):,} bytes, {allowed}")
    path = parts[0]
    if refused is None and len(parts) == 2:
        try:
            path = await join(parts[0], parts[1])
        except Undecodable as err:
            said = f"picture and sound came apart and make no video: {err.detail}"
            refused = SiteRefusal(reason=err.reason, detail=clean(said))
    if refused is None:
        note = {**told, "file": path.name, "size_bytes": path.stat().st_size}
        write_whole(folder / _DONE, json.dumps(note).encode())
    for part in parts:
        if refused is not None or part != path:
            part.unlink(missing_ok=True)
    found = _there(folder) if refused is None else refused
    assert found is not None
    return found


def _there(folder: Path) -> SiteVideo | None:
    """The video of a folder, if it is there whole."""
    try:
        told = json.loads((folder / _DONE).read_bytes())
        path = folder / Path(str(told["file"])).name
        if path.stat().st_size != told["size_bytes"]:
            return None
        height = told.get("height")
        return SiteVideo(
            path=path,
            format=str(told.get("format", "")),
            height_px=height if isinstance(height, int) else None,
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


async def _told(child: Process, settings: SiteSettings, stop: Event) -> dict[str, Any] | SiteRefusal | None:
    """The child's last word; None if it ended without one.

    Raises:
        Stopped: ``stop`` was set.
    """
    assert child.stdout is not None
    began = heard = time.monotonic()
    reading: asyncio.Future[bytes] | None = None
    have = -1
    try:
        while True:
            reading = reading or asyncio.ensure_future(child.stdout.readline())
            await asyncio.wait((reading,), timeout=_POLL_S)
            now = time.monotonic()
            if stop.is_set():
                raise Stopped("the run was asked to stop")
            if reading.done():
                line, reading = reading.result(), None
                if not line:
                    return None
                told = _parsed(line)
                if "bytes" not in told:
                    return told
                if told["bytes"] != have:
                    have, heard = told["bytes"], now
            if now - began > settings.total_s:
                return SiteRefusal(reason=Reason.DEADLINE, detail=f"not there within {settings.total_s:g} s")
            if now - heard > settings.stall_s:
                return SiteRefusal(reason=Reason.STALLED, detail=f"no progress for {settings.stall_s:g} s")
    finally:
        if reading is not None:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, ValueError):
                await reading


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {"bytes": -1}  # what a library printed
    return told if isinstance(told, dict) else {"bytes": -1}


async def _tail(child: Process) -> str:
    """The end of what the child wrote to its standard error."""
    assert child.stderr is not None
    kept = b""
    while piece := await child.stderr.read(4096):
        kept = (kept + piece)[-4 * _TAIL_CHARS :]
    return kept.decode("utf-8", "replace").strip()[-_TAIL_CHARS:]


def _refusal(told: dict[str, Any]) -> SiteRefusal:
    if told.get("reason") == "cookies":
        raise UsageError(f"{told['text']}. Export it anew, and name it again.")
    if "reason" in told:
        return SiteRefusal(reason=Reason(told["reason"]), detail=clean(str(told["text"])))
    said = Said(**told["refused"])
    return SiteRefusal(reason=reason_of(said), detail=clean(said.text))
