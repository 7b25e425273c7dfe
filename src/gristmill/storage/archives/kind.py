"""What a kind of archive can do, and which kind one is."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from gristmill.spec.errors import DamagedSource
from gristmill.storage.archives import kinds
from gristmill.storage.archives.entries import Entry, Extent, Scan
from gristmill.storage.archives.parts import Archive

__all__ = ["Kind", "Reader", "kind_of", "kinds_by_name"]


class Reader(Protocol):
    """One archive, open to be read; for any number of threads, and for the children of its process.

    Attributes:
        at_random: To read one member costs no more than its own bytes, wherever it lies.
    """

    at_random: bool

    def pieces(self, entry: Entry) -> Iterator[bytes]:
        """A good member's bytes, checked.

        Raises:
            MemberRefused: They are not what the index says.
            OSError: As the system says.
        """

    def extent(self, entry: Entry) -> Extent | None:
        """Say where a good member's bytes stand as they are, if they do.

        Raises:
            MemberRefused: The archive is not what the index says.
            OSError: As the system says.
        """


class Kind(Protocol):
    """A kind of archive."""

    @property
    def revision(self) -> int:
        """Raised when the same archive gives another index."""

    def likeness(self, archive: Archive, head: bytes) -> int:
        """Say how much an archive is of this kind: 0 not, 1 perhaps, 2 by its tail, 3 by its head.

        Raises:
            OSError: As the system says.
        """

    def scan(self, archive: Archive, scan: Scan) -> Iterator[Entry]:
        """All members in the archive's order, refused ones, too; folders are none.

        Raises:
            SourceError: Nothing of it can be read.
            OSError: As the system says.
        """

    def in_order(self, archive: Archive, scan: Scan) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """The same with each good member's checked bytes, in one pass; taken before the next member or not at all.

        Raises:
            SourceError: Nothing of it can be read.
            OSError: As the system says.
        """

    def beside(self, archive: Archive, index: Path, scan: Scan) -> None:
        """Write what else is needed beside an index to read members at random, once the scan is complete.

        Raises:
            OSError: As the system says.
        """

    def reader(self, archive: Archive, index: Path) -> Reader:
        """Opens it.

        Raises:
            SourceError: What lies beside the index is not there, or damaged.
        """


@lru_cache(maxsize=1)
def kinds_by_name() -> dict[str, Kind]:
    """All kinds, by the names of their files."""
    names = sorted(module.name for module in pkgutil.iter_modules(kinds.__path__))
    return {name: importlib.import_module(f"{kinds.__name__}.{name}").KIND for name in names}


HEAD_BYTES = 1024

_OTHERS = (
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"BZh", "compressed with bzip2"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"PK\x07\x08", "one volume of a zip in several volumes"),
    (b"PAR1", "a Parquet file"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"\x80\x02", "a pickle"),
    (b"{", "a JSON file"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file that it stands for"),
)


def kind_of(archive: Archive) -> str:
    """Say which kind an archive is, by its bytes, whatever its name.

    Raises:
        DamagedSource: It is none.
        OSError: As the system says.
    """
    head = b"" if archive.is_folder else archive.read_at(0, HEAD_BYTES)
    likeness = {name: kind.likeness(archive, head) for name, kind in kinds_by_name().items()}
    best = max(likeness, key=lambda name: likeness[name])
    if likeness[best]:
        return best
    raise DamagedSource(f"{archive} is no archive: it is {_what_it_is(head)}. {_ADVICE}")


_ADVICE = "Fetch it again, or put a zip, tar, tar.gz or folder in its place."


def _what_it_is(head: bytes) -> str:
    if not head:
        return "empty"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<script", b"<meta", b"<body", b"<!--")):
        return "a web page, such as a site shows in place of a file that it does not give (a quota, a login)"
    return next((what for magic, what in _OTHERS if head.startswith(magic)), "of no kind that is known")
