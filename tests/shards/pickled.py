"""What a pickled list holds, as rows, for tests."""

import base64
import os
from pathlib import Path

from gristmill.shards.far_texts import far_column, filled
from gristmill.shards.pickle_items import pickled_rows


def listed(value):
    """Tuples as JSON has them, bytes as Base64."""
    if isinstance(value, (list, tuple)):
        return [listed(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return {key: listed(item) for key, item in value.items()} if isinstance(value, dict) else value


def all_rows(path: Path, most: int = 1 << 30):
    return list(pickled_rows(path, max_item_bytes=most))


def read(path: Path):
    fd = os.open(path, os.O_RDONLY)
    try:
        found = all_rows(path)
        assert [row.reason for row in found] == [None] * len(found)
        pointers = far_column(row.far for row in found).to_pylist()
        return [filled(row.value, cell, fd, path) for row, cell in zip(found, pointers, strict=True)]
    finally:
        os.close(fd)
