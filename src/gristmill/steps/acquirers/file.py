"""Media that are files below a folder which a person declared; nothing outside of it is read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from gristmill.spec.body import LARGE_BYTES, Body, FileBody, size_of
from gristmill.spec.errors import DamagedOutput
from gristmill.spec.locator import File
from gristmill.spec.media_source import FileSource
from gristmill.spec.reasons import Reason
from gristmill.spec.step import MediaContext
from gristmill.steps.acquirers import Acquired, Wanted
from gristmill.steps.acquirers._window import Settings, Windowed
from gristmill.storage.inside import irregularity, open_regular

__all__ = ["acquirer"]


class FileAcquirer(Windowed):
    """Reads regular files; links, and names that lead upwards, are refused."""

    async def bodies(self, wanted: Wanted, box: MediaContext) -> AsyncIterator[tuple[int, Acquired]]:
        """See :class:`Windowed`."""
        for number, at in wanted:
            if isinstance(at, File):
                source: FileSource = box.source(at.source)
                yield number, await asyncio.to_thread(self._read, source.root, at.path)

    def _read(self, root: Path, path: str) -> Acquired:
        why = irregularity(root, path)
        if why is not None:
            return Acquired(reason=Reason.NO_FILE, detail=f"{path!a} is {why}"[:200])
        try:
            with open_regular(root / path) as stream:
                size = os.fstat(stream.fileno()).st_size
                large = LARGE_BYTES < size <= self.most_bytes
                body: Body = (
                    FileBody(path=root / path, size_bytes=size) if large else stream.read(self.most_bytes + 1)
                )
        except (FileNotFoundError, PermissionError, DamagedOutput) as err:
            return Acquired(reason=Reason.NO_FILE, detail=f"{path!a}: {type(err).__name__}"[:200])
        if size_of(body) > self.most_bytes:
            return Acquired(reason=Reason.TOO_LARGE, detail=f"more than {self.most_bytes:,} bytes")
        return Acquired(body=body) if size_of(body) else Acquired(reason=Reason.EMPTY)


async def acquirer(step: Settings) -> FileAcquirer:
    """See :mod:`gristmill.steps.acquirers`."""
    return FileAcquirer(step)
