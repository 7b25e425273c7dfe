import contextlib
import io
import struct
import tracemalloc

import numpy as np
import pytest
from made_images import chunk, exif, opened, photo, png, psnr, saved
from PIL import Image, ImageCms

from gristmill.media.image import Transcoded, Undecodable, decodes, head, transcode
from gristmill.media.settings import ImageSettings
from gristmill.spec.errors import UsageError
from gristmill.spec.reasons import Reason

DEFAULT = ImageSettings()
LOSSLESS = ImageSettings(format="png", resize_mode="no")
KINDS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]


def refusal(body, settings=DEFAULT):
    with pytest.raises(Undecodable) as caught:
        transcode(body, settings)
    return caught.value.reason


@pytest.mark.parametrize(
    ("mode", "enlarge", "wanted"),
    [
        ("no", False, {(500, 401): (500, 401), (40, 30): (40, 30)}),
        ("keep_ratio", False, {(500, 401): (124, 100), (40, 30): (40, 30), (100, 300): (100, 300)}),
        ("keep_ratio", True, {(40, 30): (133, 100)}),
        ("keep_ratio_largest", False, {(500, 401): (100, 80), (100, 30): (100, 30), (500, 1): (100, 1)}),
        ("center_crop", False, {(500, 401): (100, 100), (40, 30): (30, 30), (300, 60): (60, 60)}),
        ("border", False, {(500, 401): (100, 100), (40, 30): (100, 100)}),
    ],
)
def test_sizes(mode, enlarge, wanted):
    settings = ImageSettings(resize_mode=mode, size_px=100, enlarge=enlarge)
    for (width_px, height_px), stored in wanted.items():
        made = transcode(saved(photo(width_px, height_px)), settings)
        assert (made.width_px, made.height_px) == stored
        assert opened(made.body).shape == (stored[1], stored[0], 3)
        assert (made.original_width_px, made.original_height_px) == (width_px, height_px)


def test_border_is_white_and_crop_is_the_middle():
    body = saved(photo(300, 100), "PNG")
    bordered = opened(transcode(body, ImageSettings(resize_mode="border", size_px=90, format="png")).body)
    assert (bordered[:29] == 255).all()
    assert (bordered[61:] == 255).all()
    assert (bordered[30:60] != 255).any()
    cropped = opened(
        transcode(body, ImageSettings(resize_mode="center_crop", size_px=100, format="png")).body
    )
    assert (cropped == opened(body)[:, 100:200]).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quality", ["fast", "default", "quality"])
def test_formats_come_out_as_pillow_makes_them(kind, quality):
    body = saved(photo(500, 400), kind)
    made = transcode(body, ImageSettings(size_px=150, format="png", quality=quality))
    wanted = np.asarray(
        Image.open(io.BytesIO(body)).convert("RGB").resize((187, 150), Image.Resampling.LANCZOS)
    )
    assert psnr(opened(made.body), wanted) > (35 if quality == "fast" else 38)
    assert made.original_format == kind.lower()


@pytest.mark.parametrize(("kind", "stored"), [("jpeg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")])
def test_stored_formats(kind, stored):
    made = transcode(saved(photo(400, 400)), ImageSettings(format=kind, size_px=100))
    image = Image.open(io.BytesIO(made.body))
    assert (image.format, image.size, made.format) == (stored, (100, 100), kind)
    assert not image.getexif()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(kind, orientation):
    upright = Image.new("RGB", (48, 32), "black")
    upright.paste((250, 0, 0), (0, 0, 24, 16))
    upright.paste((0, 250, 0), (24, 0, 48, 16))
    upright.paste((0, 0, 250), (0, 16, 24, 32))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    body = saved(stored, kind, exif=exif(orientation))
    got = opened(transcode(body, LOSSLESS).body)
    assert got.shape == (32, 48, 3)
    assert psnr(got, np.asarray(upright)) > 20
    if kind == "JPEG":
        assert transcode(body, LOSSLESS).orientation == orientation
        ignored = transcode(body, ImageSettings(format="png", resize_mode="no", orientation="ignore"))
        assert psnr(opened(ignored.body), np.asarray(stored)) > 20


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_are_scaled_by_257(colour, channels):
    deep = np.random.default_rng(0).integers(0, 65536, (9, 11, channels)).astype(np.uint16)
    if channels in (2, 4):
        deep[..., -1] = 65535
    got = opened(transcode(png(deep, colour), LOSSLESS).body)
    wanted = np.rint(deep[..., : 3 if channels > 2 else 1] / 257)
    assert np.abs(got - wanted).max() <= (0 if channels != 2 else 1)


