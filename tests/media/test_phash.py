import io

import imagehash
import numpy as np
import pytest
from made_images import exif, photo, saved
from PIL import Image

from gristmill.media.image import transcode
from gristmill.media.phash import hamming, phash
from gristmill.media.settings import ImageSettings


@pytest.mark.parametrize("size", [(32, 32), (17, 90), (150, 100), (255, 200)])
def test_equal_to_imagehash(size):
    for seed in range(12):
        image = photo(*size, seed)
        assert phash(np.asarray(image)) == str(imagehash.phash(image))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_measured_on_the_way_it_is_as_good_as_on_the_original(kind):
    distances = []
    for seed in range(4):
        body = saved(photo(900, 620, seed), kind)
        stored = transcode(body, ImageSettings(encode_quality=20))
        distances.append(hamming(stored.phash, str(imagehash.phash(Image.open(io.BytesIO(body))))))
    assert max(distances) <= 4
    assert np.mean(distances) <= 1


def test_it_is_of_the_whole_unturned_image():
    image = photo(400, 300, 5)
    body = saved(image, exif=exif(6))
    wanted = str(imagehash.phash(image))
    assert hamming(transcode(body, ImageSettings(resize_mode="center_crop", size_px=100)).phash, wanted) <= 2
    assert hamming(transcode(body, ImageSettings(resize_mode="border", size_px=100)).phash, wanted) <= 2
    assert transcode(body, ImageSettings(phash=False)).phash is None


def test_hamming():
    assert hamming("00", "ff") == 8
    assert hamming("9f3c60e1a5b2d478", "9f3c60e1a5b2d479") == 1
    assert hamming("9f3c60e1a5b2d478", "9f3c60e1a5b2d478") == 0
