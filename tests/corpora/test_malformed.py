"""Damaged files, by hand, by fuzzers and by us: each costs itself, a bounded time and a bounded memory."""

import struct
import zlib
from collections import Counter

import numpy as np
import pytest
from fetch import Specimen
from made_images import chunk, photo, png, saved
from PIL import Image

from codec import outcomes
from gristmill.spec.reasons import Reason

CHILD_MIB = 256  # for pictures of up to 13 million pixels, and for all that is none
CHILD_CPU_S = 5
FORMATS = {
    b"\xff\xd8\xff": "jpeg",
    b"\x89PNG": "png",
    b"RIFF": "webp",
    b"GIF8": "gif",
    b"BM": "bmp",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
}
OF_FILES = {
    Reason.EMPTY,
    Reason.NOT_AN_IMAGE,
    Reason.UNSUPPORTED,
    Reason.TRUNCATED,
    Reason.UNDECODABLE,
    Reason.TOO_MANY_PIXELS,
}


def bounded(found):
    for outcome in found:
        assert outcome.reason is None or outcome.reason in OF_FILES, outcome
        assert outcome.peak_mib <= max(CHILD_MIB, 100 + 12 * outcome.mpx), outcome
        assert outcome.cpu_s <= CHILD_CPU_S, outcome
    return Counter(str(outcome.reason or "picture") for outcome in found)


def test_every_file_gets_a_picture_or_a_reason(corpus):
    found = outcomes(corpus)
    kinds = Counter(specimen.kind for specimen in corpus)
    assert kinds["malformed"] >= 900
    assert kinds["odd"] >= 1300
    assert len(found) == len(corpus)
    said = bounded(found)
    print(
        said,
        "worst MiB:",
        max(each.peak_mib for each in found),
        "worst s:",
        max(each.cpu_s for each in found),
    )
    assert said["picture"] > 1200


def test_seeded_mutations(corpus):
    """2,000 damaged copies of small files of every format that is decoded."""
    rng = np.random.default_rng(20)
    by_format = {}
    for specimen in corpus:
        name = next((name for magic, name in FORMATS.items() if specimen.body.startswith(magic)), None)
        name = "avif" if specimen.body[4:12] == b"ftypavif" else name
        if name and 40 < len(specimen.body) < 60_000:
            by_format.setdefault(name, []).append(specimen)
    assert set(by_format) == {*FORMATS.values(), "avif"}
    files = [
        Specimen(
            f"{name}-{number}",
            "mutation",
            damaged(by_format[name][rng.integers(len(by_format[name]))].body, rng),
        )
        for number in range(286)
        for name in sorted(by_format)
    ]
    said = bounded(outcomes(files))
    print(len(files), said)
    assert said["picture"] > 100
    assert len(files) - said["picture"] > 500


def damaged(body, rng):
    """A copy with bits flipped, bytes set to what breaks counters, a piece cut out, doubled, or the end cut off."""
    made = bytearray(body)
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(0, len(made)))
        way = rng.integers(0, 5)
        if way == 0:
            made[at] ^= 1 << int(rng.integers(0, 8))
        elif way == 1:
            made[at : at + 4] = rng.choice(
                [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80\0\0\0"]
            )
        elif way == 2:
            del made[at : at + int(rng.integers(1, 65))]
        elif way == 3:
            made[at:at] = made[max(0, at - 32) : at]
        else:
            del made[max(16, at) :]
    return bytes(made)


def bomb_png(width_px, height_px, bits, colour):
    """A PNG of zeros: its header, a body of some hundred kilobytes."""
    row = b"\0" * (1 + (width_px * bits * {0: 1, 2: 3, 6: 4}[colour] + 7) // 8)
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row) for _ in range(height_px)) + packer.flush()
    header = struct.pack(">IIBBBBB", width_px, height_px, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def gif_of_frames(count):
    first, second = (Image.new("P", (8, 8), colour) for colour in (0, 1))
    return saved(first, "GIF", save_all=True, append_images=[second, first] * (count // 2))


def tiff_loop():
    body = saved(photo(30, 20), "TIFF")
    (at,) = struct.unpack_from("<I", body, 4)
    (entries,) = struct.unpack_from("<H", body, at)
    behind = at + 2 + 12 * entries
    return body[:behind] + struct.pack("<I", at) + body[behind + 4 :]


def with_text(kind, packed):
    text = b"comment\0" + (b"\1\0\0\0" if kind == b"iTXt" else b"\0") + packed
    return png(np.zeros((4, 4, 3), np.uint8), 2, chunk(kind, text))


@pytest.mark.slow
def test_bombs():
    zeros = zlib.compress(bytes(100 << 20), 9)
    metadata = b"".join(b"\xff\xe1\xff\xff" + bytes(65533) for _ in range(320))
    jpeg = saved(photo(40, 30))
    wanted = {
        "png 12,000 x 12,000": (bomb_png(12_000, 12_000, 8, 2), Reason.TOO_MANY_PIXELS),
        "png 60,000 x 60,000": (bomb_png(60_000, 60_000, 1, 0), Reason.TOO_MANY_PIXELS),
        "png of bits, just allowed": (bomb_png(7_000, 7_000, 1, 0), None),
        "gif of 10,000 frames": (gif_of_frames(10_000), None),
        "iTXt": (with_text(b"iTXt", zeros), None),
        "zTXt": (with_text(b"zTXt", zeros), None),
        "iccp": (png(np.zeros((4, 4, 3), np.uint8), 2, chunk(b"iCCP", b"a\0\0" + zeros)), None),
        "tiff loop": (tiff_loop(), None),
        "20 MiB of EXIF": (jpeg[:2] + metadata + jpeg[2:], None),
        "svg": (
            b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
            Reason.NOT_AN_IMAGE,
        ),
        "svg entities": (
            b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "b">]><svg>&b;</svg>',
            Reason.NOT_AN_IMAGE,
        ),
        "gzip": (b"\x1f\x8b\x08" + bytes(40), Reason.NOT_AN_IMAGE),
    }
    found = outcomes([Specimen(name, "bomb", body) for name, (body, _) in wanted.items()])
    print(bounded(found), {each.name: round(each.peak_mib) for each in found})
    assert {each.name: each.reason for each in found} == {
        name: reason for name, (_, reason) in wanted.items()
    }


@pytest.mark.slow
def test_a_trailing_archive_does_not_reach_the_shard():
    for kind in ("JPEG", "PNG", "GIF"):
        body = saved(photo(40, 30), kind) + b"PK\x03\x04 an archive, or <?php a program"
        (made,) = outcomes([Specimen(kind, "polyglot", body)], keep_original=False)
        assert b"php" not in made.picture
