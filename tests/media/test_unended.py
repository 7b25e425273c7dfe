"""Pictures that lack nothing but the mark of their end, and those that lack more."""

import io
from zlib import crc32

import numpy as np
import pytest
from made_images import opened, photo, saved
from PIL import Image

from gristmill.media.image import Undecodable, transcode
from gristmill.media.settings import CHECKING, ImageSettings
from gristmill.spec.reasons import Reason

AS_IT_IS = ImageSettings(resize_mode="no", format="png")
SMALL = ImageSettings(size_px=24)
JPEGS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 2},
    "optimised": {"optimize": True},
    "full chroma": {"subsampling": 0},
}


def jpeg(**options) -> bytes:
    return saved(photo(90, 70), **options)


def reason_of(body: bytes, settings: ImageSettings) -> Reason | None:
    try:
        transcode(body, settings)
    except Undecodable as err:
        return err.reason
    return None


@pytest.mark.parametrize("settings", [AS_IT_IS, SMALL], ids=["as it is", "small"])
@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS.keys())
def test_a_jpeg_without_its_end_marker_is_as_good_as_with_it(options, settings):
    body = jpeg(**options)
    for missing in (1, 2):
        assert transcode(body[:-missing], settings).body == transcode(body, settings).body


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS.keys())
def test_a_jpeg_that_lacks_more_is_cut_off(options):
    body = jpeg(**options)
    for missing in (*range(3, 40), *range(40, len(body) - 700, 97)):
        assert reason_of(body[:-missing], AS_IT_IS) is Reason.TRUNCATED, missing


def test_a_scan_that_is_missing_whole_is_missing():
    body = jpeg(progressive=True)
    scans = [at for at in range(len(body) - 1) if body[at : at + 2] == b"\xff\xda"]
    tables = [body.rfind(b"\xff\xc4", 0, at) for at in scans]
    assert len(scans) > 3
    for at in (*scans[1:], *tables[1:]):
        assert reason_of(body[:at], AS_IT_IS) is Reason.TRUNCATED


def test_grey_ones_too():
    body = saved(photo(50, 40).convert("L"))
    assert transcode(body[:-2], AS_IT_IS).body == transcode(body, AS_IT_IS).body


def test_what_is_stored_is_never_without_its_end():
    keep = ImageSettings(keep_original=True, size_px=200)
    assert transcode(jpeg(), keep).kept_original
    made = transcode(jpeg()[:-2], keep)
    assert not made.kept_original
    assert opened(made.body).shape == (70, 90, 3)
    for body in (jpeg()[:-2], saved(photo(9, 9), "PNG")[:-12]):
        assert reason_of(body, CHECKING) is Reason.TRUNCATED


def pngs() -> list[bytes]:
    rng = np.random.default_rng(3)
    picture = Image.fromarray(rng.integers(0, 255, (23, 17, 3), np.uint8))
    made = []
    for mode in ("RGB", "L", "RGBA", "LA", "1", "P"):
        made.append(saved(picture.convert(mode), "PNG"))
    deep = io.BytesIO()
    Image.fromarray(rng.integers(0, 65535, (9, 7), np.uint16)).save(deep, "PNG")
    return [*made, deep.getvalue()]


@pytest.mark.parametrize("body", pngs())
def test_a_png_without_its_end_chunk_is_as_good_as_with_it(body):
    wanted = transcode(body, AS_IT_IS).body
    for missing in (1, 4, 5, 8, 11, 12):
        assert transcode(body[:-missing], AS_IT_IS).body == wanted
    for missing in (13, 16, 17, 40):
        assert reason_of(body[:-missing], AS_IT_IS) is Reason.TRUNCATED


def test_a_png_whose_lines_are_not_all_there_is_cut_off():
    body = saved(photo(30, 20), "PNG")
    taller = bytearray(body)
    taller[20:24] = (21).to_bytes(4)
    taller[29:33] = crc32(taller[12:29]).to_bytes(4)
    assert reason_of(bytes(taller[:-12]), AS_IT_IS) is Reason.TRUNCATED


@pytest.mark.parametrize("size", [(2000, 1), (1, 2000), (6001, 3)])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_long_and_thin_picture_is_enlarged_to_its_middle_or_refused_for_what_it_would_become(size, form):
    body = saved(photo(*size), form)
    square = ImageSettings(enlarge=True, resize_mode="center_crop", format="png", max_pixels=1_000_000)
    made = transcode(body, square)
    assert (made.width_px, made.height_px) == (336, 336)
    wanted = transcode(body, ImageSettings(enlarge=True, resize_mode="center_crop", format="png", size_px=24))
    small = np.asarray(Image.open(io.BytesIO(made.body)).resize((24, 24), Image.Resampling.BOX))
    assert np.abs(small.astype(int) - opened(wanted.body)).mean() < 6
    for mode in ("keep_ratio", "center_crop"):
        refused = mode == "keep_ratio"
        settings = ImageSettings(enlarge=True, resize_mode=mode)
        assert (reason_of(body, settings) is Reason.TOO_MANY_PIXELS) == refused
    with pytest.raises(Undecodable, match=r"would become \d+ x \d+ px"):
        transcode(body, ImageSettings(enlarge=True))
