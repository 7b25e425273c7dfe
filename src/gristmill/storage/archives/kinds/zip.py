"""Zips: the members are those of the directory at the end, ZIP64 included; read one by one, not into objects.

Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import stat
import struct
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gristmill.spec.errors import DamagedSource
from gristmill.storage.archives.bodies import checked, inflated, ranged
from gristmill.storage.archives.entries import Entry, Extent, MemberRefused, Refusal, Scan
from gristmill.storage.archives.names import member_name
from gristmill.storage.archives.parts import Archive

__all__ = ["KIND"]

_RECORD = struct.Struct("<4sHHHHHHLLLHHHHHLL")
_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_END = struct.Struct("<4sHHHHLLH")
_END64 = struct.Struct("<4sQHHLLQQQQ")
_LOCATOR64 = struct.Struct("<4sLQL")
_MOST_COMMENT = 0xFFFF
_WINDOW_BYTES = 4 << 20
_MOST_RATIO = 1032  # of deflate

_ENCRYPTED = 0x1 | 0x40 | 0x2000
_DESCRIPTOR = 0x8  # sizes and checksum stand behind the member's bytes
_UTF8 = 0x800
_METHODS = {
    0: "stored",
    8: "deflate",
    9: "deflate64",
    12: "bzip2",
    14: "lzma",
    93: "zstd",
    95: "xz",
    99: "aes",
}


_NO_FILES = {stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK}


class _Directory(NamedTuple):
    """Where a zip's directory is."""

    start: int
    size: int
    members: int
    before: int  # bytes in front of the zip, such as a program that unpacks it


class Zip:
    """See :class:`gristmill.storage.archives.kind.Kind`."""

    revision = 1

    def likeness(self, archive: Archive, head: bytes) -> int:
        """See :class:`gristmill.storage.archives.kind.Kind`."""
        if head.startswith((b"PK\3\4", b"PK\5\6", b"PK\7\x08PK\3\4")):
            return 3
        return 0 if archive.is_folder or _end_of(archive) is None else 2

    def scan(self, archive: Archive, scan: Scan) -> Iterator[Entry]:
        """See :class:`gristmill.storage.archives.kind.Kind`."""
        directory = _directory(archive)
        places, starts, ends = array("q"), array("q"), array("q")
        found = members = 0
        for raw, record, extra in _records(archive, directory, scan):
            found += 1
            if raw.endswith(b"/"):
                continue
            entry = _entry(raw, record, extra, directory)
            if not entry.refused:
                places.append(members)
                starts.append(entry.offset)
                ends.append(entry.offset + _LOCAL.size + len(raw) + entry.packed_bytes)
            members += 1
            yield entry
        if directory.members not in {found, found & 0xFFFF} and scan.cut is None:
            scan.notes.append(f"The zip says that it has {directory.members:,} entries, and has {found:,}.")
        if directory.before:
            scan.notes.append(f"{directory.before:,} bytes stand in front of the zip.")
        scan.refused_later[Refusal.OVERLAP] = _overlapping(places, starts, ends)

    def in_order(self, archive: Archive, scan: Scan) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """See :class:`gristmill.storage.archives.kind.Kind`."""
        reader = ZipReader(archive)
        for entry in self.scan(archive, scan):
            yield entry, iter(()) if entry.refused else reader.pieces(entry)

    def beside(self, archive: Archive, index: Path, scan: Scan) -> None:
        """See :class:`gristmill.storage.archives.kind.Kind`."""

    def reader(self, archive: Archive, index: Path) -> ZipReader:
        """See :class:`gristmill.storage.archives.kind.Kind`."""
        return ZipReader(archive)


def _end_of(archive: Archive) -> tuple[int, bytes] | None:
    """Where the record at a zip's end is, and that record."""
    start = max(0, archive.size_bytes - _END.size - _MOST_COMMENT)
    tail = archive.read_at(start, _END.size + _MOST_COMMENT)
    at = tail.rfind(b"PK\5\6", 0, max(0, len(tail) - _END.size + 4))
    while at >= 0:
        record = tail[at : at + _END.size]
        if at + _END.size + _END.unpack(record)[7] <= len(tail):
            return start + at, record
        at = tail.rfind(b"PK\5\6", 0, at)
    return None


