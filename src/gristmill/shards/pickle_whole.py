"""A small pickle of plain data, read whole."""

from __future__ import annotations

import os
from pathlib import Path

from gristmill.shards.far_texts import far_column, filled
from gristmill.shards.pickle_bytes import PickleBytes
from gristmill.shards.pickle_items import PlainCopy, check_head
from gristmill.shards.pickle_machine import Machine
from gristmill.shards.pickle_stack import Shared
from gristmill.spec.errors import SourceError
from gristmill.spec.sample import Json

__all__ = ["pickled_value"]

_MOST_BYTES = 64 << 20
_MOST_SHARED_VALUES = 1_000_000
"""More values than it has bytes a pickle has only where they share something."""


class _WholeMachine(Machine):
    """Keeps everything, and ends with one value, whatever it is."""

    def __init__(self, data: PickleBytes) -> None:
        shared = Shared(data.stop)
        shared.root_at = data.stop  # no list is given out by items
        super().__init__(data, shared)
        self._most_values = _MOST_SHARED_VALUES + data.stop

    def _end(self, at: int) -> None:
        if self._outer or len(self._stack) != 1:
            raise self._damaged(at, "it ends with more than one value, or with none")

    def value(self) -> object:
        """Read to the end.

        Raises:
            SourceError: It is damaged, or would run something.
        """
        while not self._ended:
            self._step()
        return self._stack[0]


def pickled_value(path: Path, *, max_bytes: int = _MOST_BYTES) -> Json:
    """Read what a pickle of plain data holds: tuples and NumPy's arrays of numbers as lists, bytes as Base64.

    Nothing that it names is imported or called. Takes memory of some ten times the file.

    Args:
        path: The pickle.
        max_bytes: That it may have.

    Raises:
        SourceError: It is too large, damaged, or would run something.
        OSError: As the system says.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        if size > max_bytes:
            raise SourceError(
                f"{path}: it has {size:,} bytes; a pickle that is read whole may have {max_bytes:,}."
            )
        check_head(path, os.pread(fd, 8, 0))
        copy = PlainCopy(_MOST_SHARED_VALUES + size)
        fault = copy.over({"value": _WholeMachine(PickleBytes(fd, path, 0, size)).value()})
        if fault:
            raise SourceError(f"{path}: refused: {fault}. Only plain data is read from pickles.")
        (pointers,) = far_column([copy.far]).to_pylist()
        return filled(copy.made, pointers, fd, path)["value"]
    finally:
        os.close(fd)
