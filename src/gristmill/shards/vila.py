"""Pickled lists of plain dicts, as VILA's ``LazyCoyoDataset`` and its siblings read them.

A folder holds ``part-00000.pkl``, a list of dicts, and ``part-00000.count``, its length as text, and so on,
and nothing else: the loaders count directory entries. Written as a stream, read without running anything.
"""

from __future__ import annotations

import base64
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from gristmill.shards.lossless import loads
from gristmill.spec.errors import SourceError
from gristmill.spec.sample import Json

__all__ = ["PickledList", "coyo_item", "part_names", "read_pickle_safely"]

_PROTOCOL = 3  # the last without frames: what follows one item does not depend on its length
_BATCH_ITEMS = 1000
_IMAGE_PARTS = ("jpg", "png", "webp")


def part_names(number: int) -> tuple[str, str]:
    """File names of the n-th pickle and of its count."""
    return f"part-{number:05d}.pkl", f"part-{number:05d}.count"


def coyo_item(key: str, parts: Mapping[str, bytes]) -> dict[str, Json]:
    """What ``LazyCoyoDataset`` wants of one sample: ``id, url, text, clip_sim, image`` (Base64 text).

    Args:
        key: Of the sample.
        parts: As they lie in the shard.

    Raises:
        KeyError: No ``json``, or no single picture.
    """
    record = loads(parts["json"])
    image = next((parts[name] for name in _IMAGE_PARTS if name in parts), None)
    if image is None:
        raise KeyError(f"sample {key} has no part {' or '.join(_IMAGE_PARTS)}")
    return {
        "id": record["upstream"].get("id", key),
        "url": record.get("url"),
        "text": parts["txt"].decode() if "txt" in parts else "",
        "clip_sim": record.get("clip_sim"),
        "image": base64.b64encode(image).decode("ascii"),
    }


class _DataPickler(pickle.Pickler):
    """Pickles None, numbers, text, bytes, lists, tuples and dicts."""

    def reducer_override(self, value: Any) -> Any:
        raise TypeError(f"{type(value).__name__} is not plain data: {value!r:.100}")


class PickledList:
    """Writes a list to a stream item by item; ``pickle.load`` gives it back.

    Args:
        stream: Where to write; stays open.

    Attributes:
        count: Items so far.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.count = 0
        self._stream = stream
        self._buffer = io.BytesIO()
        self._pickler = _DataPickler(self._buffer, protocol=_PROTOCOL)
        self._pickler.fast = True  # no memo: an item is the same bytes wherever it stands
        stream.write(pickle.PROTO + bytes([_PROTOCOL]) + pickle.EMPTY_LIST)

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


class _Bounded:
    """A stream that gives out no more than the file holds, so that no length in it allocates more."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size
        self.readline = stream.readline

    def read(self, size: int) -> bytes:
        if size > self._size:
            raise pickle.UnpicklingError(f"a length of {size} bytes in a file of {self._size}")
        got = self._stream.read(size)
        if len(got) < size:
            raise EOFError("it ends too early")
        return got


class _DataUnpickler(pickle._Unpickler):
    """The Python one: the C one trusts memo numbers and would allocate for them."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it wants to run {module}.{name}")

    def get_extension(self, code: int) -> Any:
        raise pickle.UnpicklingError(f"it wants extension {code}")


def read_pickle_safely(path: Path) -> Any:
    """The plain data in a pickle; nothing it names is ever imported or called.

    Raises:
        SourceError: It names a class or function, is damaged, or not a pickle.
        OSError: As the system says.
    """
    with path.open("rb", buffering=1 << 20) as stream:
        try:
            return _DataUnpickler(_Bounded(stream, path.stat().st_size)).load()
        except pickle.UnpicklingError as err:
            raise SourceError(f"{path}: refused, {err}. Only plain data is read from pickles.") from err
        except (
            ArithmeticError,
            AttributeError,
            EOFError,
            LookupError,
            MemoryError,
            RecursionError,
            TypeError,
            ValueError,
        ) as err:
            raise SourceError(f"{path}: damaged, or not a pickle ({type(err).__name__}: {err}).") from err