def _directory(archive: Archive) -> _Directory:
    end = _end_of(archive)
    if end is None:
        raise DamagedSource(
            f"{archive} is cut off: the directory at a zip's end is missing after {archive.size_bytes:,} bytes. "
            "Fetch it again."
        )
    at, record = end
    _, disk, first_disk, _, members, size, offset, _ = _END.unpack(record)
    locator = archive.read_at(max(0, at - _LOCATOR64.size), _LOCATOR64.size)
    if locator.startswith(b"PK\6\7") and at >= _LOCATOR64.size:
        _, _, at64, disks = _LOCATOR64.unpack(locator)
        nearest = at - _LOCATOR64.size - _END64.size
        for place in (at64, nearest):  # with bytes in front of the zip the first leads elsewhere
            record = archive.read_at(place, _END64.size) if 0 <= place <= nearest else b""
            if record.startswith(b"PK\6\6") and len(record) == _END64.size:
                _, _, _, _, disk, first_disk, _, members, size, offset = _END64.unpack(record)
                at = place
                break
        else:
            raise DamagedSource(f"{archive} is damaged: its ZIP64 directory is missing. Fetch it again.")
        disk = max(disk, disks - 1 if disks else 0)
    if disk or first_disk:
        raise DamagedSource(
            f"{archive} is one volume of a zip in several volumes, which is not supported. "
            f"Join them with `zip -s 0 {archive.paths[0].name} --out joined.zip`, and give joined.zip."
        )
    before = at - size - offset
    if before < 0 or (size and not archive.read_at(at - size, 4).startswith(b"PK\1\2")):
        raise DamagedSource(f"{archive} is damaged: its directory is not where its end says. Fetch it again.")
    if before and not _local_at(archive, at - size, before) and _local_at(archive, at - size, 0):
        before = 0  # its places already count what stands in front
    return _Directory(at - size, size, members, before)


def _local_at(archive: Archive, directory: int, before: int) -> bool:
    """Whether the directory's first member is where it would be with so many bytes in front of the zip."""
    record = archive.read_at(directory, _RECORD.size)
    if len(record) < _RECORD.size:
        return False
    return archive.read_at(before + _RECORD.unpack(record)[16], 4) == b"PK\3\4"


def _records(
    archive: Archive, directory: _Directory, scan: Scan
) -> Iterator[tuple[bytes, tuple[int, ...], bytes]]:
    """Each member's name, fixed fields and extra fields, read by a window over the directory."""
    at, end = directory.start, directory.start + directory.size
    window, base = b"", at
    unpack, size = _RECORD.unpack_from, _RECORD.size
    while at < end:
        place = at - base
        if len(window) - place < size + 3 * 0xFFFF and base + len(window) < end:
            window, base, place = archive.read_at(at, min(_WINDOW_BYTES, end - at)), at, 0
        if len(window) - place < size or window[place : place + 4] != b"PK\1\2":
            scan.cut = f"The zip's directory is damaged at byte {at:,}: what it names before that was read."
            return
        record = unpack(window, place)
        names_end = place + size + record[10]
        extra_end = names_end + record[11]
        if extra_end + record[12] > len(window):
            scan.cut = f"The zip's directory is damaged at byte {at:,}: what it names before that was read."
            return
        yield window[place + size : names_end], record, window[names_end:extra_end]
        at += extra_end + record[12] - place


def _entry(raw: bytes, record: tuple[int, ...], extra: bytes, directory: _Directory) -> Entry:
    _, _, _, flags, method, _, _, crc, packed, size, _, _, _, disk, _, mode, offset = record
    refused = None
    if extra and 0xFFFFFFFF in (packed, size, offset):
        try:
            size, packed, offset = (min(_MOST, value) for value in _zip64(extra, size, packed, offset))
        except struct.error:
            refused = Refusal.HEADER
    name, bad_name = member_name(raw, fallback="cp437", backslashes=True)
    if extra and not flags & _UTF8 and (told := _unicode_name(extra, raw)) is not None:
        name, bad_name = member_name(told, fallback="cp437", backslashes=True)
    offset += directory.before
    refused = refused or _refused(flags, method, packed, size, disk, mode >> 16)
    if not refused and offset + _LOCAL.size + len(raw) + packed > directory.start:
        refused = Refusal.TRUNCATED
    return Entry(
        name=name,
        raw=None if name.encode() == raw else raw,
        offset=offset,
        packed_bytes=packed,
        size_bytes=size,
        method=_METHODS.get(method) or f"method {method}",
        crc32=crc,
        refused=bad_name or refused,
    )


