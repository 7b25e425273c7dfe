"""The items of a pickled list as rows: JSON text, and where the long texts and bytes in it lie in the file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import orjson

from gristmill.shards.far_texts import FarText, Step
from gristmill.shards.pickle_bytes import Far, PickleBytes
from gristmill.shards.pickle_machine import Machine
from gristmill.shards.pickle_numbers import Admitted, NumberArray, NumberType
from gristmill.shards.pickle_stack import BAD_KEY
from gristmill.spec.errors import SourceError
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Json

__all__ = ["ItemRow", "PlainCopy", "check_head", "pickled_rows"]

_MOST_LEVELS = 50
_MOST_VALUES = 1_000_000
_MOST_TEXT_BYTES = 32 << 20
_STRANGERS = {
    b"PK\x03\x04": "a zip archive, as torch.save writes",
    b"\x1f\x8b": "gzipped: unpack it first",
    b"\x93NUMPY": "a NumPy array",
}
"""What the first bytes of a file say that is not a pickle, or not one yet."""


@dataclass(slots=True)
class ItemRow:
    """One item of a pickled list.

    Attributes:
        number: Its place in the list, from 0.
        offset: Where it begins in the file, bytes.
        value: What it holds, long texts and bytes replaced by None; None for an item that is no row.
        far: Those texts and bytes.
        reason, detail: Why it is no row.
    """

    number: int
    offset: int
    value: dict[str, Json] | None = None
    far: list[FarText] = field(default_factory=list)
    reason: Reason | None = None
    detail: str = ""

    def json(self) -> bytes:
        """The value as JSON text, exactly: integers of any size, NaN and lone surrogates included."""
        try:
            return orjson.dumps(self.value)
        except (orjson.JSONEncodeError, TypeError):
            return json.dumps(self.value).encode()


def pickled_rows(
    path: Path, *, max_item_bytes: int, tell: Callable[[str], None] | None = None
) -> Iterator[ItemRow]:
    """The items of a pickled list, in order. Nothing that the pickle names is imported or called.

    Args:
        path: The pickle.
        max_item_bytes: Of an item's long texts and bytes; a larger item is no row.
        tell: Is told of what follows the list, which ``pickle.load`` does not read either.

    Raises:
        CutOffPickle: The file ends too early; items before were given out.
        SourceError: It would run something, is damaged, or holds no list.
        OSError: As the system says.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        check_head(path, os.pread(fd, 8, 0))
        machine = Machine(PickleBytes(fd, path, 0, size))
        for number, (offset, value) in enumerate(machine.items()):
            yield _row(number, offset, value, max_item_bytes)
        if tell is not None and machine.offset < size:
            tell(
                f"{size - machine.offset:,} bytes follow the list and were not read; pickle.load passes over them too"
            )
    finally:
        os.close(fd)


def check_head(path: Path, head: bytes) -> None:
    """Refuse a file whose first bytes say that it is no pickle.

    Raises:
        SourceError: They do.
    """
    if not head:
        raise SourceError(f"{path}: it is empty. Copy it again.")
    for magic, what in _STRANGERS.items():
        if head.startswith(magic):
            raise SourceError(f"{path}: it is no pickle but {what}.")


def _row(number: int, offset: int, value: Any, max_item_bytes: int) -> ItemRow:
    row = ItemRow(number, offset)
    if type(value) is not dict:
        row.reason, row.detail = Reason.BAD_ROW, f"from byte {offset}: not a dict but {type(value).__name__}"
        return row
    walk = PlainCopy()
    fault = walk.over(value)
    if fault:
        row.reason, row.detail = Reason.BAD_ROW, f"from byte {offset}: {fault}"
    elif (size := sum(found.far.size for found in walk.far)) > max_item_bytes:
        row.reason, row.detail = Reason.ROW_TOO_LONG, f"from byte {offset}: {size} bytes"
    else:
        row.value, row.far = walk.made, walk.far
    return row


class PlainCopy:
    """Goes through an item without recursion and copies it, so that what it shares with itself is counted.

    Args:
        most_values: That the copy may have.

    Attributes:
        made: The copy; long texts and bytes replaced by None.
        far: Those texts and bytes.
    """

    def __init__(self, most_values: int = _MOST_VALUES) -> None:
        self.made: dict[str, Json] = {}
        self.far: list[FarText] = []
        self._values, self._most_values = 0, most_values
        self._text_bytes = 0

    def over(self, value: dict[str, Any]) -> str | None:
        """Copy an item; says what is wrong with it, if anything is."""
        waiting: list[tuple[Any, Any, tuple[Step, ...]]] = [(value, self.made, ())]
        while waiting:
            source, target, path = waiting.pop()
            if len(path) >= _MOST_LEVELS:
                return "nested too deeply"
            pairs = source.items() if type(source) is dict else enumerate(source)
            self._values += len(source)
            if self._values > self._most_values or self._text_bytes > _MOST_TEXT_BYTES:
                return "too many values, or one within itself"
            for key, item in pairs:
                if key == BAD_KEY:
                    return "a key that is not a text"
                if type(item) in {Admitted, NumberArray, NumberType}:
                    fault = self._count(item)
                    if fault:
                        return fault
                made = self._made(item, (*path, key))
                if type(source) is dict:
                    target[key] = made
                else:
                    target.append(made)
                if type(item) in {dict, list, tuple}:
                    waiting.append((item, made, (*path, key)))
        return None

    def _count(self, item: Any) -> str | None:
        """An array of numbers will be lists; anything else of NumPy is no value."""
        if type(item) is not NumberArray:
            return "a name of NumPy where a value should stand"
        if not item.filled:
            return "a NumPy array without what is in it"
        self._values += item.lists
        return "too many values" if self._values > self._most_values else None

    def _made(self, item: Any, path: tuple[Step, ...]) -> Json:
        kind = type(item)
        if kind is dict:
            return {}
        if kind is list or kind is tuple:
            return []
        if kind is Far:
            self.far.append(FarText(path, item))
            return None
        if kind is NumberArray:
            return cast(NumberArray, item).value()
        if kind is str:
            self._text_bytes += len(item)
        return item
