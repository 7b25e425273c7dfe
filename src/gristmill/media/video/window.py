"""A range of a file as a file of its own: a video that lies in an archive."""

from __future__ import annotations

import io
from io import BufferedIOBase, RawIOBase

__all__ = ["Window"]


class Window(io.RawIOBase):
    """A range of a file; what lies around it is not seen.

    Args:
        file: Closed with this.
        offset: Where it begins, bytes.
        size_bytes: Of the range.
    """

    def __init__(self, file: RawIOBase | BufferedIOBase, offset: int, size_bytes: int) -> None:
        self._file, self._offset, self._size_bytes, self._at = file, offset, size_bytes, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read on from where the last call ended, at most to the range's end."""
        left = max(0, self._size_bytes - self._at)
        self._file.seek(self._offset + self._at)
        data = self._file.read(left if size < 0 else min(size, left)) or b""
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place in the range, and return it; of one before its beginning -1, as FFmpeg expects."""
        to = (0, self._at, self._size_bytes)[whence] + offset
        if to < 0:
            return -1
        self._at = to
        return to

    def tell(self) -> int:
        """Return the place in the range, bytes."""
        return self._at

    def close(self) -> None:
        """Close the file as well."""
        self._file.close()
        super().close()
