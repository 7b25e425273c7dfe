"""Media in archives and folders, read where they lie."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from gristmill.spec.body import LARGE_BYTES, PIECE_BYTES, Body, FileBody, Pointer
from gristmill.spec.locator import Locator, Member
from gristmill.spec.media_source import MediaSource, SourceEntry
from gristmill.spec.reasons import Reason
from gristmill.spec.step import MediaContext
from gristmill.steps.acquirers import Acquired, Place, Wanted
from gristmill.steps.acquirers._window import Settings, Windowed, written
from gristmill.storage.archives import MemberRefused, Refusal

__all__ = ["acquirer", "member_of", "places", "reason_of"]

_REASONS = {Refusal.TOO_LARGE: Reason.TOO_LARGE, Refusal.TRUNCATED: Reason.SHORT_BODY}
"""What is no file that is not there, or not where it may be."""
_MOST_TOGETHER = 8


class MemberAcquirer(Windowed):
    """Looks up all members of a source at once, and reads them in the order in which they lie."""

    async def bodies(self, wanted: Wanted, box: MediaContext) -> AsyncIterator[tuple[int, Acquired]]:
        """See :class:`Windowed`."""
        of_source: dict[str, list[tuple[int, str]]] = {}
        for number, at in wanted:
            if isinstance(at, Member):
                of_source.setdefault(at.source, []).append((number, at.path))
        for key, members in of_source.items():
            source: MediaSource = box.source(key)
            entries = await asyncio.to_thread(source.find, [path for _, path in members])
            found: list[tuple[int, SourceEntry]] = []
            for (number, path), entry in zip(members, entries, strict=True):
                if entry is None:
                    yield number, Acquired(reason=Reason.NO_FILE, detail=f"{path} is not in {key}"[:200])
                else:
                    found.append((number, entry))
            found.sort(key=lambda one: (one[1].archive, one[1].offset))
            for some in _together(found):
                read = await asyncio.to_thread(self._read, key, source, [entry for _, entry in some], box)
                for (number, _), one in zip(some, read, strict=True):
                    yield number, one

    def _read(
        self, key: str, source: MediaSource, entries: Sequence[SourceEntry], box: MediaContext
    ) -> list[Acquired]:
        return [member_of(key, source, entry, box, self.most_bytes) for entry in entries]


def member_of(
    key: str, source: MediaSource, entry: SourceEntry, box: MediaContext, most_bytes: int, **told: Any
) -> Acquired:
    """Read one member, or say why not.

    Args:
        key: Of the source.
        source: Holds the member.
        entry: The member.
        box: Of the task.
        most_bytes: A larger one is refused.
        told: Further columns of the medium's fate.
    """
    if entry.size_bytes > most_bytes:
        return Acquired(reason=Reason.TOO_LARGE, detail=f"{entry.size_bytes:,} bytes")
    try:
        member = source.pointer(entry)
        if not entry.size_bytes:
            return Acquired(reason=Reason.EMPTY)
        pointer = member and Pointer(source=key, member=member, crc32=entry.crc32)
        return Acquired(body=_body(source, entry, box), pointer=pointer or None, told=told)
    except MemberRefused as err:
        return Acquired(reason=reason_of(err.refusal), detail=str(err)[:200])


def reason_of(refusal: Refusal) -> Reason:
    """Say why a medium is lost whose member is refused."""
    return _REASONS.get(refusal, Reason.NO_FILE)


def _together(found: Sequence[tuple[int, SourceEntry]]) -> Iterator[Sequence[tuple[int, SourceEntry]]]:
    """Neighbours that are read in one go: handing one to a thread costs as much as reading it. Large ones alone."""
    some: list[tuple[int, SourceEntry]] = []
    size = 0
    for one in found:
        if some and (len(some) == _MOST_TOGETHER or size + one[1].size_bytes > PIECE_BYTES):
            yield some
            some, size = [], 0
        some.append(one)
        size += one[1].size_bytes
    if some:
        yield some


def _body(source: MediaSource, entry: SourceEntry, box: MediaContext) -> Body:
    """A member's bytes; of a large one where they stand, or a file to which they are unpacked.

    Raises:
        MemberRefused: They are not what they should be; of a range that stands somewhere this is not looked at.
    """
    if entry.size_bytes <= LARGE_BYTES:
        with source.open(entry) as stream:
            return stream.read()
    extent = source.extent(entry)
    if extent is not None:
        return FileBody(path=extent.path, offset=extent.offset, size_bytes=extent.size_bytes)
    with source.open(entry) as stream:
        return written(iter(lambda: stream.read(PIECE_BYTES), b""), box.scratch())


def places(source: MediaSource, wanted: Sequence[Locator]) -> list[Place | None]:
    """See :func:`gristmill.steps.acquirers.places_of`."""
    found = source.find([at.path if isinstance(at, Member) else "" for at in wanted])
    return [None if entry is None else (entry.archive, entry.offset) for entry in found]


async def acquirer(step: Settings) -> MemberAcquirer:
    """See :mod:`gristmill.steps.acquirers`."""
    return MemberAcquirer(step)