def test_alpha_goes_on_white_or_is_dropped():
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0] = (200, 10, 10, 0)
    pixels[1] = (200, 10, 10, 128)
    for kind in ("PNG", "WEBP"):
        options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        body = saved(Image.fromarray(pixels), kind, **options)
        white = opened(transcode(body, LOSSLESS).body)
        assert np.abs(white[0] - 255).max() == 0
        assert np.abs(white[1] - (227, 132, 132)).max() <= 1
        dropped = opened(transcode(body, ImageSettings(format="png", resize_mode="no", alpha="drop")).body)
        assert (dropped == (200, 10, 10)).all()


def test_palette_and_colour_key_transparency():
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putpixel((1, 0), 1)
    for kind in ("PNG", "GIF"):
        got = opened(transcode(saved(palette, kind, transparency=0), LOSSLESS).body)
        assert got.tolist() == [[[255, 255, 255], [0, 0, 255]]]
    assert opened(transcode(saved(palette, "PNG"), LOSSLESS).body).tolist() == [[[255, 0, 0], [0, 0, 255]]]
    keyed = png(np.array([[[7], [200]]], np.uint8), 0, chunk(b"tRNS", struct.pack(">H", 7)))
    assert opened(transcode(keyed, LOSSLESS).body)[0, :, 0].tolist() == [255, 200]


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_becomes_rgb(mode):
    source = photo(60, 40).convert(mode)
    got = opened(transcode(saved(source, "PNG"), LOSSLESS).body)
    assert (got == np.asarray(source.convert("RGB"))).all()


def test_grey_and_cmyk_jpegs():
    source = photo(64, 48)
    assert (
        psnr(
            opened(transcode(saved(source.convert("L")), LOSSLESS).body),
            np.asarray(source.convert("L").convert("RGB")),
        )
        > 30
    )
    assert psnr(opened(transcode(saved(source.convert("CMYK")), LOSSLESS).body), np.asarray(source)) > 25


def test_animations_give_their_first_frame():
    first, second = Image.new("RGB", (30, 20), (200, 0, 0)), Image.new("RGB", (30, 20), (0, 0, 200))
    for kind in ("GIF", "PNG", "WEBP", "AVIF"):
        body = saved(first, kind, save_all=True, append_images=[second])
        assert np.abs(opened(transcode(body, LOSSLESS).body) - (200, 0, 0)).max() < 12


def swapped_profile():
    """sRGB with its red and green colorants exchanged: a profile that cannot be overlooked."""
    icc = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    at = {bytes(icc[o : o + 4]): o for o in range(132, 132 + 12 * struct.unpack_from(">I", icc, 128)[0], 12)}
    red, green = at[b"rXYZ"], at[b"gXYZ"]
    icc[red : red + 4], icc[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(icc)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_profiles_are_converted(kind):
    red = Image.new("RGB", (32, 32), (255, 0, 0))
    got = opened(transcode(saved(red, kind, icc_profile=swapped_profile()), LOSSLESS).body)
    assert np.abs(got - (0, 255, 0)).max() <= 6
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = opened(transcode(saved(red, kind, icc_profile=srgb), LOSSLESS).body)
    assert np.abs(same - (255, 0, 0)).max() <= 6
    broken = opened(transcode(saved(red, kind, icc_profile=b"no profile at all" * 9), LOSSLESS).body)
    assert np.abs(broken - (255, 0, 0)).max() <= 6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_cut_files_are_refused(kind, share):
    body = saved(photo(300, 200), kind)
    reason = refusal(body[: int(len(body) * share)])
    assert reason in (Reason.TRUNCATED, Reason.UNDECODABLE)
    if kind in ("JPEG", "PNG", "WEBP"):
        assert reason is Reason.TRUNCATED


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_refused_wherever_it_is_cut(progressive):
    body = saved(photo(120, 90), progressive=progressive)
    for end in range(3, len(body) - 2, 97):
        assert refusal(body[:end]) is Reason.TRUNCATED, end


def test_stray_bytes_that_browsers_forgive_are_forgiven():
    body = saved(photo(120, 90))
    stray = body[:-2] + b"\x12\x34\x56" + body[-2:]
    assert psnr(opened(transcode(stray, LOSSLESS).body), opened(body)) > 45
    assert transcode(body + b"trailing", LOSSLESS).width_px == 120


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"<html>404", Reason.NOT_AN_IMAGE),
        (b"<svg/>", Reason.NOT_AN_IMAGE),
        (b"\xff\xd8\xff\xe0", Reason.TRUNCATED),
        (b"\x89PNG\r\n\x1a\n", Reason.TRUNCATED),
        (b"8BPS" + bytes(40), Reason.UNSUPPORTED),
        (b"BLP2" + bytes(300), Reason.UNSUPPORTED),
        (b"RIFF\x04\0\0\0WEBP", Reason.TRUNCATED),
        (b"GIF89a", Reason.UNDECODABLE),
    ],
)
def test_what_is_no_image_is_refused(body, reason):
    assert refusal(body) is reason


