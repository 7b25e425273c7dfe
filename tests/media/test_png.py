"""PNGs of every plain layout: the fast decoder gives the pixels of the other two, and damage is not let through."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from gristmill.media.decode import decoded, fast_png
from gristmill.media.errors import Undecodable
from gristmill.media.head import head

GREY, RGB, PALETTE = 0, 2, 3
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def made(width: int, height: int, bits: int, colour: int, interlaced: bool, seed: int = 0) -> bytes:
    """Random pixels under random filters."""
    rng = np.random.default_rng(seed)
    channels = 3 if colour == RGB else 1

    def rows(wide: int, high: int) -> bytes:
        size = (wide * channels * bits + 7) // 8
        return b"".join(bytes([rng.integers(5)]) + rng.bytes(size) for _ in range(high) if wide)

    passes = PASSES if interlaced else ((0, 0, 1, 1),)
    raw = b"".join(
        rows(max(0, -(-(width - x) // dx)), max(0, -(-(height - y) // dy))) for x, y, dx, dy in passes
    )
    packed = zlib.compress(raw)
    cut = len(packed) // 3
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)),
            chunk(b"PLTE", rng.bytes(3 << bits)) if colour == PALETTE else b"",
            chunk(b"IDAT", packed[:cut]),
            chunk(b"IDAT", packed[cut:]),
            chunk(b"IEND", b""),
        )
    )


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("colour", "bits"), [(RGB, 8), *((colour, n) for colour in (GREY, PALETTE) for n in (1, 2, 4, 8))]
)
def test_all_decoders_agree(colour, bits, interlaced):
    for size in ((1, 1), (3, 5), (17, 9), (64, 33)):
        body = made(*size, bits, colour, interlaced)
        fast = fast_png(body)
        assert fast is not None
        assert np.array_equal(fast, cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR_RGB))
        assert np.array_equal(fast, np.asarray(Image.open(io.BytesIO(body)).convert("RGB")))


def test_what_follows_the_end_does_not_matter():
    body = made(20, 20, 8, RGB, False)
    assert np.array_equal(fast_png(body), fast_png(body + b"something else" * 9))


def test_damage_is_not_let_through():
    body = made(40, 40, 8, RGB, False)
    for place in (60, len(body) // 2, len(body) - 20):
        damaged = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        assert fast_png(damaged) is None
        with pytest.raises(Undecodable):
            decoded(damaged, head(body), least=None, alpha="white")
    for size in (0, 8, 30, len(body) // 2, len(body) - 1):
        assert fast_png(body[:size]) is None


def test_too_little_data_under_right_checksums():
    short = made(40, 10, 8, RGB, False)
    taller = short[:20] + struct.pack(">I", 4000) + short[24:29]
    body = taller + struct.pack(">I", zlib.crc32(taller[12:29])) + short[33:]
    assert fast_png(body) is None
