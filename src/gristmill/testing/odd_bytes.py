"""Bodies that are not the picture they say they are: cut, broken, and small ones that grow without end."""

from __future__ import annotations

import functools
import gzip
import struct
import zlib

__all__ = [
    "corrupt_jpeg",
    "gzip_bomb",
    "png_claiming_a_huge_chunk",
    "png_of_zeros",
    "truncated",
]

_BLOCK_BYTES = 1 << 20
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB = 0, 2  # PNG colour types


def truncated(data: bytes, share: float = 0.6) -> bytes:
    """The first part of a file."""
    return data[: int(len(data) * share)]


def corrupt_jpeg(jpeg: bytes) -> bytes:
    """The JPEG with code counts that no Huffman table can have (ITU-T T.81, B.2.4.2): nothing decodes it."""
    counts = jpeg.index(b"\xff\xc4") + 5
    return jpeg[:counts] + b"\xee" * 16 + jpeg[counts + 16 :]


@functools.cache
def gzip_bomb(size_bytes: int = 200 << 20) -> bytes:
    """That many zeros as gzip (RFC 1952), some 1,029 times smaller."""
    crc, left = 0, size_bytes
    while left > 0:
        crc, left = zlib.crc32(bytes(min(left, _BLOCK_BYTES)), crc), left - _BLOCK_BYTES
    head = gzip.compress(b"", mtime=0)[:10]
    return head + _deflated_zeros(size_bytes) + struct.pack("<II", crc, size_bytes & 0xFFFFFFFF)


@functools.cache
def png_of_zeros(width: int, height: int, *, rgb: bool) -> bytes:
    """A valid black PNG (8-bit RGB, or grey of 1 bit a pixel), made without ever holding its pixels."""
    row_bytes = 1 + (width * 3 if rgb else (width + 7) // 8)  # the first says: no filter
    size = row_bytes * height
    adler = (size % 65521) << 16 | 1  # of zeros, by its definition (RFC 1950)
    header = struct.pack(">IIBBBBB", width, height, 8 if rgb else 1, _RGB if rgb else _GREY, 0, 0, 0)
    pixels = b"\x78\xda" + _deflated_zeros(size) + struct.pack(">I", adler)
    return _PNG_SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def png_claiming_a_huge_chunk() -> bytes:
    """79 bytes: a PNG whose pixel data are announced with 2**31 - 1 bytes."""
    header = struct.pack(">IIBBBBB", 64, 64, 8, _RGB, 0, 0, 0)
    claim = struct.pack(">I", 2**31 - 1) + b"IDAT" + zlib.compress(bytes(64))
    return (_PNG_SIGNATURE + _chunk(b"IHDR", header) + claim).ljust(79, b"\0")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _deflated_zeros(size_bytes: int) -> bytes:
    """Zeros as raw deflate: one block, flushed so that it stands alone, as often as it fits."""
    blocks, rest = divmod(size_bytes, _BLOCK_BYTES)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(bytes(_BLOCK_BYTES)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * blocks + packer.compress(bytes(rest)) + packer.flush()
