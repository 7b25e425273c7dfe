"""A range of a file as a file of its own: a video that lies in an archive."""

from __future__ import annotations

import io

__all__ = ["Window"]


class Window(io.RawIOBase):
    """A range of a file as a file of its own; what lies around it is not seen."""

    def __init__(self, path: str, offset: int, size_bytes: int) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        self._offset, self._size_bytes, self._at = offset, size_bytes, 0

    def readable(self) -> bool:
        """As files."""
        return True

    def seekable(self) -> bool:
        """As files."""
        return True

    def read(self, size: int = -1) -> bytes:
        """As files."""
        left = max(0, self._size_bytes - self._at)
        self._file.seek(self._offset + self._at)
        data = self._file.read(left if size < 0 else min(size, left)) or b""
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """As files."""
        base = (0, self._at, self._size_bytes)[whence]
        if base + offset < 0:
            raise ValueError("before the beginning")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """As files."""
        return self._at

    def close(self) -> None:
        """As files."""
        self._file.close()
        super().close()
