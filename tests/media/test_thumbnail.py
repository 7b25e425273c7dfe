import io
import subprocess
import sys

import pytest
from PIL import Image

from gristmill.media.thumbnail import Undecodable, thumbnail


def picture(size, mode="RGB", kind="JPEG", colour=(200, 30, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).convert(mode).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize(
    ("size", "small"), [((900, 600), (300, 200)), ((120, 80), (120, 80)), ((30, 900), (10, 300))]
)
def test_the_longer_side_is_bounded_and_nothing_is_enlarged(size, small):
    body, width, height = thumbnail(picture(size), side_px=300, quality=70)
    with Image.open(io.BytesIO(body)) as image:
        assert (image.format, image.size) == ("JPEG", small) == ("JPEG", (width, height))
        red, green, _ = image.getpixel((width // 2, height // 2))
        assert red > 150 > green


def test_transparent_pictures_lie_on_white():
    out = io.BytesIO()
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(out, "PNG")
    body, *_ = thumbnail(out.getvalue(), side_px=20, quality=70)
    with Image.open(io.BytesIO(body)) as image:
        assert min(image.getpixel((5, 5))) > 250


def test_damage_is_said_and_size_is_bounded(monkeypatch):
    with pytest.raises(Undecodable):
        thumbnail(picture((400, 400))[:-200], side_px=300, quality=70)
    monkeypatch.setattr("gristmill.media.thumbnail._MAX_PIXELS", 99)
    assert thumbnail(picture((10, 10)), side_px=5, quality=70) is None


def test_the_report_needs_no_opencv():
    code = "import sys, gristmill.viewer.report; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"cv2", "simplejpeg"} & set(said.split())


def test_what_is_decoded_whole_and_large_is_not_looked_at() -> None:
    out = io.BytesIO()
    Image.new("1", (2001, 2000)).save(out, "PNG")
    assert thumbnail(out.getvalue(), side_px=300, quality=70) is None
