"""What acquirers are handed of a media source, by its key: members found by name, Parquet files, or a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

__all__ = ["FileSource", "MediaSource", "ParquetSource", "SourceEntry"]


class SourceEntry(Protocol):
    """One member of a source."""

    @property
    def name(self) -> str:
        """Its path in the source."""

    @property
    def size_bytes(self) -> int:
        """Its size."""

    @property
    def archive(self) -> int:
        """Which of the source's archives it lies in."""

    @property
    def offset(self) -> int:
        """Where in the archive: neighbours are read one after another."""


class MediaSource(Protocol):
    """Members of archives and folders; such as :class:`gristmill.storage.archives.MediaSource`."""

    def find(self, names: Sequence[str]) -> Sequence[Any | None]:
        """A :class:`SourceEntry` for each name, also of a member that is refused; None where there is nothing."""

    def open(self, entry: Any) -> BinaryIO:
        """A member's bytes.

        Raises:
            MemberRefused: It is not read, or its bytes are not what they should be: here, or while it is read.
        """


class ParquetSource(Protocol):
    """Parquet files with bytes in a column."""

    @property
    def files(self) -> Mapping[str, Path]:
        """Where they lie, by their names in the source, in its order."""


class FileSource(Protocol):
    """A folder that a person declared."""

    @property
    def root(self) -> Path:
        """The folder."""
