"""Quality and cost of each way to shrink an image to a shorter side of 336 px, on the corpus.

Quality is the PSNR of the resized image, before encoding, against Pillow's full decode and Lanczos at the same size:
its mean over the images, and the mean of the worst twentieth. Cost is the CPU time of decode, resize and JPEG encode
at quality 75 in one thread, relative to the published script's.
"""

import io
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.paths import say
from gristmill.media.image import transcode
from gristmill.media.settings import ImageSettings, Quality

IMAGES = 600
SEED = 7
QUALITY = 75
SHORT_SIDE_PX = 336
ROUNDS = 3

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way: to the resized pixels (for quality) and to the stored bytes (for cost)."""

    name: str
    resized: Callable[[bytes, Size], Pixels]
    stored: Callable[[bytes, Size], bytes]


def codec(files: Sequence[Path]) -> dict[str, dict[str, float]]:
    """Way -> ``psnr_db``, ``psnr_worst_db``, ``ms`` (CPU an image), ``script_ratio`` (how many times as fast)."""
    cv2.setNumThreads(1)
    sample = _sample(files)
    bodies = [path.read_bytes() for path in sample]
    sizes = [_size(body) for body in bodies]
    say(f"codec: {len(bodies)} images above {SHORT_SIDE_PX} px")
    results: dict[str, dict[str, float]] = {way.name: {} for way in WAYS}
    scores: dict[str, list[float]] = {way.name: [] for way in WAYS}
    for body, size in zip(bodies, sizes, strict=True):
        reference = np.asarray(_pillow(body).resize(size, Image.Resampling.LANCZOS))
        for way in WAYS:
            scores[way.name].append(_psnr_db(way.resized(body, size), reference))
    costs_ms: dict[str, list[float]] = {way.name: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way in WAYS:
            costs_ms[way.name].append(_cost_ms(way, bodies, sizes))
    script_ms = statistics.median(costs_ms["script"])
    for way in WAYS:
        worst = sorted(scores[way.name])[: max(1, len(bodies) // 20)]
        ms = statistics.median(costs_ms[way.name])
        results[way.name] = {
            "psnr_db": statistics.mean(scores[way.name]),
            "psnr_worst_db": statistics.mean(worst),
            "ms": ms,
            "script_ratio": script_ms / ms,
        }
    return results


def _sample(files: Sequence[Path]) -> list[Path]:
    """Images that every way must shrink; without transparency, which each tool treats in its own way."""
    wanted = []
    for path in random.Random(SEED).sample(list(files), len(files)):
        with Image.open(path) as image:
            if min(image.size) > SHORT_SIDE_PX and not image.has_transparency_data:
                wanted.append(path)
        if len(wanted) == IMAGES:
            break
    return wanted


def _size(body: bytes) -> Size:
    """Width and height with the shorter side at 336 px and the other floored, as published."""
    with Image.open(io.BytesIO(body)) as image:
        short_px = min(image.size)
        return (image.width * SHORT_SIDE_PX // short_px, image.height * SHORT_SIDE_PX // short_px)


def _psnr_db(pixels: Pixels, reference: Pixels) -> float:
    if pixels.shape != reference.shape:
        raise RuntimeError(f"codec: sizes differ: {pixels.shape}, {reference.shape}")
    error = np.mean((pixels.astype(np.float64) - reference) ** 2)
    # Pictures that come out exactly alike (flat graphics) count as 80 dB, not as infinity.
    return float(10 * np.log10(255**2 / error)) if error > 255**2 / 10**8 else 80.0


def _cost_ms(way: Way, bodies: Sequence[bytes], sizes: Sequence[Size]) -> float:
    started_s = time.process_time()
    for body, size in zip(bodies, sizes, strict=True):
        way.stored(body, size)
    return 1000 * (time.process_time() - started_s) / len(bodies)


def _pillow(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body)).convert("RGB")


def _script_resized(body: bytes, size: Size) -> Pixels:
    return np.asarray(_pillow(body).resize(size, Image.Resampling.BICUBIC))


def _script_stored(body: bytes, size: Size) -> bytes:
    buffer = io.BytesIO()
    _pillow(body).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _area(body: bytes, size: Size) -> Pixels:
    # img2dataset decodes with IMREAD_UNCHANGED, then brings grey and alpha to three channels.
    image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise RuntimeError("codec: OpenCV cannot decode an image of the corpus")
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _area_stored(body: bytes, size: Size) -> bytes:
    encoded: bytes = cv2.imencode(".jpg", _area(body, size), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    return encoded


def _gristmill(quality: Quality, *, phash: bool = False) -> Way:
    lossless = ImageSettings(quality=quality, format="png", phash=False)
    jpeg = ImageSettings(quality=quality, phash=phash)

    def resized(body: bytes, size: Size) -> Pixels:
        return np.asarray(Image.open(io.BytesIO(transcode(body, lossless).body)).convert("RGB"))

    return Way(
        name=f"gristmill {quality}" + (" + phash" if phash else ""),
        resized=resized,
        stored=lambda body, size: transcode(body, jpeg).body,
    )


WAYS = (
    Way(name="script", resized=_script_resized, stored=_script_stored),
    Way(
        name="img2dataset",
        resized=lambda body, size: np.ascontiguousarray(_area(body, size)[..., ::-1]),
        stored=_area_stored,
    ),
    _gristmill("fast"),
    _gristmill("default"),
    _gristmill("default", phash=True),
    _gristmill("quality"),
)


if __name__ == "__main__":
    from bench.corpus import corpus

    print(json.dumps(codec(corpus()), indent=1))
