"""Unusual files that are valid: each comes out as the reference shows it, measured before JPEG."""

import io
import warnings
from collections import Counter

import numpy as np
import pytest
import reference
from PIL import Image

from codec import LOSSLESS, outcomes, pixels

MOST_LEVELS = 8
REFUSED = {"pillow/Tests/images/hopper_bigtiff.tif": "BigTIFF is not on the list of formats"}
LEAST = {  # how many files of a kind the comparison has to have met
    "turned": 29, "deep": 82, "profile": 20, "alpha": 150, "palette": 80, "bits": 20, "cmyk": 4, "gamma": 100,
    "animated": 60, "progressive": 50, "mpo": 5
}  # fmt: skip


def compared(specimen, outcome):
    """(file, what is wrong or None, what is odd about it or None if the reference cannot read it)."""
    try:
        wanted = reference.picture(specimen.body)
    except reference.Unreadable:
        return specimen, None, None
    traits = reference.traits(specimen.body)
    if outcome.reason:
        return specimen, f"refused: {outcome.reason} {outcome.detail}", traits
    got = pixels(outcome.picture)
    if got.shape != wanted.shape:
        return specimen, f"{got.shape} and not {wanted.shape}", traits
    levels = float(np.abs(got - wanted).mean())
    return specimen, f"{levels:.1f} levels" if levels > MOST_LEVELS else None, traits


def test_odd_pictures_come_out_right(corpus):
    found = outcomes(corpus, compared, **LOSSLESS)
    wrong = {specimen.name: said for specimen, said, _ in found if said and specimen.name not in REFUSED}
    # A damaged file may be refused where Pillow reads it; if it is not, it has to be right.
    damaged = {each.name for each in corpus if each.kind == "malformed"}
    wrong = {
        name: said for name, said in wrong.items() if name not in damaged or not said.startswith("refused")
    }
    odd = [traits for specimen, _, traits in found if traits is not None and specimen.kind == "odd"]
    met = Counter(trait for traits in odd for trait in traits)
    print(len(odd), "odd files that the reference reads:", dict(met))
    assert not wrong
    assert len(odd) >= 1000
    assert {trait: met[trait] for trait in LEAST if met[trait] < LEAST[trait]} == {}


def convert_rgb(specimen, outcome):
    """As a loader does that knows of neither: ``Image.open(file).convert("RGB")``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(specimen.body), formats=reference.FORMATS)
            if image.mode in ("CMYK", "LAB", "F", *reference.DEEP) or image.info.get("icc_profile"):
                return None
            wanted = np.asarray(image.convert("RGB")).astype(np.int16)
        except Exception:  # noqa: BLE001  # whatever Pillow raises on damaged files
            return None
    if outcome.reason:
        return None
    lossless = image.format not in ("JPEG", "MPO", "WEBP", "AVIF")
    got = pixels(outcome.picture)
    if got.shape != wanted.shape:
        return specimen.name, False, f"{got.shape} and not {wanted.shape}"
    worst, mean = int(np.abs(got - wanted).max(initial=0)), float(np.abs(got - wanted).mean())
    # 16 bits of RGB are cut to 8 there and rounded here; decoders of lossy formats differ by their rounding.
    good = worst <= 1 if lossless else mean <= 1
    return specimen.name, lossless and worst == 0, None if good else f"worst {worst}, mean {mean:.2f}"


def test_without_alpha_and_orientation_it_is_what_convert_rgb_makes(corpus):
    settings = {**LOSSLESS, "alpha": "drop", "orientation": "ignore"}
    odd = [each for each in corpus if each.kind == "odd" and len(each.body) < 300_000]
    found = [each for each in outcomes(odd, convert_rgb, **settings) if each]
    wrong = {name: said for name, _, said in found if said}
    print(len(found), sum(exact for _, exact, _ in found), wrong)
    assert not wrong
    assert len(found) > 800


@pytest.mark.slow
def test_the_reference_knows_a_turned_picture():
    image = Image.new("RGB", (3, 1))
    image.putdata([(255, 0, 0), (0, 255, 0), (0, 0, 255)])
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    image.save(out, "PNG", exif=exif)
    assert reference.picture(out.getvalue()).shape == (3, 1, 3)
