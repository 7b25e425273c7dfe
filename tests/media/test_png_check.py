"""A PNG told whole by its checksums: never where a decoder says otherwise."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_images import chunk, png
from PIL import Image

from gristmill.media.errors import Undecodable
from gristmill.media.head import head
from gristmill.media.image import decodes, transcode
from gristmill.media.png_check import is_whole
from gristmill.media.settings import CHECKING


def saved(mode: str = "RGB", size: tuple[int, int] = (19, 13), **options) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 4), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels, "RGBA").convert(mode).save(out, "PNG", **options)
    return out.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1"])
def test_whole_ones_are(mode):
    assert is_whole(saved(mode))


def test_sixteen_bits_too():
    assert is_whole(png(np.arange(4 * 5 * 3, dtype=np.uint16).reshape(4, 5, 3), 2))


def test_what_only_a_decoder_can_tell():
    assert not is_whole(saved("P"))
    interlaced = bytearray(saved())
    interlaced[28] = 1
    assert not is_whole(bytes(interlaced))


@given(st.integers(0, 2000), st.integers(0, 255))
def test_one_changed_byte_is_noticed(at, value):
    body = bytearray(saved())
    at %= len(body)
    same = body[at] == value
    body[at] = value
    try:
        head(bytes(body))
    except Undecodable:
        return  # the reader of headers has refused it before
    if at >= 8:  # behind the signature
        assert is_whole(bytes(body)) == same


@given(st.integers(1, 2000))
def test_a_cut_end_is_noticed(cut):
    body = saved()
    body = body[: max(9, len(body) - cut)]
    try:
        assert head(body).unended_at >= len(body) - 12
        assert cut <= 12
    except Undecodable:
        assert cut > 12
    with pytest.raises(Undecodable):
        decodes(body)


def made(lines: bytes, width: int = 4, height: int = 3) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(lines)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_lines_must_be_as_many_as_the_header_says_and_their_filters_known():
    assert is_whole(made(b"\0abcd" * 3))
    assert is_whole(made(b"\4abcd" * 3))
    assert not is_whole(made(b"\5abcd" * 3))
    assert not is_whole(made(b"\0abcd" * 2))
    assert not is_whole(made(b"\0abcd" * 4))
    assert not is_whole(made(bytes(50_000_000)))  # and no more of it is inflated than may be there
    decodes(made(b"\4abcd" * 3))


SIGNATURE = b"\x89PNG\r\n\x1a\n"
DATA = zlib.compress(b"\0abcd" * 3)
IDAT, IEND = chunk(b"IDAT", DATA), chunk(b"IEND", b"")


def ihdr(*, compression: int = 0, filters: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 8, 0, compression, filters, 0))


@pytest.mark.parametrize(
    "chunks",
    [
        ihdr(filters=64) + IDAT + IEND,
        ihdr() + chunk(b"IDAT", DATA[:6]) + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", DATA[6:]) + IEND,
        ihdr() + chunk(b"gAMA", b"x") + IDAT + IEND,
        ihdr() + chunk(b"pHYs", b"x") + IDAT + IEND,
        ihdr() + IDAT + chunk(b"gAMA", b"x") + IEND,
    ],
    ids=["filter method", "divided data", "short chunk", "another", "short chunk behind the data"],
)
def test_what_a_trainers_decoder_refuses_is_not_whole_for_who_keeps_it_nor_for_who_looks_later(chunks):
    with pytest.raises(Undecodable):
        transcode(SIGNATURE + chunks, CHECKING)
    with pytest.raises(Undecodable):
        decodes(SIGNATURE + chunks)


@pytest.mark.parametrize(
    "chunks",
    [ihdr() + ihdr() + IDAT + IEND, ihdr(compression=1) + IDAT + IEND],
    ids=["second", "compression"],
)
def test_an_odd_header_is_left_to_the_decoders_and_both_judges_agree(chunks):
    assert not is_whole(SIGNATURE + chunks)
    for judge in (decodes, lambda body: transcode(body, CHECKING)):
        judge(SIGNATURE + chunks)


def test_chunks_that_any_decoder_passes_over_are_no_harm():
    assert is_whole(SIGNATURE + ihdr() + chunk(b"abCD", b"x") + IDAT + chunk(b"tEXt", b"a\0b") + IEND)
