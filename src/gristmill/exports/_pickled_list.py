"""Pickled lists of plain dicts, as VILA's ``LazyCoyoDataset`` and its siblings read them.

A folder holds ``part-00000.pkl``, a list of dicts, and ``part-00000.count``, its length as text, and so on,
and nothing else: the loaders count directory entries. Written as a stream here, read by
:mod:`gristmill.shards.pickle_items`.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

from gristmill.spec.sample import Json
from gristmill.storage.store import Store

__all__ = ["PickledList", "part_names", "stamp_of"]

_PROTOCOL = 3  # the last without frames: what follows one item does not depend on its length
_BATCH_ITEMS = 1000
_STAMP_HEAD = pickle.PROTO + bytes([_PROTOCOL]) + pickle.BINUNICODE
_STAMP_MAX_BYTES = 4096


def part_names(number: int) -> tuple[str, str]:
    """File names of the n-th pickle and of its count."""
    return f"part-{number:05d}.pkl", f"part-{number:05d}.count"


class _DataPickler(pickle.Pickler):
    """Pickles None, numbers, text, bytes, lists, tuples and dicts."""

    def reducer_override(self, value: Any) -> Any:
        raise TypeError(f"{type(value).__name__} is not plain data: {value!r:.100}")


class PickledList:
    """Writes a list to a stream item by item; ``pickle.load`` gives it back.

    Args:
        stream: Where to write; stays open.
        stamp: Text that :func:`stamp_of` finds again. It is pushed and popped before the list begins, so that
            no reader of the list sees it.

    Attributes:
        count: Items so far.
    """

    def __init__(self, stream: BinaryIO, stamp: str = "") -> None:
        self.count = 0
        self._stream = stream
        self._buffer = io.BytesIO()
        self._pickler = _DataPickler(self._buffer, protocol=_PROTOCOL)
        self._pickler.fast = True  # no memo: an item is the same bytes wherever it stands
        text = stamp.encode()
        stream.write(_STAMP_HEAD + struct.pack("<I", len(text)) + text + pickle.POP + pickle.EMPTY_LIST)

    def add(self, item: Mapping[str, Json]) -> None:
        """Append one dict of plain data.

        Raises:
            TypeError: Something in it is not plain data; nothing was written.
        """
        self._buffer.seek(0)
        self._buffer.truncate()
        self._pickler.dump(dict(item))
        if self.count % _BATCH_ITEMS == 0:
            self._stream.write(pickle.APPENDS + pickle.MARK if self.count else pickle.MARK)
        self._stream.write(self._buffer.getvalue()[2:-1])  # without its own PROTO and STOP
        self.count += 1

    def close(self) -> None:
        """Write the end of the list."""
        self._stream.write(pickle.APPENDS + pickle.STOP if self.count else pickle.STOP)

    def count_text(self) -> bytes:
        """The bytes of the ``.count`` file."""
        return b"%d" % self.count


def stamp_of(files: Store, name: str) -> str | None:
    """The stamp of a pickle that :class:`PickledList` wrote; None of any other file.

    Raises:
        OSError: As the system says.
    """
    with io.BytesIO(files.read(name, 0, len(_STAMP_HEAD) + 5 + _STAMP_MAX_BYTES)) as stream:
        head = stream.read(len(_STAMP_HEAD) + 4)
        if len(head) < len(_STAMP_HEAD) + 4 or not head.startswith(_STAMP_HEAD):
            return None
        size = int.from_bytes(head[-4:], "little")
        body = stream.read(size) if size <= _STAMP_MAX_BYTES else b""
        if len(body) < size or stream.read(1) != pickle.POP:
            return None
    return body.decode("utf-8", "replace")
