"""What the corpora taught, in small: `make test-slow` has the files themselves."""

import struct
import zlib

import numpy as np
import pytest
from made_images import chunk, opened, photo, png, saved
from PIL import Image

from gristmill.media.errors import Undecodable
from gristmill.media.head import head
from gristmill.media.image import transcode
from gristmill.media.settings import ImageSettings
from gristmill.spec.reasons import Reason

LOSSLESS = ImageSettings(format="png", resize_mode="no")
GREY = np.zeros((2, 3, 1), np.uint8)


def tiff_structure(kind, value, code):
    return (
        b"II*\0\x08\0\0\0\x01\0"
        + struct.pack("<HHI" + code, 0x0112, kind, 1, value).ljust(12, b"\0")
        + bytes(4)
    )


@pytest.mark.parametrize(("kind", "code"), [(1, "B"), (3, "H"), (4, "I"), (9, "i")])
def test_an_orientation_of_any_whole_type_counts(kind, code):
    body = saved(photo(30, 20), exif=b"Exif\0\0" + tiff_structure(kind, 6, code))
    assert head(body).orientation == 6


@pytest.mark.parametrize(
    "packet",
    [b'<rdf tiff:Orientation="3"/>', b"<tiff:Orientation>3</tiff:Orientation>", b"tiff:Orientation = '3'"],
)
def test_an_orientation_in_xmp_counts_where_exif_has_none(packet):
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + packet
    packed = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet)
    assert head(png(GREY, 0, chunk(b"iTXt", text))).orientation == 3
    assert head(png(GREY, 0, chunk(b"iTXt", packed))).orientation == 3
    assert head(saved(photo(30, 20), "WEBP", xmp=packet)).orientation == 3
    assert head(saved(photo(30, 20), xmp=packet)).orientation == 3
    exif = b"Exif\0\0" + tiff_structure(3, 8, "H")
    assert head(saved(photo(30, 20), xmp=packet, exif=exif)).orientation == 8
    both = chunk(b"iTXt", text) + chunk(b"eXIf", exif[6:])
    assert head(png(GREY, 0, both)).orientation == 8


def test_an_orientation_in_imagemagicks_text_counts():
    raw = b"Exif\0\0" + tiff_structure(3, 6, "H")
    text = b"\nexif\n%8d\n" % len(raw) + raw.hex().encode() + b"\n"
    name = b"Raw profile type exif\0"
    assert head(png(GREY, 0, chunk(b"tEXt", name + text))).orientation == 6
    assert head(png(GREY, 0, chunk(b"zTXt", name + b"\0" + zlib.compress(text)))).orientation == 6
    assert head(png(GREY, 0, chunk(b"tEXt", name + b"\nexif\n 2\nzz\n"))).orientation == 1


def test_a_bomb_in_a_text_chunk_stays_packed():
    packed = zlib.compress(bytes(64 << 20), 9)
    assert head(png(GREY, 0, chunk(b"zTXt", b"Raw profile type exif\0\0" + packed))).orientation == 1


def test_twelve_bits_of_grey_reach_white():
    deep = Image.fromarray(np.array([[0, 2048, 4095]], np.uint16))
    body = bytearray(saved(deep, "TIFF"))
    at = body.index(struct.pack("<HHI", 258, 3, 1))
    body[at + 8 : at + 10] = struct.pack("<H", 12)
    strip = struct.unpack_from("<I", body, body.index(struct.pack("<HHI", 273, 4, 1)) + 8)[0]
    body[strip : strip + 5] = bytes((0x00, 0x08, 0x00, 0xFF, 0xF0))  # three values of 12 bits
    assert opened(transcode(bytes(body), LOSSLESS).body)[0, :, 0].tolist() == [0, 128, 255]


def test_the_first_frame_of_a_deep_animation_is_shown():
    deep = np.full((4, 4, 3), 65535, np.uint16)
    control = struct.pack(">IIIIIHHBB", 0, 4, 4, 0, 0, 1, 1, 0, 0)
    body = png(deep, 2, chunk(b"acTL", struct.pack(">II", 1, 0)) + chunk(b"fcTL", control))
    assert (opened(transcode(body, LOSSLESS).body) == 255).all()


def test_a_side_that_the_format_cannot_hold_is_refused():
    body = png(np.zeros((65_501, 1, 1), np.uint8), 0)
    for wanted in ("jpeg", "webp"):
        with pytest.raises(Undecodable) as caught:
            transcode(body, ImageSettings(format=wanted))
        assert caught.value.reason is Reason.TOO_MANY_PIXELS
    assert transcode(body, LOSSLESS).height_px == 65_501


def test_a_gif_whose_frame_is_larger_than_allowed_is_refused():
    body = bytearray(saved(Image.new("P", (4, 4)), "GIF"))
    at = body.rindex(b"," + struct.pack("<HHHH", 0, 0, 4, 4))
    body[at + 5 : at + 9] = struct.pack("<HH", 65_535, 65_535)
    with pytest.raises(Undecodable) as caught:
        transcode(bytes(body), ImageSettings())
    assert caught.value.reason is Reason.TOO_MANY_PIXELS
