"""The corpus: 3,450 files at web-like sizes, cut from real photographs (and 7 % graphics), the same on every run.

Mix (from `speed.md`): 3,000 JPEG of quality 75 to 92, 300 PNG, 150 WebP; long side 300 to 500 px for 30 %, 800 to
1,200 for 50 %, 1,800 to 2,200 for 15 %, 3,600 to 4,400 for 5 % (PNG and WebP: smaller). Each file is a crop of a
photograph, of random place and extent, scaled down to its size as a web editor would do; nothing is enlarged.
"""

import hashlib
import json
import random
import shutil
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import PIL
from PIL import Image, ImageOps

from bench.paths import CORPUS, say
from bench.sources import Sources, gather

BUILDER_REVISION = 3  # raise it when anything below changes what is written
SEED = 20_261_122
JPEG_FILES, PNG_FILES, WEBP_FILES = 3_000, 300, 150
GRAPHIC_SHARE = {"jpg": 0.035, "png": 0.40, "webp": 0.10}
# Long sides in pixels and their shares, by format.
LONG_SIDES_PX = ((300, 500), (800, 1_200), (1_800, 2_200), (3_600, 4_400))
SIZE_SHARES = {"jpg": (30, 50, 15, 5), "png": (36, 60, 4, 0), "webp": (36, 60, 4, 0)}
ASPECTS = ((4 / 3, 45), (3 / 2, 25), (16 / 9, 8), (1.0, 10), (3 / 4, 8), (2 / 3, 4))
# What the web's JPEGs look like besides their size.
PROGRESSIVE_SHARE = 0.15
GREY_SHARE = 0.02
FULL_CHROMA_SHARE = 0.12


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How one corpus file is made from one source."""

    name: str
    source: str
    graphic: bool
    width_px: int
    height_px: int
    extent: float  # 0: crop at the file's own size; 1: the largest crop that the source allows
    left: float
    top: float
    quality: int
    progressive: bool
    grey: bool
    full_chroma: bool
    mode: str  # PNG: RGB, RGBA or P


def corpus() -> tuple[Path, ...]:
    """The corpus files in name order, made first if they are not there (about three minutes on two cores).

    Raises:
        RuntimeError: Files are missing, as where two processes made them at once.
    """
    sources = gather()
    identity = _identity(sources)
    manifest = CORPUS / "manifest.json"
    if manifest.exists() and json.loads(manifest.read_text())["identity"] == identity:
        return _files(len(json.loads(manifest.read_text())["cuts"]))
    cuts = _plan(sources)
    say(
        f"corpus: cutting {len(cuts):,} files from {len(sources.photos)} photos, {len(sources.graphics)} graphics"
    )
    by_source = defaultdict(list)
    for cut in cuts:
        by_source[cut.source].append(cut)
    shutil.rmtree(CORPUS, ignore_errors=True)
    (CORPUS / "files").mkdir(parents=True)
    with ProcessPoolExecutor(max_workers=2) as pool:
        list(pool.map(_cut_all, by_source.keys(), by_source.values()))
    manifest.write_text(
        json.dumps({"identity": identity, "missing": sources.missing, "cuts": [asdict(cut) for cut in cuts]})
    )
    return _files(len(cuts))


def _files(count: int) -> tuple[Path, ...]:
    files = tuple(sorted((CORPUS / "files").iterdir()))
    if len(files) != count:
        raise RuntimeError(
            f"{CORPUS} holds {len(files):,} of {count:,} files: remove it, and it is made anew."
        )
    return files


def describe(files: Sequence[Path]) -> dict[str, float]:
    """Counts and mean sizes by format: what the README's description of the corpus is checked against."""
    cuts = json.loads((CORPUS / "manifest.json").read_text())["cuts"]
    facts: dict[str, float] = {"files": len(files)}
    for kind in ("jpg", "png", "webp"):
        paths = [p for p in files if p.suffix == f".{kind}"]
        facts[f"{kind}_files"] = len(paths)
        facts[f"{kind}_mean_kb"] = round(sum(p.stat().st_size for p in paths) / len(paths) / 1000, 1)
        pixels = [c["width_px"] * c["height_px"] for c in cuts if c["name"].endswith(kind)]
        facts[f"{kind}_mean_mpx"] = round(sum(pixels) / len(pixels) / 1e6, 2)
    facts["median_kb"] = round(sorted(p.stat().st_size for p in files)[len(files) // 2] / 1000, 1)
    facts["sources"] = len({c["source"] for c in cuts if not c["graphic"]})
    facts["graphics_percent"] = round(100 * sum(c["graphic"] for c in cuts) / len(cuts), 1)
    return facts


def _identity(sources: Sources) -> str:
    digest = hashlib.sha256(f"{BUILDER_REVISION} {SEED} {PIL.__version__}".encode())
    for path in (*sources.photos, *sources.graphics):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
    return digest.hexdigest()


def _plan(sources: Sources) -> list[Cut]:
    """Decide every file before a pixel is read, so that the work can be grouped by source."""
    sizes = {path: _size_px(path) for path in (*sources.photos, *sources.graphics)}
    kinds = ["jpg"] * JPEG_FILES + ["png"] * PNG_FILES + ["webp"] * WEBP_FILES
    random.Random(SEED).shuffle(kinds)
    return [_plan_one(number, kind, sources, sizes) for number, kind in enumerate(kinds)]


def _size_px(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        turned = image.getexif().get(0x0112, 1) >= 5
        return (image.height, image.width) if turned else image.size


def _plan_one(number: int, kind: str, sources: Sources, sizes: dict[Path, tuple[int, int]]) -> Cut:
    rng = random.Random(f"{SEED}:{number}")
    graphic = bool(sources.graphics) and rng.random() < GRAPHIC_SHARE[kind]
    pool = sources.graphics if graphic else sources.photos
    shares = (40, 60, 0, 0) if graphic else SIZE_SHARES[kind]
    while True:
        low, high = rng.choices(LONG_SIDES_PX, shares)[0]
        long_px = rng.randint(low, high)
        aspect = rng.choices([a for a, _ in ASPECTS], [share for _, share in ASPECTS])[0]
        width_px = long_px if aspect >= 1 else round(long_px * aspect)
        height_px = round(long_px / aspect) if aspect >= 1 else long_px
        # A size that no source can fill without enlarging changes its shape, not its long side.
        for _ in range(8):
            fits = [p for p in pool if sizes[p][0] >= width_px and sizes[p][1] >= height_px]
            if fits:
                return _cut(rng, f"{number:05d}.{kind}", rng.choice(fits), graphic, (width_px, height_px))
            height_px = round(height_px * 0.9)
        shares = (40, 60, 0, 0)  # the sources at hand are all small


def _cut(rng: random.Random, name: str, source: Path, graphic: bool, size_px: tuple[int, int]) -> Cut:
    modes = ("P", "RGBA", "RGB") if graphic else ("RGB", "RGBA")
    weights = (30, 20, 50) if graphic else (96, 4)
    return Cut(
        name=name,
        source=str(source),
        graphic=graphic,
        width_px=size_px[0],
        height_px=size_px[1],
        extent=rng.random() ** 0.5,
        left=rng.random(),
        top=rng.random(),
        quality=rng.randint(75, 92),
        progressive=rng.random() < PROGRESSIVE_SHARE,
        grey=rng.random() < GREY_SHARE,
        full_chroma=rng.random() < FULL_CHROMA_SHARE,
        mode=rng.choices(modes, weights)[0],
    )


def _cut_all(source: str, cuts: Sequence[Cut]) -> None:
    with Image.open(source) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    for cut in cuts:
        _save(_crop(image, cut), cut, CORPUS / "files" / cut.name)


def _crop(image: Image.Image, cut: Cut) -> Image.Image:
    """The part of ``image`` that ``cut`` names, at its size."""
    largest = min(image.width / cut.width_px, image.height / cut.height_px)
    scale = 1 + (largest - 1) * cut.extent
    width, height = cut.width_px * scale, cut.height_px * scale
    left, top = (image.width - width) * cut.left, (image.height - height) * cut.top
    return image.resize(
        (cut.width_px, cut.height_px), Image.Resampling.LANCZOS, box=(left, top, left + width, top + height)
    )


def _save(image: Image.Image, cut: Cut, path: Path) -> None:
    if path.suffix == ".jpg":
        chroma = "4:4:4" if cut.full_chroma else "4:2:0"
        picture = image.convert("L") if cut.grey else image
        picture.save(path, "JPEG", quality=cut.quality, subsampling=chroma, progressive=cut.progressive)
    elif path.suffix == ".webp":
        image.save(path, "WEBP", quality=cut.quality, method=2)
    else:
        if cut.mode == "RGBA":
            image.putalpha(Image.linear_gradient("L").resize(image.size))
        elif cut.mode == "P":
            image = image.quantize(256)
        image.save(path, "PNG")


if __name__ == "__main__":
    say(json.dumps(describe(corpus()), indent=1))
