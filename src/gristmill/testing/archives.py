"""Made-up archives: good ones of every kind, and hostile ones."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "foldered",
    "hostile_tar",
    "hostile_zip",
    "put",
    "raw_zip",
    "split",
    "tar_gzipped",
    "tarred",
    "zipped",
]

Files = Mapping[str, bytes]


def zipped(path: Path, files: Files, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip."""
    with zipfile.ZipFile(path, "w", method) as out:
        for name, body in files.items():
            out.writestr(name, body)
    return path


def tarred(path: Path, files: Files, form: int = tarfile.GNU_FORMAT) -> Path:
    """A tar."""
    with tarfile.open(path, "w", format=form) as out:
        for name, body in files.items():
            put(out, name, body)
    return path


def tar_gzipped(path: Path, files: Files) -> Path:
    """A tar.gz."""
    plain = tarred(path.with_suffix(".plain"), files)
    path.write_bytes(gzip.compress(plain.read_bytes(), 1, mtime=0))
    plain.unlink()
    return path


def foldered(path: Path, files: Files) -> Path:
    """A folder of files."""
    for name, body in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(body)
    path.mkdir(exist_ok=True)
    return path


def split(path: Path, size: int, suffixes: Callable[[int], str]) -> list[Path]:
    """A file in parts of a size, in its place."""
    body = path.read_bytes()
    path.unlink()
    parts = []
    for number, start in enumerate(range(0, max(1, len(body)), size)):
        parts.append(path.with_name(path.name + suffixes(number)))
        parts[-1].write_bytes(body[start : start + size])
    return parts


def put(out: tarfile.TarFile, name: str, body: bytes = b"", **fields: Any) -> None:
    """One member of a tar, with further fields of its header."""
    info = tarfile.TarInfo(name)
    info.size = len(body)
    for field, value in fields.items():
        setattr(info, field, value)
    out.addfile(info, io.BytesIO(body))


def hostile_tar(path: Path, good: Files) -> Path:
    """A tar with good members, and with names that lead out of it, links, devices, and one name twice."""
    with tarfile.open(path, "w") as out:
        put(out, "../images/up.png", b"x")
        put(out, "/images/root.png", b"x")
        put(out, "images/link.png", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        put(out, "images/hard.png", type=tarfile.LNKTYPE, linkname="images/link.png")
        put(out, "images/device.png", type=tarfile.CHRTYPE)
        put(out, "images/pipe.png", type=tarfile.FIFOTYPE)
        for name, body in good.items():
            put(out, name, b"an earlier member of the same name")
            put(out, name, body)
    return path


def hostile_zip(path: Path, good: Files) -> Path:
    """A zip with good members, and with lying sizes, a bomb, members that share bytes, and names that lead out."""
    bomb = _deflated(bytes(1 << 24))
    lying = _deflated(b"a" * 5000)
    members: list[dict[str, Any]] = [{"name": name.encode(), "body": body} for name, body in good.items()]
    members += [
        {"name": b"images/bomb.png", "stored": bomb, "method": 8, "packed": len(bomb), "size": 1000},
        {"name": b"images/lying.png", "stored": lying, "method": 8, "packed": len(lying), "size": 6000},
        {"name": b"images/ratio.png", "stored": b"ab", "method": 8, "packed": 2, "size": 1 << 30},
        {"name": b"../images/up.png", "body": b"x"},
        {"name": b"images/link.png", "body": b"/etc/passwd", "mode": 0o120777},
    ]
    path.write_bytes(raw_zip(members))
    return path


def _deflated(body: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(body) + packer.flush()


def raw_zip(members: Sequence[Mapping[str, Any]], **end: int) -> bytes:
    """A zip, field by field. Each member: name, body, and whatever its headers shall say otherwise.

    Fields with ``local_`` in front are of the member's own header alone; ``at`` is where the directory says that it
    is; ``stored`` are the bytes that stand there in the place of ``body``.
    """
    out, directory = bytearray(), bytearray()
    for member in members:
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
        fields = [local[field] for field in ("flags", "method")]
        sizes = [local[field] for field in ("crc", "packed", "size")]
        out += struct.pack(
            "<4sHHHHHLLLHH", b"PK\3\4", 20, *fields, 0, 0, *sizes, len(name), len(local["extra"])
        )
        out += local["name"] + local["extra"] + member.get("stored", body)
        fields = [told[field] for field in ("flags", "method")]
        sizes = [told[field] for field in ("crc", "packed", "size")]
        lengths = [len(name), len(told["extra"]), 0]
        directory += struct.pack(
            "<4sHHHHHHLLLHHHHHLL",
            b"PK\1\2",
            0x031E,
            20,
            *fields,
            0,
            0,
            *sizes,
            *lengths,
            told["disk"],
            0,
            told["mode"] << 16,
            at,
        )
        directory += name + told["extra"]
    last = {"disk": 0, "entries": len(members), "size": len(directory), "offset": len(out), **end}
    count = [last["disk"], 0, last["entries"], last["entries"]]
    tail = struct.pack("<4sHHHHLLH", b"PK\5\6", *count, last["size"], last["offset"], 0)
    return bytes(out + directory + tail)
