"""Reading a body: never more than allowed, and inflated where the server compressed it unasked."""

from __future__ import annotations

import asyncio
import zlib
from time import thread_time
from typing import Protocol

import aiohttp
import brotli
import zstandard

from gristmill.crawl.budget import Hold
from gristmill.crawl.guard import Refused
from gristmill.crawl.partial import Partial
from gristmill.crawl.watch import Attempt
from gristmill.spec.body import PIECE_BYTES, Body
from gristmill.spec.reasons import Reason

__all__ = ["read_body", "read_large"]

_GZIP_WBITS = 31
_ZLIB_WBITS = 15
_RAW_WBITS = -15
MAX_WINDOW_BYTES = 8 << 20  # what RFC 8878 wants every decoder to support
ZSTD_PIECE_BYTES = 64
"""The library has no bound on what comes out at once; 64 bytes of zstd are at most 2 MiB."""
MOST_MEMBERS = 1_000
"""Of one gzip body. Those of tools that cut it into blocks have 64 kB each."""
STEP_BYTES = 64 * 1024
"""So much of a compressed body is unpacked at once."""
_NO_ENCODING = frozenset({"", "identity", "none", "binary", "utf-8", "8bit", "7bit"})


class _Sink(Protocol):
    def feed(self, chunk: bytes) -> bytes: ...
    def end(self) -> None: ...


class _Plain:
    """The body as it comes."""

    def feed(self, chunk: bytes) -> bytes:
        return chunk

    def end(self) -> None: ...


class _Inflate:
    """gzip or deflate, one layer, output bounded. A body that is not compressed after all is let through."""

    def __init__(self, *, gzip: bool, max_bytes: int) -> None:
        self._gzip = gzip
        self._left_bytes = max_bytes
        self._head = b""
        self._inflater: zlib._Decompress | None = None
        self._plain = False
        self._members = 1

    def feed(self, chunk: bytes) -> bytes:
        if self._plain:
            return self._count(chunk)
        if self._inflater is None:
            chunk = self._head + chunk
            if len(chunk) < 2:
                self._head = chunk
                return b""
            if not self._choose(chunk):
                self._plain = True
                return self._count(chunk)
        try:
            return self._inflate(chunk)
        except zlib.error as error:
            raise Refused(Reason.BAD_HTTP, f"the compressed body is damaged: {error}") from error

    def end(self) -> None:
        if not self._plain and (self._inflater is None or not self._inflater.eof):
            raise Refused(Reason.SHORT_BODY, "the compressed body ends early")

    def _choose(self, head: bytes) -> bool:
        if self._gzip:
            if head[:2] != b"\x1f\x8b":
                return False
            self._inflater = zlib.decompressobj(_GZIP_WBITS)
            return True
        looks_like_zlib = head[0] & 0x0F == 8 and int.from_bytes(head[:2]) % 31 == 0
        if not looks_like_zlib and head[:2] in {b"\xff\xd8", b"\x89P", b"GI", b"RI", b"BM", b"II", b"MM"}:
            return False
        self._inflater = zlib.decompressobj(_ZLIB_WBITS if looks_like_zlib else _RAW_WBITS)
        return True

    def _inflate(self, data: bytes) -> bytes:
        """The contents; in steps so small that what follows a member costs little to hand on to the next."""
        out = []
        while data and self._inflater is not None:
            if self._inflater.eof:
                if not (self._gzip and data[:2] == b"\x1f\x8b"):
                    break  # padding after the end
                self._members += 1
                if self._members > MOST_MEMBERS:
                    raise Refused(Reason.BOMB, f"more than {MOST_MEMBERS:,} gzip members")
                self._inflater = zlib.decompressobj(_GZIP_WBITS)
            out.append(self._count(self._inflater.decompress(data, self._left_bytes + 1)))
            data = self._inflater.unconsumed_tail or self._inflater.unused_data
        return b"".join(out)

    def _count(self, data: bytes) -> bytes:
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise Refused(Reason.BOMB, "larger than allowed after decompression")
        return data


