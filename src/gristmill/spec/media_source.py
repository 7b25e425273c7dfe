"""Media sources: how they are packed, where they are fetched, and what acquirers are handed of one, by its key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from gristmill.spec.errors import RecipeError

__all__ = ["Download", "FileSource", "MediaSource", "MemberLayout", "ParquetSource", "SourceEntry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One file of a media source that lies at an address of its own.

    Attributes:
        url: ``http`` or ``https``; its end names the file.
        size_bytes: As published.
        sha256: Hex. None where nobody publishes one: then the address and the size are all that it is known by.
    """

    url: str
    size_bytes: int
    sha256: str | None = None

    def __post_init__(self) -> None:
        if not re.match(r"https?://[^/]+/.*[^/]$", self.url) or self.size_bytes <= 0:
            raise RecipeError(
                f"{self.url!r}: a download has an http address that ends in a file's name, and a size"
            )
        if self.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise RecipeError(f"{self.url}: {self.sha256!r} is no SHA-256 in hex")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberLayout:
    r"""One way in which the members of a media source are named, as archives of it, or people's own trees, have them.

    It leads from a member's name to the path that records use, whatever stands in front of it in the archive::

        MemberLayout(name="archive", member=r"train2017/\d{12}\.jpg")
        MemberLayout(name="tree", member=r"(?:.*/)?coco/(train2017/\d{12}\.jpg)", path=r"\1")

    Attributes:
        name: By which records and messages name it.
        member: Regular expression of a member's whole name, without regard to case. Members that are like none of
            a source's layouts are passed over and counted.
        path: The path that records use, with the groups of ``member``: ``\1``, ``\g<name>``.
        example: A member's name that is of this layout, for ``plan``.
    """

    name: str
    member: str
    path: str = r"\g<0>"
    example: str = ""

    def __post_init__(self) -> None:
        try:
            _whole(self.member).sub(self.path, "")
        except (re.error, IndexError) as err:
            raise RecipeError(f"layout {self.name!r}: {self.member!r} to {self.path!r}: {err}") from err
        if self.example and not self.fits(self.example):
            raise RecipeError(f"layout {self.name!r}: its example {self.example} is not like {self.member!r}")

    def fits(self, member: str) -> bool:
        """Say whether a member's name is of this layout."""
        return _whole(self.member).match(member) is not None

    def path_of(self, member: str) -> str | None:
        """The path that records use for a member of this name; None if it is not of this layout."""
        pattern = _whole(self.member)
        return pattern.sub(self.path, member) if pattern.match(member) else None


@lru_cache(maxsize=256)
def _whole(member: str) -> re.Pattern[str]:
    return re.compile(rf"\A(?:{member})\Z", re.IGNORECASE)


class SourceEntry(Protocol):
    """One member of a source."""

    @property
    def name(self) -> str:
        """Its path in the source."""

    @property
    def size_bytes(self) -> int:
        """Its size."""

    @property
    def crc32(self) -> int | None:
        """Say what its bytes are promised to have."""

    @property
    def archive(self) -> int:
        """Say which of the source's archives it lies in."""

    @property
    def offset(self) -> int:
        """Say where in the archive: neighbours are read one after another."""

    @property
    def refused(self) -> str | None:
        """Say why it is not read; None of one that is."""


class MediaSource(Protocol):
    """Members of archives and folders; such as :class:`gristmill.storage.archives.ArchiveSource`."""

    def find(self, names: Sequence[str]) -> Sequence[Any | None]:
        """A :class:`SourceEntry` for each name, also of a member that is refused; None where there is nothing."""

    def below(self, folders: Sequence[str]) -> Iterable[tuple[int, Any]]:
        """A :class:`SourceEntry` for each member that lies in one of some folders, with the folder's number."""

    def open(self, entry: Any) -> BinaryIO:
        """A member's bytes.

        Raises:
            MemberRefused: It is not read, or its bytes are not what they should be: here, or while it is read.
        """

    def extent(self, entry: Any) -> Any | None:
        """Say where a member's bytes stand as they are: ``path``, ``offset``, ``size_bytes``; None where they do not.

        Raises:
            MemberRefused: As :meth:`open`.
        """

    def pointer(self, entry: Any) -> str | None:
        """A text by which :meth:`reopen` finds the member again; None where reading it at random is dear.

        Raises:
            MemberRefused: As :meth:`open`.
        """

    def reopen(self, pointer: str) -> BinaryIO:
        """The same bytes as :meth:`open`.

        Raises:
            MemberRefused: As :meth:`open`.
            ValueError: It is no pointer of this source.
        """


class ParquetSource(Protocol):
    """Parquet files with bytes in a column."""

    @property
    def files(self) -> Mapping[str, Path]:
        """Say where they lie, by their names in the source, in its order."""


class FileSource(Protocol):
    """A folder that a person declared."""

    @property
    def root(self) -> Path:
        """The folder."""