_MOST = (1 << 62) - 1
"""More does not fit the index; whatever says so is refused."""


def _refused(flags: int, method: int, packed: int, size: int, disk: int, mode: int) -> Refusal | None:
    kind = stat.S_IFMT(mode)
    if kind in _NO_FILES:
        return Refusal.LINK if kind == stat.S_IFLNK else Refusal.DEVICE
    if flags & _ENCRYPTED:
        return Refusal.ENCRYPTED
    if method not in {0, 8}:
        return Refusal.METHOD
    if disk:
        return Refusal.HEADER
    if (method == 0 and packed != size) or size > packed * _MOST_RATIO + _MOST_RATIO:
        return Refusal.SIZE
    return None


def _zip64(extra: bytes, *fields: int) -> list[int]:
    """Fields with those that do not fit 32 bits taken from the extra field that holds them.

    Raises:
        struct.error: It is too short, or not there.
    """
    rest = _extra_field(extra, 0x0001) or b""
    large = iter(struct.unpack_from(f"<{fields.count(0xFFFFFFFF)}Q", rest))
    return [next(large) if value == 0xFFFFFFFF else value for value in fields]


def _unicode_name(extra: bytes, raw: bytes) -> bytes | None:
    """The name in UTF-8 as Info-ZIP puts it beside one in another encoding, if it is that name's."""
    field = _extra_field(extra, 0x7075) or b""
    if len(field) < 6 or field[0] != 1 or field[1:5] != struct.pack("<L", zlib.crc32(raw)):
        return None
    return field[5:]


def _extra_field(extra: bytes, wanted: int) -> bytes | None:
    at = 0
    while at + 4 <= len(extra):
        tag, size = struct.unpack_from("<HH", extra, at)
        if tag == wanted:
            return extra[at + 4 : at + 4 + size]
        at += 4 + size
    return None


def _overlapping(places: array[int], starts: array[int], ends: array[int]) -> list[int]:
    """Places of members that reach into the next one: without them, none shares bytes with another."""
    if not starts:
        return []
    start, end = np.frombuffer(starts, np.int64), np.frombuffer(ends, np.int64)
    order = np.argsort(start, kind="stable")
    reaches = end[order[:-1]] > start[order[1:]]
    return [int(place) for place in np.frombuffer(places, np.int64)[order[:-1][reaches]]]


class ZipReader:
    """See :class:`gristmill.storage.archives.kind.Reader`."""

    at_random = True

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def pieces(self, entry: Entry) -> Iterator[bytes]:
        """See :class:`gristmill.storage.archives.kind.Reader`."""
        packed = ranged(self._archive, self._start(entry), entry.packed_bytes)
        if entry.method == "deflate":
            packed = inflated(packed, self._archive, entry)
        yield from checked(packed, self._archive, entry)

    def extent(self, entry: Entry) -> Extent | None:
        """See :class:`gristmill.storage.archives.kind.Reader`."""
        if entry.method != "stored":
            return None
        found = self._archive.range_in_file(self._start(entry), entry.size_bytes)
        return found and Extent(path=found[0], offset=found[1], size_bytes=entry.size_bytes)

    def _start(self, entry: Entry) -> int:
        """Where the member's bytes begin; its own header must say what the directory says."""
        raw = entry.raw_name
        header = self._archive.read_at(entry.offset, _LOCAL.size + len(raw))
        if len(header) < _LOCAL.size + len(raw) or not header.startswith(b"PK\3\4"):
            raise MemberRefused(str(self._archive), entry.name, Refusal.LOCAL_HEADER)
        name_bytes: int
        extra_bytes: int
        _, _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = _LOCAL.unpack_from(header)
        told = [(crc, entry.crc32), (packed, entry.packed_bytes), (size, entry.size_bytes)]
        if flags & _DESCRIPTOR:  # of what it does not know yet it says nothing
            told = [(here, there) for here, there in told if here]
        differs = any(here not in {there, 0xFFFFFFFF} for here, there in told)
        if (
            differs
            or flags & _ENCRYPTED
            or _METHODS.get(method) != entry.method
            or header[_LOCAL.size :] != raw
        ):
            raise MemberRefused(str(self._archive), entry.name, Refusal.LOCAL_HEADER)
        return entry.offset + _LOCAL.size + name_bytes + extra_bytes


KIND = Zip()
