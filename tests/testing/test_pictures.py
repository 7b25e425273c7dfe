"""Pictures derived from the shipped photographs, as such and as the made-up web serves them."""

from __future__ import annotations

import io
import re
import struct
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from gristmill.testing.odd_bytes import png_of_zeros
from gristmill.testing.pictures import mix, shipped_photographs, shipped_pictures
from gristmill.testing.web import FakeWeb, picture_number

PHOTOS = Path(__file__).parents[2] / "src/gristmill/testing/photos"


@pytest.fixture(scope="module")
def web() -> Iterator[FakeWeb]:
    with FakeWeb() as web:
        yield web


def fetch(web: FakeWeb, path: str) -> tuple[str, bytes]:
    with urllib.request.urlopen(web.url(path), timeout=5) as response:
        return response.headers["Content-Type"], response.read()


@pytest.mark.slow
def test_photographs_are_many_different_and_always_the_same(web: FakeWeb) -> None:
    bodies = [fetch(web, f"/photo/{n:04d}.jpg")[1] for n in range(60)]
    assert len(set(bodies)) == 60
    assert len({simplejpeg.decode_jpeg_header(body)[:2] for body in bodies}) > 20
    with FakeWeb(hosts=1) as other:
        assert fetch(other, "/photo/0007.jpg")[1] == bodies[7]
    pixels = {simplejpeg.decode_jpeg(body).tobytes() for body in bodies}
    assert len(pixels) == 60


@pytest.mark.parametrize(("kind", "pil"), [("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("gif", "GIF")])
def test_formats_and_widths(web: FakeWeb, kind: str, pil: str) -> None:
    content_type, body = fetch(web, f"/photo/5.{kind}?w=801")
    assert content_type == f"image/{pil.lower()}"
    image = Image.open(io.BytesIO(body))
    image.load()
    assert (image.format, image.width) == (pil, 801)
    assert body != fetch(web, f"/photo/6.{kind}?w=801")[1]


@pytest.mark.parametrize(
    "path", ["/photo/5.jpg?w=9", "/photo/5.jpg?w=x", "/photo/1.bmp", "/photo/1", "/else"]
)
def test_what_is_not_there(web: FakeWeb, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        fetch(web, path)
    caught.value.close()


def test_names(web: FakeWeb) -> None:
    assert picture_number("0017") == 17
    assert picture_number("bicycle") == picture_number("bicycle") != picture_number("tricycle")
    assert simplejpeg.decode_jpeg(fetch(web, "/photo/bicycle.jpg")[1]).size


def test_what_tells_pictures_apart_is_hardly_visible() -> None:
    pictures = shipped_pictures()
    plain = pictures.variant(int(pictures.variants(np.array([4], np.uint64))[0]))
    one, other = (simplejpeg.decode_jpeg(data).astype(float) for data in (plain.data, pictures.get(4).data))
    assert 0 < np.mean((one - other) ** 2) < 2.0  # grey levels squared: 45 dB and more


def test_mix_is_the_same_for_one_and_for_many() -> None:
    pictures = shipped_pictures()
    numbers = np.array([0, 1, 17, 2**40, 2**64 - 1], np.uint64)
    assert len(set(mix(numbers).tolist())) == 5
    for number, variant in zip(numbers.tolist(), pictures.variants(numbers).tolist(), strict=True):
        assert pictures.get(number).phash == pictures.variant(variant).phash


def test_every_photograph_is_attributed() -> None:
    text = (PHOTOS / "ATTRIBUTION.md").read_text()
    files = {path.name for path in PHOTOS.glob("*.jpg")}
    assert set(re.findall(r"^\| `(\S+\.jpg)` \|", text, re.MULTILINE)) == files
    assert {name for name, _ in shipped_photographs()} == {name[:-4] for name in files}
    assert sum(path.stat().st_size for path in PHOTOS.iterdir()) < 4_000_000
    licences = {line.split("|")[4].strip() for line in text.splitlines() if line.startswith("| `")}
    assert all(
        licence == "Public Domain" or f"{licence} <https://creativecommons.org" in text
        for licence in licences
    )


@pytest.mark.parametrize("rgb", [False, True])
def test_made_pngs_are_valid(rgb: bool) -> None:
    """Pillow compares the checksums of chunks, zlib that of the pixels."""
    body = png_of_zeros(2501, 1999, rgb=rgb)
    packed = struct.unpack(">I", body[33:37])[0]
    assert zlib.decompress(body[41 : 41 + packed]) == bytes(1999 * (1 + (2501 * 3 if rgb else 313)))
    image = Image.open(io.BytesIO(body))
    image.load()
    assert (image.size, image.mode) == ((2501, 1999), "RGB" if rgb else "1")
    assert image.getbbox() is None
