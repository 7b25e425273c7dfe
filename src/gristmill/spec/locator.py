"""Locators say where one medium is. ``parse`` gives each medium one, and the acquirer of its kind fetches it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

__all__ = ["Cell", "Embedded", "File", "Frames", "Locator", "Member", "Url", "Video", "without_userinfo"]

_USERINFO = re.compile(r"//[^/?#\\]*@")


class Locator:
    """Holds what all locators share. Subclasses are frozen dataclasses of texts and whole numbers.

    Attributes:
        kind: Names the acquirer's file in ``steps/acquirers``, and the locator in stored samples.
        kinds: All locators that were declared, by kind.
    """

    __slots__ = ()
    kind: ClassVar[str]
    kinds: ClassVar[dict[str, type[Locator]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Locator.kinds[cls.kind] = cls

    def kept(self) -> Locator | None:
        """Say what a stored sample still says of where its medium came from."""
        return self


@dataclass(frozen=True, slots=True)
class Url(Locator):
    """An address on the web.

    Attributes:
        url: As upstream has it.
    """

    url: str
    kind = "url"


@dataclass(frozen=True, slots=True)
class Embedded(Locator):
    """Base64 in the annotation row.

    Attributes:
        text: The Base64, perhaps with the head of a ``data:`` URL.
        url: Where upstream had the medium from, if it says so.
    """

    text: str = field(repr=False)
    url: str | None = None
    kind = "embedded"

    def kept(self) -> Locator | None:
        """See :class:`Locator`: the URL alone; the text is the medium."""
        return None if self.url is None else Url(self.url)


@dataclass(frozen=True, slots=True)
class Member(Locator):
    """A file in a media source: a folder, or some archives.

    Attributes:
        source: Key of the source.
        path: As the annotation row names it.
    """

    source: str
    path: str
    kind = "member"


@dataclass(frozen=True, slots=True)
class Cell(Locator):
    """Bytes in a column of a Parquet source.

    Attributes:
        source: Key of the source.
        column: Name of the column, or a path into it: ``image.bytes``.
        row: Position of the row, from 0, in the file, or over all files of the source in order.
        file: Name of the file in the source; empty where the row counts over all files.
    """

    source: str
    column: str
    row: int
    file: str = ""
    kind = "cell"

    @classmethod
    def beside(cls, column: str) -> Cell:
        """The cell of the annotation row itself, where that lies in Parquet; the run knows file and row."""
        return cls("", column, -1)


@dataclass(frozen=True, slots=True)
class File(Locator):
    """A file below a folder that a source declares.

    Attributes:
        source: Key of the source.
        path: Relative to the folder; nothing outside of it is read.
    """

    source: str
    path: str
    kind = "file"


@dataclass(frozen=True, slots=True)
class Video(Locator):
    """A video of a media source by its name without ending or, where the source lacks it, on a page of a video site.

    Attributes:
        source: Key of the source.
        name: Such as a video's id at its site. Its container is found by trying the endings of videos.
        page: Address of the page that shows it; empty where there is none. No page is asked without permission.
    """

    source: str
    name: str
    page: str = ""
    kind = "video"


@dataclass(frozen=True, slots=True)
class Frames(Locator):
    """A folder of pictures in a media source that are the frames of one video, in the order of their names.

    Attributes:
        source: Key of the source.
        folder: As the annotation row names it.
    """

    source: str
    folder: str
    kind = "frames"


def without_userinfo(url: str) -> str:
    """The URL with any ``user:password@`` removed; works on malformed URLs too."""
    return _USERINFO.sub("//", url) if "@" in url else url