class _Brotli:
    """brotli, output bounded."""

    def __init__(self, max_bytes: int) -> None:
        self._left_bytes = max_bytes
        self._decoder = brotli.Decompressor()

    def feed(self, chunk: bytes) -> bytes:
        try:
            made: bytes = self._decoder.process(chunk, output_buffer_limit=self._left_bytes + 1)
        except brotli.error as error:
            raise Refused(Reason.BAD_HTTP, f"the compressed body is damaged: {error}") from error
        self._left_bytes -= len(made)
        if self._left_bytes < 0 or not self._decoder.can_accept_more_data():
            raise Refused(Reason.BOMB, "larger than allowed after decompression")
        return made

    def end(self) -> None:
        if not self._decoder.is_finished():
            raise Refused(Reason.SHORT_BODY, "the compressed body ends early")


class _Zstd:
    """zstd, output and window bounded."""

    def __init__(self, max_bytes: int) -> None:
        self._left_bytes = max_bytes
        self._decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).decompressobj()

    def feed(self, chunk: bytes) -> bytes:
        out = []
        for start in range(0, len(chunk), ZSTD_PIECE_BYTES):
            if self._decoder.eof:
                break  # padding after the end
            try:
                made = self._decoder.decompress(chunk[start : start + ZSTD_PIECE_BYTES])
            except zstandard.ZstdError as error:
                raise Refused(Reason.BAD_HTTP, f"the compressed body is damaged: {error}") from error
            self._left_bytes -= len(made)
            if self._left_bytes < 0:
                raise Refused(Reason.BOMB, "larger than allowed after decompression")
            out.append(bytes(made))
        return b"".join(out)

    def end(self) -> None:
        if not self._decoder.eof:
            raise Refused(Reason.SHORT_BODY, "the compressed body ends early")


def _sink(response: aiohttp.ClientResponse, max_bytes: int) -> _Sink:
    header = response.headers.get("Content-Encoding")
    if header is None:
        return _Plain()
    layers = [word for part in header.split(",") if (word := part.strip().lower()) not in _NO_ENCODING]
    if len(layers) > 1:
        raise Refused(Reason.BOMB, f"compressed {len(layers)} times")
    if not layers:
        return _Plain()
    if layers[0] in {"gzip", "x-gzip", "deflate"}:
        return _Inflate(gzip=layers[0] != "deflate", max_bytes=max_bytes)
    if layers[0] in {"br", "zstd"}:
        return _Zstd(max_bytes) if layers[0] == "zstd" else _Brotli(max_bytes)
    if layers[0] in {"compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip"}:
        raise Refused(Reason.BAD_HTTP, f"compressed as {layers[0]}, which was not asked for")
    return _Plain()  # no encoding at all, such as a media type or a character set


