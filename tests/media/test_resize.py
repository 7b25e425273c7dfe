import io

import cv2
import numpy as np
import pytest
from made_images import photo, psnr, saved
from PIL import Image

from gristmill.media.decode import decoded
from gristmill.media.head import head
from gristmill.media.image import transcode
from gristmill.media.resize import DECODE_FACTOR, scaled
from gristmill.media.settings import ImageSettings

SIZES = [(370, 400), (560, 420), (760, 640), (900, 700), (1000, 860), (1300, 1190)]


@pytest.mark.parametrize(("quality", "gain_db"), [("fast", 0.0), ("default", 0.5), ("quality", 2.0)])
def test_resizing_is_nearer_to_lanczos_than_area(quality, gain_db):
    gains = []
    for seed, (width_px, height_px) in enumerate(SIZES):
        body = saved(photo(width_px, height_px, seed))
        size = (336 * width_px // min(width_px, height_px), 336 * height_px // min(width_px, height_px))
        full = Image.open(io.BytesIO(body)).convert("RGB")
        wanted = np.asarray(full.resize(size, Image.Resampling.LANCZOS))
        area = cv2.resize(np.asarray(full), size, interpolation=cv2.INTER_AREA)
        factor = DECODE_FACTOR[quality]
        pixels = decoded(body, head(body), least=(factor * size[0], factor * size[1]), alpha="drop")
        gains.append(psnr(scaled(pixels, size, quality), wanted) - psnr(area, wanted))
    assert np.mean(gains) > gain_db, gains
    assert min(gains) > (-3 if quality == "fast" else -1), gains


@pytest.mark.parametrize("quality", ["fast", "default", "quality"])
@pytest.mark.parametrize("sides", [(1001, 801), (1203, 845), (2301, 1705)])
def test_odd_sizes_keep_their_place(quality, sides):
    """What a reduced decoding rounds up at the right and the bottom does not make the picture narrower."""
    noise = np.random.default_rng(1).normal(0, 4, sides[::-1])
    for axis in (0, 1):
        side_px = sides[1 - axis]
        ramp = np.rint(np.expand_dims(np.linspace(20, 230, side_px), 1 - axis) + noise)
        ramp = np.broadcast_to(ramp[..., None], (*ramp.shape, 3)).astype(np.uint8)
        body = saved(Image.fromarray(ramp), quality=97, subsampling="4:4:4")
        made = transcode(body, ImageSettings(size_px=180, format="png", quality=quality))
        got = np.asarray(Image.open(io.BytesIO(made.body)))[..., 0].mean(axis=1 - axis)
        wanted = 20 + 210 * ((np.arange(len(got)) + 0.5) * side_px / len(got) - 0.5) / (side_px - 1)
        drift = (got - wanted)[-64:-4].mean() - (got - wanted)[4:64].mean()
        assert abs(drift) < 0.07


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [1.1, 1.6, 1.9, 2.1, 2.4, 2.8, 3.2, 3.7, 4.5, 6, 8, 11])
def test_at_no_ratio_is_it_farther_from_lanczos_than_area(ratio):
    """Between 1.35 and 1.5, where nothing is blurred, it may be: photographs have less detail than these."""
    gains = []
    for seed in (1, 2):
        image = photo(900, 700, seed)
        size = (round(900 / ratio), round(700 / ratio))
        wanted = np.asarray(image.resize(size, Image.Resampling.LANCZOS))
        area = cv2.resize(np.asarray(image), size, interpolation=cv2.INTER_AREA)
        gains.append(psnr(scaled(np.asarray(image), size, "default"), wanted) - psnr(area, wanted))
    assert np.mean(gains) > 0.5, gains


@pytest.mark.parametrize("stored", [(1, 1), (2, 2), (1, 3000), (3000, 1), (3, 6000), (2, 900)])
@pytest.mark.parametrize("size", [(1, 1), (1, 336), (336, 1), (33, 1), (2, 3)])
def test_any_sides(stored, size):
    got = scaled(np.full((stored[1], stored[0], 3), 77, np.uint8), size, "default")
    assert got.shape == (size[1], size[0], 3)
    assert np.abs(got.astype(int) - 77).max() <= 1


@pytest.mark.parametrize("quality", ["fast", "default", "quality"])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (100, 75), (399, 299), (400, 300), (401, 301), (900, 700)])
def test_flat_stays_flat_at_any_ratio(quality, size):
    flat = np.full((300, 400, 3), (10, 128, 250), np.uint8)
    got = scaled(flat, size, quality)
    assert got.shape == (size[1], size[0], 3)
    assert np.abs(got.astype(int) - (10, 128, 250)).max() <= 1


@pytest.mark.parametrize(
    ("least", "size"),
    [
        ((402, 301), (801, 601)),
        ((400, 300), (401, 301)),
        ((201, 151), (201, 151)),
        ((250, 200), (401, 301)),
        ((1, 1), (101, 76)),
    ],
)
def test_a_jpeg_is_decoded_at_a_half_a_quarter_or_an_eighth(least, size):
    body = saved(photo(801, 601, 3))
    pixels = decoded(body, head(body), least=least, alpha="drop")
    assert pixels.shape == (size[1], size[0], 3)


def test_chroma_is_repeated_only_where_pixels_are_more_than_enough():
    image = photo(300, 240, 4)
    body = saved(image, subsampling="4:2:0")
    smooth, enough, scarce = (
        decoded(body, head(body), least=least, alpha="drop", rough=rough)
        for least, rough in (((200, 160), False), ((200, 160), True), ((301, 160), True))
    )
    assert np.array_equal(smooth, scarce)
    assert not np.array_equal(smooth, enough)
    assert psnr(enough, smooth) > 35


@pytest.mark.parametrize("quality", ["fast", "default", "quality"])
@pytest.mark.parametrize("ratio", [1.1, 1.4, 1.9, 2.5, 3.3, 7.7])
def test_nothing_moves(quality, ratio):
    """A ramp keeps its place: a shift by a pixel's fraction would show as a constant difference."""
    width_px = round(64 * ratio)
    ramp = np.repeat(np.linspace(20, 230, width_px)[None, :, None], width_px, axis=0).repeat(3, axis=2)
    got = scaled(np.rint(ramp).astype(np.uint8), (64, 64), quality)[32, 8:-8, 0].astype(float)
    at = (np.arange(64) + 0.5) * width_px / 64 - 0.5
    wanted = np.interp(at, np.arange(width_px), ramp[0, :, 0])[8:-8]
    assert abs(np.mean(got - wanted)) < 0.3


@pytest.mark.parametrize(("quality", "fast"), [("default", True), ("fast", True), ("quality", False)])
def test_only_the_finest_quality_interpolates_chroma_everywhere(monkeypatch, quality, fast):
    asked = []

    def noted(*args, rough, **given):
        asked.append(rough)
        return decoded(*args, rough=rough, **given)

    monkeypatch.setattr("gristmill.media.image.decoded", noted)
    transcode(saved(photo(800, 600)), ImageSettings(quality=quality))
    assert asked == [fast]
