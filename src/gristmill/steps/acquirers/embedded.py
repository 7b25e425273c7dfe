"""Media that lie in the annotation rows themselves, as Base64."""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import AsyncIterator

import pybase64

from gristmill.spec.locator import Embedded
from gristmill.spec.reasons import Reason
from gristmill.spec.step import MediaContext
from gristmill.steps.acquirers import Acquired, Wanted
from gristmill.steps.acquirers._window import Settings, Windowed

__all__ = ["acquirer"]

_DATA_URL = "data:"


class EmbeddedAcquirer(Windowed):
    """Turns Base64 into bytes."""

    async def bodies(self, wanted: Wanted, box: MediaContext) -> AsyncIterator[tuple[int, Acquired]]:
        """See :class:`Windowed`."""
        for number, at in wanted:
            if isinstance(at, Embedded):
                yield number, self._unpacked(at.text)
                await asyncio.sleep(0)  # decoders are spoken to before the next text is unpacked

    def _unpacked(self, text: str) -> Acquired:
        """The bytes behind a Base64 text, which may wear the head of a ``data:`` URL and be broken into lines."""
        if text.startswith(_DATA_URL):
            text = text.partition(",")[2]
        if len(text) // 4 * 3 > self.most_bytes + 2:
            return Acquired(reason=Reason.TOO_LARGE, detail=f"about {len(text) // 4 * 3:,} bytes")
        try:
            body = _decoded(text)
        except (binascii.Error, ValueError) as err:
            return Acquired(reason=Reason.BAD_BASE64, detail=str(err))
        return Acquired(body=body) if body else Acquired(reason=Reason.EMPTY)


async def acquirer(step: Settings) -> EmbeddedAcquirer:
    """See :mod:`gristmill.steps.acquirers`."""
    return EmbeddedAcquirer(step)


def _decoded(text: str) -> bytes:
    """White space between the characters is no fault (RFC 2045, 6.8); anything else is.

    Raises:
        binascii.Error, ValueError: It is no Base64.
    """
    try:
        return bytes(pybase64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        plain = "".join(text.split())
        if len(plain) == len(text):
            raise
        return bytes(pybase64.b64decode(plain, validate=True))