def test_limits_hold_before_pixels_are_decoded():
    giant = png(np.zeros((1, 1, 1), np.uint8), 0).replace(
        struct.pack(">II", 1, 1), struct.pack(">II", 60_000, 60_000)
    )
    huge_chunk = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0))
        + b"\x7f\xff\xff\xffIDATx"
    )
    tracemalloc.start()
    assert refusal(giant) is Reason.TOO_MANY_PIXELS
    assert refusal(huge_chunk) is Reason.TRUNCATED
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1 << 20
    body = saved(photo(200, 50))
    assert refusal(body, ImageSettings(max_pixels=9_999)) is Reason.TOO_MANY_PIXELS
    assert refusal(body, ImageSettings(max_side_px=199)) is Reason.TOO_MANY_PIXELS
    assert refusal(body, ImageSettings(min_side_px=51)) is Reason.TOO_SMALL
    assert refusal(body, ImageSettings(max_aspect=3.9)) is Reason.ASPECT
    assert transcode(body, ImageSettings(max_aspect=4, min_side_px=50)).width_px == 200


def test_a_detail_is_short_and_printable():
    error = Undecodable(Reason.UNDECODABLE, "a\x1b[31m\n" + "x" * 1000)
    assert len(str(error.detail)) <= 200
    assert error.detail.isprintable()


def test_original_bytes_stay_where_they_fit():
    keep = ImageSettings(keep_original=True, size_px=100)
    body = saved(photo(140, 100))
    made = transcode(body, keep)
    assert (made.kept_original, made.body) == (True, body)
    polyglot = transcode(body + b"PK\x03\x04 an archive", keep)
    assert (polyglot.kept_original, polyglot.body) == (True, body)
    for other in (
        saved(photo(140, 101)),
        saved(photo(140, 100), exif=exif(6)),
        saved(photo(140, 100), "PNG"),
        saved(photo(140, 100).convert("CMYK")),
        saved(photo(140, 100), icc_profile=swapped_profile()),
    ):
        assert not transcode(other, keep).kept_original
    assert transcode(
        saved(photo(140, 100), exif=exif(6)), ImageSettings(keep_original=True, orientation="ignore")
    ).kept_original
    assert not transcode(body, ImageSettings(size_px=100)).kept_original
    assert refusal(body[:-40], keep) is Reason.TRUNCATED


@pytest.mark.parametrize("where", ["in front", "between scans", "no segment"])
def test_originals_with_much_metadata_are_encoded_anew(where):
    keep = ImageSettings(keep_original=True)
    body = saved(photo(90, 60), progressive=True)
    comment = b"\xff\xfe" + struct.pack(">H", 65_000) + b"c" * 64_998
    if where == "no segment":
        comment = bytes(65_002)
    scan = body.index(b"\xff\xda", body.index(b"\xff\xda") + 1)
    at = {"in front": 2, "between scans": scan, "no segment": 20}[where]
    few, many = (body[:at] + number * comment + body[at:] for number in (1, 3))
    assert (transcode(few, keep).kept_original, transcode(few, keep).body) == (True, few)
    made = transcode(many, keep)
    assert not made.kept_original
    assert len(made.body) < len(body) + 2_000


def test_an_embedded_thumbnail_is_not_the_end():
    thumbnail = saved(photo(16, 16))
    body = saved(photo(90, 60))
    body = body[:2] + b"\xff\xe1" + struct.pack(">H", 8 + len(thumbnail)) + b"Exif\0\0" + thumbnail + body[2:]
    made = transcode(body, ImageSettings(keep_original=True))
    assert made.body == body


def test_head_and_decodes():
    body = saved(photo(70, 50))
    found = head(body)
    assert (found.format, found.width_px, found.height_px) == ("jpeg", 70, 50)
    decodes(body)
    with pytest.raises(Undecodable):
        decodes(body[:-20])


def test_the_same_bytes_every_time():
    body = saved(photo(700, 500))
    assert transcode(body, ImageSettings()) == transcode(body, ImageSettings())
    assert isinstance(transcode(body, ImageSettings()), Transcoded)


@pytest.mark.parametrize(
    "wrong", [{"size_px": 0}, {"encode_quality": 101}, {"resize_mode": "crop"}, {"max_aspect": 0.5}]
)
def test_wrong_settings_are_said(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        ImageSettings(**wrong)


def test_damaged_bytes_are_refused_or_decoded_and_nothing_else():
    rng, decoded = np.random.default_rng(3), 0
    for kind in KINDS:
        whole = saved(photo(90, 70), kind)
        for _ in range(60):
            body = bytearray(whole)
            for at in rng.integers(0, len(body), 4):
                body[at] = rng.integers(0, 256)
            with contextlib.suppress(Undecodable):
                decoded += transcode(bytes(body), ImageSettings(size_px=32)).width_px > 0
    assert 0 < decoded < 60 * len(KINDS)
