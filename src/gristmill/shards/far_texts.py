"""Long texts of rows that stay where they lie until a sample is made of the row: a part only points at them.

Where a row holds a picture as text, its JSON has null there, and the column :data:`FAR_COLUMN` says where in the
annotation file the text stands, or in which other file.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from gristmill.shards.pickle_bytes import Far
from gristmill.shards.pickle_stack import decoded
from gristmill.spec.errors import SourceError
from gristmill.spec.sample import Json
from gristmill.spec.step import ADDED

__all__ = ["FAR_COLUMN", "BeyondFolder", "FarText", "Step", "far_column", "filled"]

Step: TypeAlias = str | int

FAR_COLUMN = f"{ADDED}far"
"""The column of a part's table that points at long texts."""

_FAR_TYPE = pa.list_(
    pa.struct(
        [
            pa.field("path", pa.string()),  # JSON list: the way to it in the row
            pa.field("offset", pa.int64()),
            pa.field("size", pa.int64()),
            pa.field("text", pa.bool_()),
            pa.field("file", pa.string()),  # null: the annotation file
        ]
    )
)


class BeyondFolder(ValueError):
    """A pointer at a file that does not lie in the folder which a person named: a part may be a stranger's."""


@dataclass(frozen=True, slots=True)
class FarText:
    """A long text, or bytes, of an item.

    Attributes:
        path: The way to it in the item.
        far: Where it lies.
        file: In which file, if not in the item's own.
    """

    path: tuple[Step, ...]
    far: Far
    file: str | None = None


def far_column(rows: Iterable[Sequence[FarText]]) -> pa.Array:
    """Say what :data:`FAR_COLUMN` holds of some rows."""
    return pa.array(
        [
            [
                {
                    "path": json.dumps(found.path),
                    "offset": found.far.offset,
                    "size": found.far.size,
                    "text": found.far.text,
                    "file": found.file,
                }
                for found in row
            ]
            for row in rows
        ],
        _FAR_TYPE,
    )


def filled(
    row: dict[str, Json],
    pointers: Iterable[Mapping[str, Any]],
    fd: int,
    path: Path,
    folder: Path | None = None,
) -> dict[str, Json]:
    """A row with its long texts read and put in; bytes as Base64 text.

    Args:
        row: Changed in place.
        pointers: A cell of :data:`FAR_COLUMN`.
        fd, path: The annotation file.
        folder: In which other files may lie; None for nowhere.

    Raises:
        SourceError: A file has changed.
        BeyondFolder: A pointer leads elsewhere.
    """
    for pointer in pointers:
        body = _read(pointer, fd, path, folder)
        target: Any = row
        *way, last = json.loads(pointer["path"])
        for step in way:
            target = target[step]
        target[last] = decoded(body) if pointer["text"] else base64.b64encode(body).decode("ascii")
    return row


def _read(pointer: Mapping[str, Any], fd: int, path: Path, folder: Path | None) -> bytes:
    if pointer["file"] is None:
        return _bytes_at(fd, path, pointer["offset"], pointer["size"])
    other = Path(pointer["file"])
    if folder is None or not other.resolve().is_relative_to(folder.resolve()):
        raise BeyondFolder(f"{other} does not lie in the folder of pictures that was named")
    try:
        with other.open("rb") as stream:
            return _bytes_at(stream.fileno(), other, pointer["offset"], pointer["size"])
    except FileNotFoundError as err:
        raise SourceError(f"{other}: it is gone since it was looked for. Put it back.") from err


def _bytes_at(fd: int, path: Path, offset: int, size: int) -> bytes:
    pieces, left = [], size
    while left:
        piece = os.pread(fd, left, offset + size - left)
        if not piece:
            raise SourceError(
                f"{path} is shorter than when it was looked through: somebody has changed it. Begin anew in "
                "another folder with --out."
            )
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
