"""Keeps the records of a dataset in memory, packed: some hundred bytes a record, whatever it says.

Of each record are at hand: that it is there, its place in the dataset's order, and when it was made. The rest is its
line, as a journal has it, in a block of lines that is compressed once it is full; it is decoded when somebody asks.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, MutableMapping, Sequence
from functools import lru_cache, partial
from typing import Any, overload

import msgspec

from gristmill.spec.task import Account, TaskRecord

__all__ = ["Records", "decode"]

_BLOCK_BYTES = 1 << 16
_BLOCKS_AT_HAND = 128
"""Blocks that are kept unpacked: so many processes' journals can be walked through side by side."""

decode = msgspec.json.Decoder(TaskRecord).decode
"""Make a record of its line."""


class Records(MutableMapping[str, TaskRecord]):
    """Records by the ids of their tasks, in the order in which they came. Each is made anew when it is asked for.

    Attributes:
        changes: How often one was added, replaced or removed.
    """

    def __init__(self) -> None:
        self.changes = 0
        self._rows: dict[str, int] = {}
        self._numbers = (array("Q"), array("Q"), array("Q"))
        self._finished_at = array("d")
        self._kinds = array("I")
        self._kind_of: dict[tuple[str, Account], int] = {}
        self._places = array("Q")  # number of the block, and in its lower half where in it the line begins
        self._blocks: list[bytes] = []
        self._open = bytearray()
        self._unpacked = lru_cache(_BLOCKS_AT_HAND)(partial(_unpacked, self._blocks))

    def keep(self, record: TaskRecord, line: bytes) -> None:
        """Add a record, or put it in the place of the one that its task had.

        Args:
            record: What the line says.
            line: It ends with a line feed.
        """
        self.changes += 1
        self._rows[record.task_id] = len(self._places)
        for column, value in zip(self._numbers, record.number, strict=True):
            column.append(value)
        self._finished_at.append(record.finished_at)
        self._kinds.append(self._kind_of.setdefault((record.stage, record.account), len(self._kind_of)))
        self._places.append(len(self._blocks) << 32 | len(self._open))
        self._open += line
        if len(self._open) >= _BLOCK_BYTES:
            self._blocks.append(_packed(self._open))
            self._open = bytearray()

    def __setitem__(self, task_id: str, record: TaskRecord) -> None:
        if task_id != record.task_id:
            raise ValueError(f"a record of task {record.task_id} is none of {task_id}")
        self.keep(record, msgspec.json.encode(record) + b"\n")

    def __getitem__(self, task_id: str) -> TaskRecord:
        return self._at(self._rows[task_id])

    def __delitem__(self, task_id: str) -> None:
        del self._rows[task_id]
        self.changes += 1

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def finished_at(self, task_id: str) -> float | None:
        """Say when a task was done; None if it is not."""
        row = self._rows.get(task_id)
        return None if row is None else self._finished_at[row]

    def furthest(self) -> TaskRecord | None:
        """Give a record of the annotation file that stands last among those with records; None if there is none."""
        row = max(self._rows.values(), key=self._numbers[1].__getitem__, default=None)
        return None if row is None else self._at(row)

    def in_order(
        self, *, stage: str | None = None, account: Account | None = None, by_part: bool = False
    ) -> Sequence[TaskRecord]:
        """Give records in the dataset's order, each made when it is reached.

        Args:
            stage: Those of one stage alone.
            account: Those alone that count for this.
            by_part: Order them by the last of their three numbers alone.
        """
        import numpy as np

        wanted = [
            kind
            for (of, counts), kind in self._kind_of.items()
            if stage in (None, of) and account in (None, counts)
        ]
        rows = np.fromiter(self._rows.values(), np.int64, len(self._rows))
        rows = rows[np.isin(np.array(self._kinds, np.uint32)[rows], wanted)]
        numbers = [np.array(column, np.uint64)[rows] for column in self._numbers]
        return _Some(self, rows[np.lexsort([*numbers[1::-1], numbers[2]] if by_part else numbers[::-1])])

    def _at(self, row: int) -> TaskRecord:
        block, start = self._places[row] >> 32, self._places[row] & 0xFFFFFFFF
        lines = self._unpacked(block) if block < len(self._blocks) else self._open
        return decode(lines[start : lines.index(b"\n", start)])


class _Some(Sequence[TaskRecord]):
    """Some records, by their rows."""

    def __init__(self, records: Records, rows: Any) -> None:
        self._records, self._rows = records, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, which: int) -> TaskRecord: ...
    @overload
    def __getitem__(self, which: slice) -> Sequence[TaskRecord]: ...
    def __getitem__(self, which: int | slice) -> TaskRecord | Sequence[TaskRecord]:
        if isinstance(which, slice):
            return _Some(self._records, self._rows[which])
        return self._records._at(int(self._rows[which]))


def _packed(lines: bytes | bytearray) -> bytes:
    """Compress a block; how long it was goes before it."""
    from pyarrow import Codec

    packed: bytes = Codec("zstd", 1).compress(lines, asbytes=True)
    return len(lines).to_bytes(8, "big") + packed


def _unpacked(blocks: Sequence[bytes], number: int) -> bytes:
    from pyarrow import Codec

    size = int.from_bytes(blocks[number][:8], "big")
    lines: bytes = Codec("zstd").decompress(blocks[number][8:], decompressed_size=size, asbytes=True)
    return lines
