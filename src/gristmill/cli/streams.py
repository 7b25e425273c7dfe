"""Standard output and error that cannot end the work: closed, full, or with nobody at the other end."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress

__all__ = ["nobody_reads", "unfailing_stream", "unfailing_streams", "unprinted"]

_FDS = (0, 1, 2)


class _Unfailing(io.FileIO):
    """A file descriptor for writing that takes everything, and remembers what the system said to it."""

    refused: OSError | None = None

    def write(self, data: object) -> int:
        """Write all of ``data``, or drop it."""
        left = memoryview(data).cast("B")  # type: ignore[arg-type]  # whatever bytes come in
        size = len(left)
        while len(left) and self.refused is None:
            try:
                left = left[super().write(left) or 0 :]
            except BlockingIOError:
                continue
            except OSError as err:
                self.refused = err
        return size


def unfailing_streams() -> None:
    """Put streams that never fail in the places of the process's own; those of tests stay.

    What a person would see on the way is no reason to end hours of work. What was to be printed at its end is asked
    for by :func:`unprinted`.
    """
    # from the lowest: a file opened later must not be taken for one of them, here or in what is started from here
    for fd in _FDS:
        with suppress(OSError):
            os.fstat(fd)
            continue
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name in ("stdout", "stderr"):
        ours = getattr(sys, name)
        if ours is None or ours is getattr(sys, f"__{name}__"):
            setattr(sys, name, unfailing_stream(_FDS[1 + (name == "stderr")], ours))


def unfailing_stream(fd: int, before: io.TextIOWrapper | None = None) -> io.TextIOWrapper:
    """Open a stream for text on ``fd`` that takes everything, whatever becomes of it there.

    Args:
        fd: An open descriptor, which stays its owner's to close.
        before: The stream that wrote to it so far, which is flushed; its encoding stays.
    """
    if before is not None:
        with suppress(OSError):
            before.flush()
    raw = _Unfailing(fd, "wb", closefd=False)
    encoding = before.encoding if before is not None else "utf-8"
    buffered = io.BufferedWriter(raw)
    return io.TextIOWrapper(
        buffered, encoding, "backslashreplace", line_buffering=raw.isatty() or fd == _FDS[2]
    )


def _refused(stream: object) -> OSError | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.refused if isinstance(raw, _Unfailing) else None


def nobody_reads() -> bool:
    """True if whoever read our output has gone, as ``| head`` does."""
    found = _refused(sys.stdout)
    return found is not None and found.errno == errno.EPIPE


def unprinted() -> OSError | None:
    """Why not all could be printed; None if it was, or nobody wants it."""
    sys.stdout.flush()
    return None if nobody_reads() else _refused(sys.stdout)
