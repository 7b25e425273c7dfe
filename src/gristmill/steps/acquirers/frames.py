"""Frames of a video that lie in a folder of a media source: brought as one body, JPEG behind JPEG.

The order is that of the numbers in their names, so that ``f10.jpg`` stands behind ``f9.jpg``. A frame that is
refused, empty, no JPEG or cut off costs the video: those behind it would be shown too early.
Numbers that are missing among the others, and a folder that lies in several archives, are told in the fate's
``detail`` and cost nothing.
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from gristmill.spec.body import LARGE_BYTES, PIECE_BYTES, Body
from gristmill.spec.locator import Frames, Locator
from gristmill.spec.media_source import MediaSource, SourceEntry
from gristmill.spec.reasons import Reason
from gristmill.spec.step import MediaContext
from gristmill.steps.acquirers import Acquired, Place, Wanted
from gristmill.steps.acquirers._window import Settings, Windowed, filled
from gristmill.steps.acquirers.member import reason_of
from gristmill.storage.archives import MemberRefused, Refusal

__all__ = ["acquirer", "places"]

_ENDINGS = (".jpg", ".jpeg")
_HEAD, _END = b"\xff\xd8\xff", b"\xff\xd9"
_NAMED = 5


class FramesAcquirer(Windowed):
    """Looks up all folders of a source at once, and reads their frames in the order in which they lie."""

    async def bodies(self, wanted: Wanted, box: MediaContext) -> AsyncIterator[tuple[int, Acquired]]:
        """See :class:`Windowed`."""
        of_source: dict[str, list[tuple[int, str]]] = {}
        for number, at in wanted:
            if isinstance(at, Frames):
                of_source.setdefault(at.source, []).append((number, at.folder))
        for key, folders in of_source.items():
            source: MediaSource = box.source(key)
            found = await asyncio.to_thread(_members, source, [folder for _, folder in folders])
            there = []
            for (number, folder), members in zip(folders, found, strict=True):
                if members:
                    there.append((number, folder, members))
                else:
                    yield number, Acquired(reason=Reason.NO_FILE, detail=f"{folder}/ is not in {key}"[:200])
            for number, folder, members in sorted(there, key=lambda one: _place(one[2][0])):
                yield number, await asyncio.to_thread(self._joined, source, folder, members, box)

    def _joined(
        self, source: MediaSource, folder: str, members: Sequence[SourceEntry], box: MediaContext
    ) -> Acquired:
        frames = sorted(
            (one for one in members if one.name.lower().endswith(_ENDINGS)),
            key=lambda one: _numeric(one.name),
        )
        if not frames:
            said = f"{folder}/ holds {len(members):,} files, such as {members[0].name}, and no JPEG"
            return Acquired(reason=Reason.NO_FILE, detail=said[:200])
        size = sum(frame.size_bytes for frame in frames)
        if size > self.most_bytes:
            return Acquired(reason=Reason.TOO_LARGE, detail=f"{size:,} bytes in {len(frames):,} frames")
        try:
            told = "; ".join(filter(None, [_spread(frames), _gaps(frames)]))
            return Acquired(body=_body(source, frames, size, box.scratch()), told={"detail": told[:200]})
        except MemberRefused as err:
            return Acquired(reason=reason_of(err.refusal), detail=str(err)[:200])
        except _BadFrame as err:
            return Acquired(reason=err.reason, detail=str(err)[:200])


class _BadFrame(ValueError):
    """A frame that is no whole JPEG."""

    def __init__(self, reason: Reason, said: str) -> None:
        super().__init__(said)
        self.reason = reason


def _members(source: MediaSource, folders: Sequence[str]) -> list[list[SourceEntry]]:
    """What lies in each folder, as it lies there; without what only a later member of the same name replaces."""
    found: list[list[SourceEntry]] = [[] for _ in folders]
    for number, entry in source.below(folders):
        if entry.refused is not Refusal.DUPLICATE:
            found[number].append(entry)
    for members in found:
        members.sort(key=_place)
    return found


def _body(source: MediaSource, frames: Sequence[SourceEntry], size: int, scratch: Path) -> Body:
    """All frames in their order; they are read in that in which they lie, which is another one now and then."""
    offsets, at = {}, 0
    for frame in frames:
        offsets[frame.name], at = at, at + frame.size_bytes

    def fill(stream: BinaryIO) -> None:
        for frame in sorted(frames, key=_place):
            stream.seek(offsets[frame.name])
            _copy(source, frame, stream)

    if size > LARGE_BYTES:
        return filled(fill, scratch)
    memory = io.BytesIO()
    fill(memory)
    return memory.getvalue()


def _copy(source: MediaSource, frame: SourceEntry, to: BinaryIO) -> None:
    """Copy one frame.

    Raises:
        MemberRefused: It is not read, or is not what it should be.
        _BadFrame: It is no JPEG, or not a whole one.
    """
    head = tail = b""
    with source.open(frame) as stream:
        while piece := stream.read(PIECE_BYTES):
            head, tail = head or piece[: len(_HEAD)], (tail + piece)[-len(_END) :]
            to.write(piece)
    if not head:
        raise _BadFrame(Reason.EMPTY, f"{frame.name} is empty")
    if head != _HEAD:
        raise _BadFrame(Reason.NOT_AN_IMAGE, f"{frame.name} is no JPEG")
    if tail != _END:
        raise _BadFrame(Reason.TRUNCATED, f"{frame.name} does not end as a JPEG does")


def _spread(frames: Sequence[SourceEntry]) -> str:
    archives = len({frame.archive for frame in frames})
    return f"its frames lie in {archives} archives" if archives > 1 else ""


def _gaps(frames: Sequence[SourceEntry]) -> str:
    """Numbers that are missing among those of the frames, in words; empty where none is.

    Frames of which every second was kept lack nothing: the least distance is the usual one.
    """
    numbered = [re.fullmatch(r"(.*?)(\d+)\D*", frame.name) for frame in frames]
    if not all(numbered) or len({found[1] for found in numbered if found}) > 1:
        return ""
    numbers = sorted({int(found[2]) for found in numbered if found})
    pairs = list(pairwise(numbers))
    usual = min((after - before for before, after in pairs), default=1)
    gaps = [(before + usual, after - usual) for before, after in pairs if after - before > usual]
    if numbers[0] > usual:
        gaps.insert(0, (1, numbers[0] - 1))
    shown = [str(first) if first >= last else f"{first}-{last}" for first, last in gaps[:_NAMED]]
    more = f" and {len(gaps) - _NAMED:,} more" if len(gaps) > _NAMED else ""
    return f"frames that are missing by their numbers: {', '.join(shown)}{more}" if gaps else ""


def _numeric(name: str) -> list[str | int]:
    """A name as it is sorted by: the numbers in it count as such."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _place(entry: SourceEntry) -> Place:
    return entry.archive, entry.offset


def places(source: MediaSource, wanted: Sequence[Locator]) -> list[Place | None]:
    """See :func:`gristmill.steps.acquirers.places_of`: that of the folder's first member."""
    found: list[Place | None] = [None] * len(wanted)
    folders = [at.folder if isinstance(at, Frames) else "" for at in wanted]
    for number, entry in source.below(folders):
        known = found[number]
        found[number] = _place(entry) if known is None else min(known, _place(entry))
    return found


async def acquirer(step: Settings) -> FramesAcquirer:
    """See :mod:`gristmill.steps.acquirers`."""
    return FramesAcquirer(step)
