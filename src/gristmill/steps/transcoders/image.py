"""Pictures: decoded in child processes, to be stored anew or only checked."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence

from gristmill.media.errors import Undecodable
from gristmill.media.pool import CodecPool
from gristmill.media.settings import Decoding
from gristmill.media.transcoded import Transcoded
from gristmill.spec.body import Body, bytes_of, size_of
from gristmill.spec.cut import Cut
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop
from gristmill.spec.step import MediaContext
from gristmill.steps.transcoders import StoredMedium

__all__ = ["transcoder"]

_KNOWN_PICTURES = 20_000
"""Pictures whose check is remembered; a few hundred bytes each."""

_OF_THE_MOMENT = frozenset({Reason.DECODER_CRASH, Reason.DECODER_TIMEOUT, Reason.KILLED})
"""What may have been the machine's fault and not the picture's."""


class ImageTranscoder:
    """Decoders, and what they said of pictures that are only checked."""

    def __init__(self, step: Decoding) -> None:
        settings = step.image_settings()
        self._checks = settings.only_check
        self._known: OrderedDict[str, asyncio.Future[StoredMedium | Drop]] = OrderedDict()
        self._most_bytes = getattr(step, "max_image_bytes", None)  # of a step that takes larger things too
        self._one_large = asyncio.Lock()  # is in memory at a time
        self._pool = CodecPool(settings, processes=step.codecs, deadline_s=step.codec_deadline_s)

    async def take(
        self, body: Body, sha256: str, cuts: Sequence[Cut | None], box: MediaContext
    ) -> AsyncGenerator[tuple[Cut | None, StoredMedium | Drop]]:
        """See :class:`gristmill.steps.transcoders.Transcoder`."""
        made: StoredMedium | Drop
        if self._most_bytes is not None and size_of(body) > self._most_bytes:
            made = Drop(reason=Reason.TOO_LARGE, detail=f"{size_of(body):,} bytes")
        else:
            made = await (self._checked(body, sha256) if self._checks else self._asked(body))
        for cut in cuts:
            yield cut, made

    async def _asked(self, body: Body) -> StoredMedium | Drop:
        try:
            if isinstance(body, bytes):
                picture = await self._pool.transcode(body)
            else:
                async with self._one_large:
                    picture = await self._pool.transcode(await asyncio.to_thread(bytes_of, body))
        except Undecodable as err:
            return Drop(reason=err.reason, detail=err.detail)
        return _made(picture, None if self._checks else picture.body)

    async def _checked(self, body: Body, sha256: str) -> StoredMedium | Drop:
        """What the decoder said of these bytes: many rows of a file are about the same picture."""
        known = self._known.get(sha256)
        if known is not None:
            self._known.move_to_end(sha256)
            return await asyncio.shield(known)
        known = self._known[sha256] = asyncio.get_running_loop().create_future()
        if len(self._known) > _KNOWN_PICTURES:
            self._known.popitem(last=False)
        try:
            said = await self._asked(body)
        except BaseException as err:  # whatever it is, nobody may be left waiting
            self._known.pop(sha256, None)
            known.set_exception(err)
            known.exception()  # taken note of, also if nobody waits
            raise
        if isinstance(said, Drop) and said.reason in _OF_THE_MOMENT:
            self._known.pop(sha256, None)
        known.set_result(said)
        return said

    async def close(self) -> None:
        """End the decoders."""
        await self._pool.close()


def transcoder(step: Decoding) -> ImageTranscoder:
    """See :mod:`gristmill.steps.transcoders`."""
    return ImageTranscoder(step)


def _made(picture: Transcoded, body: bytes | None) -> StoredMedium:
    return StoredMedium(
        body=body,
        format=picture.format,
        facts={
            "original_mime": f"image/{picture.original_format}",
            "original_width_px": picture.original_width_px,
            "original_height_px": picture.original_height_px,
            "mime": f"image/{picture.format}",
            "width_px": picture.width_px,
            "height_px": picture.height_px,
            "phash": picture.phash,
        },
    )
