"""What one input of a shuffle gives to each output shard: a file of fixed rows, in the order of their places.

::

    magic 8 | head bytes u32 | shards u32 | head (JSON) | starts u64 x (shards + 1) | rows

little-endian. ``starts[s]`` to ``starts[s + 1]`` are the rows of output shard ``s``, so that a reader of one shard
reads no others. The bytes of the samples lie in the files that the head names: finished shards of parts, or a
file beside this one into which they were copied.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

from gristmill.spec.errors import DamagedOutput
from gristmill.spec.sample import Json

__all__ = ["ROW", "Rows", "joined", "read_rows", "read_scattered", "write_scattered"]

_MAGIC = b"GSCATTR2"
_HEAD = struct.Struct("<8sII")

ROW = np.dtype(
    [
        ("place", "<i8"),
        ("offset", "<i8"),
        ("size", "<i8"),
        ("key", "<u8"),
        ("crc32", "<u4"),
        ("copy", "<u4"),
        ("file", "<u4"),
        ("sample", "<u4"),
    ]
)
"""One sample: its place among all, where its bytes begin, how many, a hash of its key, their CRC-32, its number among
its copies (0 the first), the number of the file they lie in, and its own number within the input."""

Rows = np.ndarray[tuple[int], np.dtype[np.void]]


def write_scattered(stream: BinaryIO, rows: Rows, starts: Any, head: Mapping[str, Json]) -> None:
    """Write one such file.

    Args:
        stream: Where to.
        rows: :data:`ROW`, by ``place``.
        starts: First row of each output shard, and the number of rows; integers, shape (shards + 1,).
        head: Where the bodies lie, for :func:`read_scattered`.
    """
    said = orjson.dumps(head)
    stream.write(_HEAD.pack(_MAGIC, len(said), len(starts) - 1))
    stream.write(said)
    stream.write(np.asarray(starts, dtype="<u8").tobytes())
    stream.write(rows.tobytes())


def read_scattered(path: Path | str, shard: int) -> tuple[dict[str, Json], Rows]:
    """The head, and the rows of one output shard.

    Raises:
        DamagedOutput: Not such a file, or cut off.
        OSError: As the system says.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head, shards, at = _read_head(fd, path)
        if not 0 <= shard < shards:
            raise DamagedOutput(f"{path}: has {shards} shards, shard {shard} is asked for.")
        first, last = (int(n) for n in np.frombuffer(_pread(fd, 16, at + 8 * shard, path), "<u8"))
        begin = at + 8 * (shards + 1) + first * ROW.itemsize
        return head, np.frombuffer(_pread(fd, (last - first) * ROW.itemsize, begin, path), ROW)
    finally:
        os.close(fd)


def joined(tables: Sequence[Rows]) -> Rows:
    """One after another; a step for each column of each of many small tables would cost more than all the rest."""
    return np.frombuffer(b"".join(table.tobytes() for table in tables), ROW)


def read_rows(path: Path) -> tuple[dict[str, Json], Rows]:
    """The head, and the rows of all output shards.

    Raises:
        DamagedOutput: Not such a file, or cut off.
        OSError: As the system says.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head, shards, at = _read_head(fd, path)
        rows = int(np.frombuffer(_pread(fd, 8, at + 8 * shards, path), "<u8")[0])
        return head, np.frombuffer(_pread(fd, rows * ROW.itemsize, at + 8 * (shards + 1), path), ROW)
    finally:
        os.close(fd)


def _read_head(fd: int, path: Path | str) -> tuple[dict[str, Json], int, int]:
    """Head, number of shards, and where the starts begin."""
    magic, size, shards = _HEAD.unpack(_pread(fd, _HEAD.size, 0, path))
    if magic != _MAGIC:
        raise DamagedOutput(f"{path} is no file of scattered samples.")
    try:
        head: dict[str, Json] = orjson.loads(_pread(fd, size, _HEAD.size, path))
    except orjson.JSONDecodeError as err:
        raise DamagedOutput(f"{path} is damaged ({err}).") from err
    return head, shards, _HEAD.size + size


def _pread(fd: int, size: int, offset: int, path: Path | str) -> bytes:
    body = os.pread(fd, size, offset)
    while len(body) < size:
        more = os.pread(fd, size - len(body), offset + len(body))
        if not more:
            raise DamagedOutput(f"{path}: cut off at byte {offset + len(body)}.")
        body += more
    return body
