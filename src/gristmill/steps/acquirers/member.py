"""Media in archives and folders, read where they lie."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from gristmill.spec.locator import Member
from gristmill.spec.media_source import MediaSource, SourceEntry
from gristmill.spec.reasons import Reason
from gristmill.spec.step import MediaContext
from gristmill.steps.acquirers import Acquired, Wanted
from gristmill.steps.acquirers._window import Settings, Windowed
from gristmill.storage.archives import MemberRefused, Refusal

__all__ = ["acquirer"]

_REASONS = {Refusal.TOO_LARGE: Reason.TOO_LARGE, Refusal.TRUNCATED: Reason.SHORT_BODY}
"""What is no file that is not there, or not where it may be."""


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
            for number, entry in sorted(found, key=lambda one: (one[1].archive, one[1].offset)):
                yield number, await asyncio.to_thread(self._read, source, entry)

    def _read(self, source: MediaSource, entry: SourceEntry) -> Acquired:
        if entry.size_bytes > self.most_bytes:
            return Acquired(reason=Reason.TOO_LARGE, detail=f"{entry.size_bytes:,} bytes")
        try:
            with source.open(entry) as stream:
                body = stream.read()
        except MemberRefused as err:
            return Acquired(reason=_REASONS.get(err.refusal, Reason.NO_FILE), detail=str(err)[:200])
        return Acquired(body=body) if body else Acquired(reason=Reason.EMPTY)


async def acquirer(step: Settings) -> MemberAcquirer:
    """See :mod:`gristmill.steps.acquirers`."""
    return MemberAcquirer(step)
