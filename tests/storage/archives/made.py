"""Archives made by Python's own libraries, and hostile ones byte by byte."""

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

from gristmill.storage.archives import Archive, Indexed, MediaSource, write_index


def zipped(path: Path, files: dict[str, bytes], method=zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as out:
        for name, body in files.items():
            out.writestr(name, body)
    return path


def tarred(path: Path, files: dict[str, bytes], form=tarfile.GNU_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as out:
        for name, body in files.items():
            put(out, name, body)
    return path


def tar_gzipped(path: Path, files: dict[str, bytes]) -> Path:
    path.write_bytes(gzip.compress(tarred(path.with_suffix(".plain"), files).read_bytes(), 1))
    return path


def foldered(path: Path, files: dict[str, bytes]) -> Path:
    for name, body in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(body)
    path.mkdir(exist_ok=True)
    return path


def split(path: Path, size: int, suffixes) -> list[Path]:
    """A file in parts of a size, in its place."""
    body = path.read_bytes()
    path.unlink()
    parts = []
    for number, start in enumerate(range(0, max(1, len(body)), size)):
        parts.append(path.with_name(path.name + suffixes(number)))
        parts[-1].write_bytes(body[start : start + size])
    return parts


def put(out: tarfile.TarFile, name: str, body: bytes = b"", **fields) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(body)
    for field, value in fields.items():
        setattr(info, field, value)
    out.addfile(info, io.BytesIO(body))


def indexed(*paths: Path, at: Path | None = None):
    """The index of one archive: its summary, and the archive with it."""
    archive = Archive.at(*paths)
    index = at or paths[0].with_name(paths[0].name + ".index.parquet")
    return write_index(archive, index), Indexed(archive, index)


def source_of(*paths: Path):
    """An archive's summary, and a source of it alone."""
    summary, one = indexed(*paths)
    return summary, MediaSource([one])


def refused_in(path: Path) -> dict[str, str]:
    """Names of refused members, and why."""
    _, one = indexed(path)
    return {entry.name: entry.refused.value for entry in one.index.entries() if entry.refused}


def contents(source: MediaSource, names) -> dict[str, bytes]:
    return {
        name: source.read(entry, 1 << 30)
        for name, entry in zip(names, source.find(list(names)), strict=True)
        if entry
    }


def raw_zip(members: list[dict], **end) -> bytes:
    """A zip, field by field. Each member: name, body, and whatever its headers shall say otherwise.

    Fields with ``local_`` in front are of the member's own header alone. ``at``: the directory says that it is there.
    """
    out, directory = bytearray(), bytearray()
    for member in members:
        import zlib

        name, body = member["name"], member.get("body", b"")
        told = {
            "flags": 0,
            "method": 0,
            "crc": zlib.crc32(body),
            "packed": len(body),
            "size": len(body),
            "mode": 0,
            "extra": b"",
            "disk": 0,
            **member,
        }
        local = {**told, "extra": b"", **{k[6:]: v for k, v in member.items() if k.startswith("local_")}}
        at = member.get("at", len(out))
        out += struct.pack(
            "<4sHHHHHLLLHH",
            b"PK\3\4",
            20,
            local["flags"],
            local["method"],
            0,
            0,
            local["crc"],
            local["packed"],
            local["size"],
            len(local["name"]),
            len(local["extra"]),
        )
        out += local["name"] + local["extra"] + member.get("stored", body)
        directory += struct.pack(
            "<4sHHHHHHLLLHHHHHLL",
            b"PK\1\2",
            0x031E,
            20,
            told["flags"],
            told["method"],
            0,
            0,
            told["crc"],
            told["packed"],
            told["size"],
            len(name),
            len(told["extra"]),
            0,
            told["disk"],
            0,
            told["mode"] << 16,
            at,
        )
        directory += name + told["extra"]
    start = len(out)
    last = {"disk": 0, "entries": len(members), "size": len(directory), "offset": start, **end}
    tail = struct.pack(
        "<4sHHHHLLH",
        b"PK\5\6",
        last["disk"],
        0,
        last["entries"],
        last["entries"],
        last["size"],
        last["offset"],
        0,
    )
    return bytes(out + directory + tail)


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
