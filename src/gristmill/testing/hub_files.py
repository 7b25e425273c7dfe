"""Files as a hub describes them: git object ids, and for large ones their sha256."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

__all__ = ["PlayedFile", "hub_files"]

_READ_BYTES = 1 << 20


class PlayedFile:
    """One file of a repository, in memory or on disk; checksums are computed when first asked for."""

    def __init__(self, path: str, content: bytes | Path, *, lfs_over_bytes: int) -> None:
        self.path = path
        self.spoiled = False
        self._content = content
        self.size = len(content) if isinstance(content, bytes) else content.stat().st_size
        self.lfs = self.size > lfs_over_bytes

    def read(self, start: int, end: int) -> bytes:
        """Bytes from start to end; every one differs from the true one if the file is spoiled."""
        if isinstance(self._content, bytes):
            data = self._content[start:end]
        else:
            with self._content.open("rb") as file:
                file.seek(start)
                data = file.read(end - start)
        return bytes(255 - byte for byte in data) if self.spoiled else data

    @cached_property
    def sha256(self) -> str:
        """Of the true content, in hex."""
        return self._digest("sha256", b"")

    @cached_property
    def blob_id(self) -> str:
        """Git's object id: of the content, or for LFS files of the pointer that lies in git."""
        if self.lfs:
            pointer = self._pointer()
            return hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False).hexdigest()
        return self._digest("sha1", b"blob %d\0" % self.size)

    @property
    def etag(self) -> str:
        """Say what identifies the content: sha256 in LFS, else git's object id."""
        return self.sha256 if self.lfs else self.blob_id

    def facts(self) -> dict[str, Any]:
        """The file as an entry of a tree."""
        entry: dict[str, Any] = {"type": "file", "oid": self.blob_id, "size": self.size, "path": self.path}
        if self.lfs:
            entry["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": len(self._pointer())}
        return entry

    def sibling(self, *, blobs: bool) -> dict[str, Any]:
        """The file as one of the siblings in a repository's facts."""
        entry: dict[str, Any] = {"rfilename": self.path}
        if blobs:
            entry |= {"size": self.size, "blobId": self.blob_id}
            if self.lfs:
                entry["lfs"] = {"sha256": self.sha256, "size": self.size, "pointerSize": len(self._pointer())}
        return entry

    def _pointer(self) -> bytes:
        """Git LFS pointer file, version 1."""
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n"
        return text.encode()

    def _digest(self, algorithm: str, prefix: bytes) -> str:
        digest = hashlib.new(algorithm, prefix, usedforsecurity=False)
        if isinstance(self._content, bytes):
            digest.update(self._content)
        else:
            with self._content.open("rb") as file:
                while piece := file.read(_READ_BYTES):
                    digest.update(piece)
        return digest.hexdigest()


def hub_files(files: Path | Mapping[str, bytes | Path], lfs_over_bytes: int) -> dict[str, PlayedFile]:
    """All files of a folder, or of a mapping, by path, sorted."""
    if isinstance(files, Path):
        found: Mapping[str, bytes | Path] = {
            path.relative_to(files).as_posix(): path for path in files.rglob("*") if path.is_file()
        }
    else:
        found = files
    return {path: PlayedFile(path, found[path], lfs_over_bytes=lfs_over_bytes) for path in sorted(found)}