async def read_body(
    response: aiohttp.ClientResponse,
    attempt: Attempt,
    hold: Hold,
    max_bytes: int,
    first_bytes: int | None = None,
) -> bytes:
    """Read a body to its end, or ``first_bytes`` of it, counting in ``attempt`` and holding in ``hold``.

    Raises:
        Refused: ``TOO_LARGE``, ``BOMB``, ``BAD_HTTP`` for an encoding that was not asked for or is damaged,
            ``SHORT_BODY`` for a compressed body that ends early.
        aiohttp.ClientError: As the HTTP client.
    """
    announced = response.content_length or 0
    if first_bytes is None and announced > max_bytes:
        raise Refused(Reason.TOO_LARGE, f"{announced} bytes announced, {max_bytes} allowed")
    sink = _sink(response, max_bytes)
    packed = not isinstance(sink, _Plain)
    content = response.content
    chunks: list[bytes] = []
    size = 0
    if first_bytes is None and announced > hold.held_bytes:
        await _make_room(hold, announced, attempt)
    while chunk := await content.readany():
        attempt.received_bytes += len(chunk)
        if first_bytes is None and attempt.received_bytes > max_bytes:
            raise Refused(Reason.TOO_LARGE, f"more than {max_bytes} bytes")
        if packed:
            chunk = await _unpacked(sink, chunk, attempt)
        size += len(chunk)
        if size > hold.held_bytes:
            await _make_room(hold, size, attempt)
        chunks.append(chunk)
        if first_bytes is not None and size >= first_bytes:
            return b"".join(chunks)[:first_bytes]
    sink.end()
    hold.settle(size)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def read_large(
    response: aiohttp.ClientResponse,
    attempt: Attempt,
    hold: Hold,
    max_bytes: int,
    came: Partial,
    *,
    goes_on: bool,
) -> Body:
    """Read a body to its end, into a file once it is large.

    Args:
        response: Its head was taken.
        attempt: Counts.
        hold: Of what is in memory.
        max_bytes: Of all of it.
        came: What came before, to which it is added.
        goes_on: The answer is what was missing, or says that nothing is.

    Raises:
        Refused: As :func:`read_body`.
        aiohttp.ClientError: As the HTTP client. What came is kept.
        MachineError: The disk is full, or the like.
    """
    sink = _sink(response, max_bytes)
    packed = not isinstance(sink, _Plain)
    if not goes_on:
        whole = None if packed else response.content_length
        if whole is not None and whole > max_bytes:
            raise Refused(Reason.TOO_LARGE, f"{whole} bytes announced, {max_bytes} allowed")
        came.begin({} if packed else response.headers, whole)
    in_file = goes_on
    waiting: list[bytes] = []
    size = 0

    async def write() -> None:
        nonlocal size
        data = b"".join(waiting)
        waiting.clear()
        size = 0
        attempt.paused = True
        writing = asyncio.ensure_future(asyncio.to_thread(came.write, data))
        try:
            await asyncio.shield(writing)
        finally:
            attempt.paused = False
            await writing  # also where it is cancelled: nothing else may be written meanwhile

    try:
        while response.status != 416 and (chunk := await response.content.readany()):
            attempt.received_bytes += len(chunk)
            if packed:
                chunk = await _unpacked(sink, chunk, attempt)
            size += len(chunk)
            waiting.append(chunk)
            if came.size_bytes + size > max_bytes or attempt.received_bytes > max_bytes:
                raise Refused(Reason.TOO_LARGE, f"more than {max_bytes} bytes")
            in_file = in_file or size > came.large_bytes
            if in_file and size >= PIECE_BYTES:
                await write()
            elif size > hold.held_bytes:
                await _make_room(hold, size, attempt)
    finally:
        if in_file and waiting:
            data = b"".join(waiting)  # at once, also where it is cancelled
            waiting.clear()
            came.write(data)
    sink.end()
    hold.settle(size if not in_file else 0)
    return came.finished() if in_file else b"".join(waiting)


async def _unpacked(sink: _Sink, data: bytes, attempt: Attempt) -> bytes:
    """Unpack beside the event loop, step by step. The time is ours, and its cost the host's.

    Raises:
        Refused: As ``sink``; COSTLY.
    """
    loop = asyncio.get_running_loop()
    made: list[bytes] = []
    attempt.paused = True
    try:
        for start in range(0, len(data), STEP_BYTES):
            step = data[start : start + STEP_BYTES]
            out, spent_s = await loop.run_in_executor(None, _feed, sink, step)
            attempt.cost.spend(spent_s, len(step) + len(out))
            if attempt.cost.too_much:
                raise Refused(Reason.COSTLY, attempt.cost.words)
            made.append(out)
    finally:
        attempt.paused = False
    return b"".join(made)


def _feed(sink: _Sink, data: bytes) -> tuple[bytes, float]:
    began_s = thread_time()
    out = sink.feed(data)
    return out, thread_time() - began_s


async def _make_room(hold: Hold, size: int, attempt: Attempt) -> None:
    if hold.grow(size):
        return
    attempt.paused = True
    try:
        await hold.room(size)
    finally:
        attempt.paused = False
