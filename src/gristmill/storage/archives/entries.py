"""What an archive is said to hold: entries, the reasons why one is refused, and what was seen on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from gristmill.spec.errors import SourceError

__all__ = ["Entry", "Extent", "MemberRefused", "Refusal", "Scan", "Summary"]


class Refusal(StrEnum):
    """Why a member is not read. The text of each lies in indexes: never renamed, only added to."""

    # its name
    ABSOLUTE = "absolute_name"
    DRIVE = "drive_name"  # begins with a drive letter
    PARENT = "parent_name"  # has `..` in it
    NUL = "nul_in_name"
    NO_NAME = "no_name"
    LONG_NAME = "long_name"
    DUPLICATE = "duplicate"  # a later good member has the same name
    AMBIGUOUS = "ambiguous"  # several names differ from the one looked for only in how they were written down

    # its kind
    LINK = "link"
    DEVICE = "device"  # a device, FIFO, socket
    SPARSE = "sparse"
    UNKNOWN_TYPE = "unknown_type"
    ENCRYPTED = "encrypted"
    METHOD = "unsupported_method"  # a compression other than deflate; the column `method` names it

    # its bytes
    HEADER = "damaged_header"
    LOCAL_HEADER = "local_header"  # a zip's directory and the member's own header differ
    OVERLAP = "overlap"  # reaches into the next one, so that bytes would be read twice
    SIZE = "wrong_size"  # has more or fewer bytes than it says
    CHECKSUM = "wrong_checksum"
    DEFLATE = "damaged_deflate"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"  # beyond what the caller takes into memory
    UNREADABLE = "unreadable"  # a file of a folder that may not be read, or is gone


_WORDS = {
    Refusal.ABSOLUTE: "its name begins with a slash",
    Refusal.DRIVE: "its name begins with a drive letter",
    Refusal.PARENT: "its name leads upwards ('..')",
    Refusal.NUL: "its name holds a NUL",
    Refusal.NO_NAME: "it has no name",
    Refusal.LONG_NAME: "its name or its header is too long",
    Refusal.DUPLICATE: "a later member has the same name",
    Refusal.AMBIGUOUS: "several members have this name but for case, Unicode form, or the like",
    Refusal.LINK: "it is a link",
    Refusal.DEVICE: "it is a device, FIFO or socket",
    Refusal.SPARSE: "it is a sparse file, which is not supported",
    Refusal.UNKNOWN_TYPE: "it is of a type that is not known",
    Refusal.ENCRYPTED: "it is encrypted",
    Refusal.METHOD: "its compression is not supported (only stored and deflate are)",
    Refusal.HEADER: "a header is damaged",
    Refusal.LOCAL_HEADER: "its own header differs from the archive's directory",
    Refusal.OVERLAP: "it reaches into the bytes of another member",
    Refusal.SIZE: "it holds more or fewer bytes than it says",
    Refusal.CHECKSUM: "its checksum is wrong",
    Refusal.DEFLATE: "its compressed bytes are damaged",
    Refusal.TRUNCATED: "the archive ends before it does",
    Refusal.TOO_LARGE: "it is larger than what may be read into memory",
    Refusal.UNREADABLE: "it cannot be opened",
}


class MemberRefused(SourceError):
    """One member of an archive cannot be had; the others can.

    Attributes:
        archive: Path of the archive.
        name: Of the member.
        refusal: Why.
    """

    def __init__(self, archive: str, name: str, refusal: Refusal) -> None:
        super().__init__(archive, name, refusal)
        self.archive, self.name, self.refusal = archive, name, refusal

    def __str__(self) -> str:
        return f"{self.archive}: {self.name!r} is not read: {_WORDS[self.refusal]}."


class Entry(NamedTuple):
    """One member, as its index has it. A tuple, since there are millions.

    Attributes:
        name: UTF-8, components separated by ``/``, without ``.`` components.
        raw: The name's bytes in the archive, where they are not ``name`` in UTF-8.
        offset: Where it begins: its local header in a zip, its bytes in a tar, its bytes in the unpacked stream
            of a tar.gz; 0 in a folder.
        packed_bytes: How many bytes it takes in the archive.
        size_bytes: How many bytes it has.
        method: ``stored`` or ``deflate`` in a zip, ``none`` elsewhere.
        crc32: Where it is known before the member is read: in zip and tar.gz.
        refused: Why it is not read; None for a good one.
        archive: Which of a source's archives it lies in.
    """

    name: str
    raw: bytes | None
    offset: int
    packed_bytes: int
    size_bytes: int
    method: str = "none"
    crc32: int | None = None
    refused: Refusal | None = None
    archive: int = 0

    @property
    def raw_name(self) -> bytes:
        """The name's bytes in the archive."""
        return self.name.encode() if self.raw is None else self.raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """A member's bytes as a plain range of a file, to be copied as it is (``os.copy_file_range``)."""

    path: Path
    offset: int
    size_bytes: int


@dataclass(slots=True)
class Scan:
    """Holds what a pass over an archive found besides its members.

    Attributes:
        cut: A sentence if the archive ends before it should, or was damaged beyond one member.
        notes: Sentences about what is odd but costs nothing.
        unpacked_bytes: Of a compressed archive, how many bytes it holds.
        refused_later: Members, by their place in the order found, that are refused for what was seen after them.
    """

    cut: str | None = None
    notes: list[str] = field(default_factory=list)
    unpacked_bytes: int = 0
    refused_later: dict[Refusal, list[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """An archive in numbers; also lies in its index.

    Attributes:
        kind: As in ``kinds/``.
        revision: Of that kind's reader.
        files: Name and bytes of each file that the archive consists of; none for a folder.
        members: How many can be read.
        refused: How many cannot, by reason.
        cut: See :class:`Scan`.
        notes: See :class:`Scan`.
        stems: Names are also found under another extension.
        told: What else whoever wrote it has to say.
    """

    kind: str
    revision: int
    files: tuple[tuple[str, int], ...]
    members: int
    refused: Mapping[str, int]
    cut: str | None
    notes: tuple[str, ...]
    stems: bool = False
    told: Mapping[str, Any] = field(default_factory=dict)
