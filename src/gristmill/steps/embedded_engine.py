"""The engine behind the step ``embedded``: Base64 to bytes, hashes and decoders, a few bodies at a time."""

from __future__ import annotations

import asyncio
import binascii
import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import pybase64

from gristmill.media.errors import Undecodable
from gristmill.media.pool import CodecPool
from gristmill.media.settings import Decoding
from gristmill.media.transcoded import Transcoded
from gristmill.spec.fate import Fate
from gristmill.spec.locator import Embedded
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import MediaRef, Sample
from gristmill.steps.loop_thread import LoopThread

__all__ = ["Body", "Engine", "Wanted", "medium_of", "part_of"]

_EXTENSIONS = {"jpeg": "jpg"}
"""Of formats whose usual extension is not their name."""

_ONLY = "image"
_DATA_URL = "data:"
_KNOWN_PICTURES = 20_000
"""Pictures whose check is remembered; a few hundred bytes each."""

_OF_THE_MOMENT = frozenset({Reason.DECODER_CRASH, Reason.DECODER_TIMEOUT, Reason.KILLED})
"""What may have been the machine's fault and not the picture's."""

_WINDOW_PER_CODEC = 6


class Settings(Decoding, Protocol):
    """What the engine wants to know of the step."""

    @property
    def max_body_bytes(self) -> int:
        """Largest picture, in bytes."""


@dataclass(slots=True)
class Wanted:
    """One medium to decode."""

    sample: Sample
    name: str
    ref: MediaRef

    @property
    def row(self) -> int:
        """Where the sample's row stands in its annotation file."""
        return self.sample.origin.row if self.sample.origin else 0


@dataclass(slots=True)
class Body:
    """What became of one medium; ``stored`` is None where it is not kept."""

    fate: Fate
    stored: bytes | None


class Engine:
    """What a worker keeps from task to task: decoders, and the event loop that speaks to them."""

    def __init__(self, step: Settings) -> None:
        self._most_bytes = step.max_body_bytes
        self._checks = step.image_settings().only_check
        self._window = _WINDOW_PER_CODEC * step.codecs
        self._known: OrderedDict[str, asyncio.Future[Transcoded | Undecodable]] = OrderedDict()
        self._pool = CodecPool(step.image_settings(), processes=step.codecs, deadline_s=step.codec_deadline_s)
        self._loop = LoopThread("embedded")

    def bodies(self, wanted: Iterable[Wanted]) -> Iterator[Body]:
        """What became of each, in order; at most a few are in memory."""
        waiting: deque[Future[Body]] = deque()
        try:
            for one in wanted:
                waiting.append(self._loop.submit(self._body(one)))
                if len(waiting) > self._window:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    async def _body(self, one: Wanted) -> Body:
        fate = Fate(row=one.row, key=one.sample.key, medium=one.name)
        try:
            body = self._unpacked(one.ref.at.text if isinstance(one.ref.at, Embedded) else "")
            fate.raw_bytes, fate.sha256 = len(body), hashlib.sha256(body).hexdigest()
            picture = await (self._checked(fate.sha256, body) if self._checks else self._pool.transcode(body))
        except Undecodable as err:
            fate.reason, fate.detail = err.reason, err.detail
            return Body(fate, None)
        stored = body if self._checks else picture.body
        fate.medium = part_of(one.name, _EXTENSIONS.get(picture.format, picture.format))
        fate.original_mime, fate.mime = f"image/{picture.original_format}", f"image/{picture.format}"
        fate.original_width_px = picture.original_width_px
        fate.original_height_px = picture.original_height_px
        fate.width_px, fate.height_px, fate.size_bytes = picture.width_px, picture.height_px, len(stored)
        return Body(fate, stored)

    async def _checked(self, sha256: str, body: bytes) -> Transcoded:
        """What the decoder said of these bytes: many rows of a file are about the same picture.

        Raises:
            Undecodable: It was, or is, refused.
        """
        known = self._known.get(sha256)
        if known is not None:
            self._known.move_to_end(sha256)
        else:
            known = self._known[sha256] = asyncio.get_running_loop().create_future()
            if len(self._known) > _KNOWN_PICTURES:
                self._known.popitem(last=False)
            await self._ask(sha256, body, known)
        said = await asyncio.shield(known)
        if isinstance(said, Undecodable):
            raise Undecodable(said.reason, said.detail)
        return said

    async def _ask(self, sha256: str, body: bytes, known: asyncio.Future[Transcoded | Undecodable]) -> None:
        """Have the decoder tell all who wait for it; what may be of the moment is not remembered."""
        try:
            known.set_result(await self._pool.transcode(body))
        except Undecodable as err:
            if err.reason in _OF_THE_MOMENT:
                self._known.pop(sha256, None)
            known.set_result(Undecodable(err.reason, err.detail))
        except BaseException as err:  # whatever it is, nobody may be left waiting
            self._known.pop(sha256, None)
            known.set_exception(err)
            known.exception()  # taken note of, also if nobody waits
            raise

    def _unpacked(self, text: str) -> bytes:
        """The bytes behind a Base64 text, which may wear the head of a ``data:`` URL and be broken into lines.

        Raises:
            Undecodable: BAD_BASE64, EMPTY or TOO_LARGE.
        """
        if text.startswith(_DATA_URL):
            text = text.partition(",")[2]
        if len(text) // 4 * 3 > self._most_bytes + 2:
            raise Undecodable(Reason.TOO_LARGE, f"about {len(text) // 4 * 3:,} bytes")
        try:
            body = pybase64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as err:
            body = _from_lines(text, err)
        if not body:
            raise Undecodable(Reason.EMPTY)
        return body

    def close(self) -> None:
        """End the decoders."""
        self._loop.wait_for(self._pool.close())
        self._loop.close()


def part_of(medium: str, extension: str) -> str:
    """The name of the part that a medium becomes: ``image`` becomes ``jpg``, ``000`` ``000.jpg``."""
    return extension if medium == _ONLY else f"{medium}.{extension}"


def medium_of(part: str) -> str:
    """The medium behind the name of a part, or behind its own name."""
    number, dot, _ = part.partition(".")
    return number if dot or number.isdigit() else _ONLY


def _from_lines(text: str, err: Exception) -> bytes:
    """White space between the characters is no fault (RFC 2045, 6.8); anything else is.

    Raises:
        Undecodable: BAD_BASE64.
    """
    plain = "".join(text.split())
    if len(plain) == len(text):
        raise Undecodable(Reason.BAD_BASE64, str(err)) from err
    try:
        return bytes(pybase64.b64decode(plain, validate=True))
    except (binascii.Error, ValueError) as again:
        raise Undecodable(Reason.BAD_BASE64, str(again)) from again
