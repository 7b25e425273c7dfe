"""The stack and the memo of the machine in :mod:`gristmill.shards.pickle_machine`, without its opcodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from gristmill.shards.pickle_bytes import DamagedPickle, Far, Memo, PickleBytes, Spans

__all__ = ["BAD_KEY", "FAR_BYTES", "ROOT", "TEXTS", "Shared", "StackMachine", "decoded"]

FAR_BYTES = 1024
"""Texts from this length on are not read but pointed at."""

_MOST_VALUES = 1_000_000
_MOST_CACHED = 4096
_MOST_AGAIN = 20
_LOOK_BYTES = 2048
_BATCH = 1000
"""So many pairs pickle puts into a dict at once: after as many, more may come."""

BAD_KEY = "\0not a text\0"
"""Stands in a dict for any key that is no text."""

TEXTS = {0x8C: 1, 0x58: 4, 0x8D: 8, 0x55: -1, 0x54: -4}
"""Opcodes of texts to the size of their length; negative where Python 2 wrote a ``str``."""


class _Root:
    """The list whose items are given out."""


ROOT = _Root()


class Shared:
    """Holds what a machine and those that read a stretch again have in common."""

    def __init__(self, file_bytes: int) -> None:
        self.file_bytes = file_bytes
        self.memo, self.spans = Memo(), Spans()
        self.root_at = -1
        self.texts: dict[int, str] = {}
        self.containers: dict[int, Any] = {}
        self.again_bytes = 0
        self.most_again_bytes = 4 * file_bytes + (16 << 20)


class StackMachine(ABC):
    """Holds what the opcodes work on: a stack, the stacks below each mark, the list that is given out, and the memo.

    Args:
        data: The pickle.
        shared: Of the machine on whose behalf a stretch is read again.
        level: How many machines wait for this one.
    """

    def __init__(self, data: PickleBytes, shared: Shared | None = None, level: int = 0) -> None:
        self._data = data
        self._shared = shared or Shared(data.stop)
        self._level = level
        self._again = shared is not None
        self._stack: list[Any] = []
        self._outer: list[tuple[list[Any], int, int]] = []  # below each mark: stack, the mark's place, memos
        self._live: dict[int, tuple[int, Any]] = {}
        self._memos = 0
        self._made_at = -1
        self._values, self._most_values = 0, _MOST_VALUES
        self._start, self._start_memos, self._start_batched = 0, 0, False
        self._ready: list[tuple[int, Any]] = []
        self._given_early = False
        self._filled_at = -1  # behind the opcode that filled the dict on top of the stack
        self._ended = False

    def items(self) -> Iterator[tuple[int, Any]]:
        """Each item of the list with the place where it begins; its long texts are :class:`Far`.

        Raises:
            DamagedPickle: The file ends too early, or makes no sense; all items that are whole were given out.
            SourceError: It would run something, or is no pickled list.
        """
        while not self._ended:
            at = self._data.offset
            try:
                self._step()
            except DamagedPickle:
                yield from ((self._start, value) for value in self._whole(at))
                raise
            if self._ready:
                yield from self._ready
                self._ready = []

    def _whole(self, at: int) -> list[Any]:
        """Items of an unfinished batch that are certainly whole, where the opcode at a place fails.

        The last one is only if it was filled right before; and behind an empty dict its key may stand.
        """
        if not self._outer or not self._in_batch():
            return []
        batch = self._outer[1][0] if len(self._outer) > 1 else self._stack
        filled = len(self._outer) == 1 and at == self._filled_at and len(batch[-1]) % _BATCH
        return list(takewhile(lambda value: value != {}, batch if filled else batch[:-1]))

    @property
    def offset(self) -> int:
        """Bytes of the file that were gone through."""
        return self._data.offset

    @abstractmethod
    def _step(self) -> None:
        """Do one opcode."""

    def _end(self, at: int) -> None:
        """The pickle says that it ends here."""
        if self._shared.root_at < 0 or self._outer or self._stack != [ROOT]:
            raise self._refused(at, "it does not hold a list of samples")

    def _refused(self, at: int, what: str) -> Exception:
        return self._data.refused(at, what)

    def _damaged(self, at: int, what: str) -> Exception:
        return self._data.damaged(at, what)

    # the stack

    def _push(self, at: int, value: Any) -> None:
        if self._shared.root_at < 0 and not self._outer and type(value) in {dict, tuple}:
            raise self._refused(at, f"it begins with a {type(value).__name__}, not with a list of samples")
        self._count(at)
        self._stack.append(value)
        self._made_at = at

    def _count(self, at: int) -> None:
        """One more value or memo of this item."""
        self._values += 1
        if self._values > self._most_values:
            raise self._refused(at, f"one item has more than {self._most_values:,} values")

    def _push_dict(self, at: int, value: dict[str, Any], start: int, memos: int) -> None:
        """A dict right behind a dict, both items of the list: the first one is whole.

        Where more stands between it and the mark, it may belong to a value of an item that is not finished.
        """
        if (
            len(self._outer) == 1
            and len(self._stack) == 1
            and type(self._stack[0]) is dict
            and self._in_batch()
        ):
            self._give(self._stack, start, memos)
            self._stack = []
            self._given_early = True
        self._push(at, value)

    def _in_batch(self) -> bool:
        below = self._outer[0][0]
        return len(below) == 1 and below[0] is ROOT

    def _pop(self, at: int) -> Any:
        if not self._stack:
            raise self._damaged(at, "a value is missing")
        value = self._stack.pop()
        if value is ROOT:
            raise self._refused(at, "it does something else with its list than filling it")
        return value

    def _pop_mark(self, at: int, *, to_append: bool = False) -> tuple[list[Any], int, int]:
        if not self._outer:
            raise self._damaged(at, "a mark is missing")
        if len(self._outer) == 1 and self._given_early:
            if not to_append:
                raise self._refused(at, "it takes items back that it began to add to its list")
            self._given_early = False
        values = self._stack
        self._stack, mark_at, memos = self._outer.pop()
        return values, mark_at, memos

    def _top(self, at: int, kind: type) -> Any:
        if not self._stack or type(self._stack[-1]) is not kind:
            raise self._damaged(at, f"no {kind.__name__} where one is filled")
        return self._stack[-1]

    def _give(self, values: list[Any], end: int, memos: int) -> None:
        """Items are whole: give them out, and forget what only they needed."""
        if not self._again:
            self._ready += [(self._start, value) for value in values]
            self._shared.spans.add(self._start, end, self._start_memos, self._start_batched)
        self._live = {number: made for number, made in self._live.items() if made[0] >= end}
        self._begin(end, memos)

    def _begin(self, start: int, memos: int) -> None:
        self._start, self._start_memos = start, memos
        self._start_batched = bool(self._outer)
        self._values = 0

    def _root(self, at: int) -> None:
        self._shared.root_at = at
        self._stack.append(ROOT)
        self._made_at = at
        self._begin(self._data.offset, self._memos)

    def _is_root(self) -> bool:
        return bool(self._stack) and self._stack[-1] is ROOT

    # the memo

    def _put(self, at: int, number: int) -> None:
        if not self._stack:
            raise self._damaged(at, "nothing to memoize")
        offset = at if self._made_at < 0 else self._made_at
        self._live[number] = (offset, self._stack[-1])
        self._count(at)
        if self._again:
            self._memos += 1
            return
        shared = self._shared
        if not shared.memo.put(number, offset):
            raise self._refused(at, f"it memoizes too much (number {number:,})")
        self._memos = len(shared.memo)
        for cache in (shared.texts, shared.containers):
            cache.pop(number, None)  # the number was another's before

    def _get(self, at: int, number: int) -> None:
        made = self._live.get(number)
        value = made[1] if made is not None else self._remembered(at, number)
        if value is ROOT:
            raise self._refused(at, "its list holds itself")
        if type(value) is dict:
            self._push_dict(at, value, at, self._memos)
        else:
            self._push(at, value)
        self._made_at = -1

    def _remembered(self, at: int, number: int) -> Any:
        """What an earlier item memoized, read again from where it was made."""
        shared = self._shared
        if number in shared.texts:
            return shared.texts[number]
        offset = shared.memo.get(number)
        if offset is None:
            raise self._damaged(at, f"it asks for memo {number:,}, which is not there")
        if offset == shared.root_at:
            return ROOT
        text = self._text_at(offset)
        if type(text) is str:
            if len(shared.texts) >= _MOST_CACHED:
                shared.texts.clear()
            shared.texts[number] = text
        return self._container(at, number, offset) if text is None else text

    def _text_at(self, offset: int) -> str | Far | None:
        """The text whose opcode stands at a place; None where another stands."""
        data = PickleBytes(self._data.fd, self._data.path, offset, self._shared.file_bytes, _LOOK_BYTES)
        length_bytes = TEXTS.get(data.byte())
        if length_bytes is None:
            return None
        size = int.from_bytes(data.take(abs(length_bytes)), "little")
        return Far(data.offset, size, text=True) if size >= FAR_BYTES else decoded(data.take(size))

    def _container(self, at: int, number: int, offset: int) -> Any:
        """Anything else: its whole stretch is read again, and what got that number is taken from it."""
        shared = self._shared
        if number in shared.containers:
            return shared.containers[number]
        found = shared.spans.around(offset)
        if found is None:
            raise self._damaged(at, f"memo {number:,} is not whole")
        start, end, memos, batched = found
        shared.again_bytes += end - start
        if self._level >= _MOST_AGAIN or shared.again_bytes > shared.most_again_bytes:
            raise self._refused(at, "its items share too much with one another")
        data = PickleBytes(self._data.fd, self._data.path, start, end)
        machine = type(self)(data, shared, self._level + 1)
        machine._memos = memos
        machine._stack = [ROOT]
        if batched:
            machine._outer, machine._stack = [([ROOT], start, memos)], []
        value = machine._value_of(at, number, end)
        if len(shared.containers) >= 64:
            shared.containers.clear()
        shared.containers[number] = value
        return value

    def _value_of(self, at: int, number: int, end: int) -> Any:
        found = False
        kept: Any = None
        while self._data.offset < end:
            self._step()
            if number in self._live:
                found, kept = True, self._live[number][1]
        if not found:
            raise self._damaged(at, f"memo {number:,} is not where it was made")
        return kept


def decoded(raw: bytes) -> str:
    """UTF-8, with lone surrogates as pickle writes them; texts of Python 2 in other encodings byte by byte."""
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
