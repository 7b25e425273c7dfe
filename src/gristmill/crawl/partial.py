"""Large bodies in files: what came of one is gone on with after a reset or a kill, if the server still has the same.

A body goes to a file once it is larger than a crawl keeps in memory. Beside the file stands by what its server knows
it from others (a strong ``ETag``, else ``Last-Modified``), and its whole size. What is missing is asked for with
``Range`` and ``If-Range`` (RFC 9110, sections 13.1.5 and 14.2): a server whose file has changed answers with all.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from gristmill.crawl.guard import Refused
from gristmill.spec.body import FileBody
from gristmill.spec.reasons import TRANSIENT, Reason
from gristmill.storage.files import machine_error, write_whole

__all__ = ["Partial", "Partials"]

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_NONE_LEFT = re.compile(r"bytes \*/(\d+)")


class Partial:
    """The body of one URL, as far as it has come.

    Args:
        path: Of its file, which need not be there.
        large_bytes: Up to so many are kept in memory alone.

    Attributes:
        size_bytes: How many have come.
    """

    def __init__(self, path: Path, large_bytes: int) -> None:
        self.path, self.large_bytes = path, large_bytes
        self._told = path.with_suffix(".json")
        self._validator = ""
        self._whole: int | None = None
        self._fd = -1
        self.size_bytes = 0

    def open(self) -> bool:
        """Open its file and find out what came before; False where another process has it.

        Raises:
            MachineError: The disk is full, or the like.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            self._fd = -1
            return False
        except OSError as err:
            raise machine_error(err, self.path) from err
        self.size_bytes = os.fstat(self._fd).st_size
        self._validator, self._whole = self._read()
        if not self._validator:
            self._begin_anew()
        return True

    def _read(self) -> tuple[str, int | None]:
        """By what the server knows the body, and its whole size."""
        try:
            told = json.loads(self._told.read_bytes())
            whole = told["size"]
            return str(told["validator"]), whole if isinstance(whole, int) else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return "", None

    def headers(self) -> dict[str, str]:
        """Ask for what is missing; nothing where all is."""
        if not (self.size_bytes and self._validator):
            return {}
        return {"Range": f"bytes={self.size_bytes}-", "If-Range": self._validator}

    def goes_on(self, status: int, headers: Mapping[str, str]) -> bool:
        """Say whether an answer is what is missing, or says that nothing is.

        Raises:
            Refused: It is a part that was not asked for; what came is thrown away.
        """
        if not (self.size_bytes and self._validator) or status not in (206, 416):
            return False
        said = headers.get("Content-Range", "").strip()
        if status == 416:
            none_left = _NONE_LEFT.fullmatch(said)
            if none_left is not None and int(none_left[1]) == self.size_bytes == self._whole:
                return True
        else:
            match = _RANGE.fullmatch(said)
            start, end, whole = map(int, match.groups()) if match is not None else (-1, -1, -1)
            if start == self.size_bytes and end + 1 == whole and self._whole in (None, whole):
                self._whole = whole
                return True
        self._begin_anew()
        raise Refused(Reason.SHORT_BODY, f"asked to go on, it answered {status} {said}"[:200])

    def begin(self, headers: Mapping[str, str], whole: int | None) -> None:
        """The answer is a body from its start. Nothing is kept that could not be gone on with.

        Raises:
            MachineError: The disk is full, or the like.
        """
        self._begin_anew()
        etag = headers.get("ETag", "").strip()
        strong = etag if etag.startswith('"') else ""
        self._validator = strong or headers.get("Last-Modified", "").strip()
        self._whole = whole
        if self._validator:
            write_whole(self._told, json.dumps({"validator": self._validator, "size": whole}).encode())

    def write(self, data: bytes) -> None:
        """Add what came.

        Raises:
            MachineError: The disk is full, or the like.
        """
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._fd, view, self.size_bytes)
                self.size_bytes += written
                view = view[written:]
        except OSError as err:
            raise machine_error(err, self.path) from err

    def finished(self) -> FileBody:
        """All of it.

        Raises:
            Refused: It is not all.
        """
        if self._whole is not None and self.size_bytes != self._whole:
            said = f"{self.size_bytes:,} bytes of {self._whole:,}"
            self._begin_anew()
            raise Refused(Reason.SHORT_BODY, said)
        return FileBody(path=self.path, size_bytes=self.size_bytes)

    def close(self, *, keep: bool) -> None:
        """Let others have it, or leave nothing behind."""
        if self._fd >= 0:
            if not (keep and self._validator and self.size_bytes):
                self.path.unlink(missing_ok=True)
                self._told.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = -1

    def _begin_anew(self) -> None:
        self._validator, self._whole = "", None
        self._told.unlink(missing_ok=True)
        os.ftruncate(self._fd, 0)
        self.size_bytes = 0


class Partials:
    """The large bodies of a crawl.

    Args:
        folder: Outlasts the crawl, so that another goes on.
        large_bytes: A smaller body is kept in memory.
    """

    def __init__(self, folder: Path, large_bytes: int) -> None:
        self._folder, self._large_bytes = folder, large_bytes
        self._open: dict[str, Partial] = {}

    def of(self, url: str) -> Partial:
        """The body of a URL; in a file of its own where another process is at the same one.

        Raises:
            MachineError: The disk is full, or the like.
        """
        partial = self._open.get(url)
        if partial is None:
            name = hashlib.sha256(url.encode("utf-8", "replace")).hexdigest()[:32]
            partial = Partial(self._folder / name, self._large_bytes)
            if not partial.open():
                partial = Partial(self._folder / f"{name}.{os.getpid()}", self._large_bytes)
                partial.open()
            self._open[url] = partial
        return partial

    def release(self, url: str, reason: Reason | None) -> None:
        """A URL has its answer, which was consumed; what may heal is gone on with another time."""
        partial = self._open.pop(url, None)
        if partial is not None:
            partial.close(keep=reason in TRANSIENT)

    def close(self) -> None:
        """Keep all that is under way."""
        for partial in self._open.values():
            partial.close(keep=True)
        self._open.clear()
