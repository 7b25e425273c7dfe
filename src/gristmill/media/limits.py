"""What one picture may cost the process that decodes it: memory by its header's size, processor time, no files.

A limit that fits the largest picture is no limit for a small one, so address space is bounded anew for each: a
file of a few kilobytes that claims a size of 32 x 32 and then asks for a gigabyte is refused by the kernel.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys

__all__ = [
    "CPU_SIGNAL",
    "allow_bytes",
    "allow_pixels",
    "begin_body",
    "enclose",
    "end_body",
    "give_back",
    "used_bytes",
]

CPU_SIGNAL = signal.SIGPROF
"""What ends a process that has used up a picture's processor time."""

RESERVE_BYTES = 160 << 20
"""Address space beyond what a process has, for whatever the size of its picture does not explain."""

# Decoding through Pillow holds up to five copies of four bytes a pixel at once.
BYTES_PER_PIXEL = 24

MOST_FILES = 64

_OOM_SCORE = "500"
"""A kernel short of memory ends a decoder before the worker that it serves: it costs one picture or video."""

_COPIES = 3  # of the file, in this process and its decoder

_PAGE_BYTES = resource.getpagesize()

_STATM = "/proc/self/statm"
_STATM_BYTES = 256  # seven numbers

_has_bytes = 0  # address space before the picture; 0 in a process that is not enclosed
_statm_fd = -1  # kept open in a process that is enclosed: opening it takes eight times as long as reading it


def enclose(*, file_bytes: int = 0) -> None:
    """Begin to bound this process: no core dumps, no larger files than that, few open ones, memory as now.

    A terminal's signals are left to the parent.
    """
    global _has_bytes, _statm_fd
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(CPU_SIGNAL, signal.SIG_DFL)
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, MOST_FILES),
    ):
        resource.setrlimit(limit, (most, most))
    if sys.platform == "linux":
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write(_OOM_SCORE)
        _statm_fd = os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)
        _has_bytes, _ = used_bytes()


def begin_body(body_bytes: int, *, wall_s: float, cpu_s: float) -> None:
    """From here on: so much time until this process is ended by SIGALRM or ``CPU_SIGNAL``, no large memory."""
    global _has_bytes
    signal.setitimer(signal.ITIMER_REAL, wall_s)
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    if _has_bytes:
        _has_bytes += _COPIES * body_bytes
    allow_pixels(0)


def allow_pixels(pixels: int) -> None:
    """Make room for decoding so many pixels; without effect in a process that is not enclosed."""
    allow_bytes(RESERVE_BYTES + pixels * BYTES_PER_PIXEL)


def allow_bytes(size_bytes: int) -> None:
    """Make room for so much more; without effect in a process that is not enclosed."""
    if not _has_bytes:
        return
    most_bytes = _has_bytes + size_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        most_bytes = min(most_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, hard))


def end_body() -> int:
    """Stop the clocks, lift the bound on memory.

    Returns:
        Resident memory of this process, in bytes.
    """
    global _has_bytes
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.setitimer(signal.ITIMER_PROF, 0)
    space_bytes, resident_bytes = used_bytes()
    if _has_bytes:
        _has_bytes = space_bytes
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(
            resource.RLIMIT_AS, (hard, hard)
        )  # the next file's size is our own parent's choice
    return resident_bytes


def used_bytes() -> tuple[int, int]:
    """Address space and resident memory of this process, in bytes (Linux: proc(5); elsewhere the latter's peak)."""
    if sys.platform != "linux":
        peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak_bytes, peak_bytes
    # Not ru_maxrss here: on Linux that begins at what the parent had when it started this process.
    if _statm_fd >= 0:
        said = os.pread(_statm_fd, _STATM_BYTES, 0)
    else:
        with open(_STATM, "rb", buffering=0) as file:
            said = file.read()
    space, resident = said.split()[:2]
    return int(space) * _PAGE_BYTES, int(resident) * _PAGE_BYTES


def give_back() -> None:
    """Return this process's freed memory to the system, where the C library can be told to (glibc): a millisecond."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
