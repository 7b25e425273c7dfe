"""Archives made by Python's own libraries, and hostile ones byte by byte."""

from pathlib import Path

from gristmill.storage.archives import Archive, ArchiveSource, Indexed, write_index
from gristmill.testing.archives import foldered, put, raw_zip, split, tar_gzipped, tarred, zipped

__all__ = [
    "END",
    "contents",
    "foldered",
    "indexed",
    "padded",
    "put",
    "raw_zip",
    "refused_in",
    "source_of",
    "split",
    "tar_gzipped",
    "tar_header",
    "tarred",
    "zipped",
]


def indexed(*paths: Path, at: Path | None = None):
    """The index of one archive: its summary, and the archive with it."""
    archive = Archive.at(*paths)
    index = at or paths[0].with_name(paths[0].name + ".index.parquet")
    return write_index(archive, index), Indexed(archive, index)


def source_of(*paths: Path):
    """An archive's summary, and a source of it alone."""
    summary, one = indexed(*paths)
    return summary, ArchiveSource([one])


def refused_in(path: Path) -> dict[str, str]:
    """Names of refused members, and why."""
    _, one = indexed(path)
    return {entry.name: entry.refused.value for entry in one.index.entries() if entry.refused}


def contents(source: ArchiveSource, names) -> dict[str, bytes]:
    return {
        name: source.read(entry, 1 << 30)
        for name, entry in zip(names, source.find(list(names)), strict=True)
        if entry
    }


def tar_header(name: bytes, size: int, kind: bytes = b"0", **fields: bytes) -> bytes:
    """One header, with a right sum; ``size_field`` and others replace bytes."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108] = b"0000644\0"
    block[124:136] = fields.get("size_field", b"%011o\0" % size)
    block[156:157] = kind
    block[257:265] = fields.get("magic", b"ustar\00000")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(body: bytes) -> bytes:
    return body + bytes(-len(body) % 512)


END = bytes(1024)
