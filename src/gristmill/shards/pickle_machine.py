"""A machine for pickles of plain data: gives out the items of a pickled list one by one, and runs nothing.

It knows the opcodes that make None, numbers, text, bytes, lists, tuples and dicts, and no others: what would import,
call or build anything is refused by name; NumPy's arrays of numbers are known by name and made without it. Long
texts and bytes are passed over and stand as :class:`Far`. What a pickle memoizes is remembered by its place in the
file and made again from there when it is asked for, so memory holds one item and 8 bytes for each memo, however long
the list. Opcodes: ``pickletools`` of the standard library.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from typing import Any

from gristmill.shards.pickle_bytes import Far
from gristmill.shards.pickle_numbers import (
    Admitted,
    NotAdmitted,
    NumberArray,
    NumberType,
    admitted,
    built,
    called,
)
from gristmill.shards.pickle_stack import BAD_KEY, FAR_BYTES, TEXTS, StackMachine, decoded

__all__ = ["Machine"]

_MOST_LEVELS = 1000
_MOST_NUMBER_BYTES = 1000
_MOST_NAME_BYTES = 4096
_MOST_LINE_BYTES = 64 << 20


class Machine(StackMachine):
    """Reads a pickled list, opcode by opcode; each method is one opcode or a few of a kind."""

    def _step(self) -> None:
        at = self._data.offset
        work = _OPCODES.get(self._data.byte())
        if work is None:
            raise self._damaged(at, "no pickle, or damaged")
        work(self, at)

    # opcodes: values

    def _none(self, at: int) -> None:
        self._push(at, None)

    def _true(self, at: int) -> None:
        self._push(at, True)

    def _false(self, at: int) -> None:
        self._push(at, False)

    def _binint(self, at: int) -> None:
        self._push(at, struct.unpack("<i", self._data.take(4))[0])

    def _binint1(self, at: int) -> None:
        self._push(at, self._data.byte())

    def _binint2(self, at: int) -> None:
        self._push(at, int.from_bytes(self._data.take(2), "little"))

    def _binfloat(self, at: int) -> None:
        self._push(at, struct.unpack(">d", self._data.take(8))[0])

    def _number_line(self, at: int) -> None:
        """INT, LONG or FLOAT of protocol 0: in decimal, ``L`` behind a long, ``00`` and ``01`` for booleans."""
        text = self._data.line(_MOST_NUMBER_BYTES)
        if text in {b"00", b"01"}:
            self._push(at, text == b"01")
            return
        try:
            self._push(
                at, int(text.rstrip(b"L")) if text.rstrip(b"L").lstrip(b"+-").isdigit() else float(text)
            )
        except ValueError:
            raise self._damaged(at, f"{text[:40]!r} is no number") from None

    def _long1(self, at: int) -> None:
        self._long(at, self._data.byte())

    def _long4(self, at: int) -> None:
        self._long(at, int.from_bytes(self._data.take(4), "little"))

    def _long(self, at: int, size: int) -> None:
        if size > _MOST_NUMBER_BYTES:
            raise self._refused(at, f"it holds an integer of {size:,} bytes")
        self._push(at, int.from_bytes(self._data.take(size), "little", signed=True))

    def _text(self, at: int, length_bytes: int) -> None:
        size = int.from_bytes(self._data.take(abs(length_bytes)), "little")
        if size >= FAR_BYTES:
            self._push(at, Far(self._data.offset, size, text=True))
            self._data.skip(size)
            return
        self._push(at, decoded(self._data.take(size)))

    def _bytes(self, at: int, length_bytes: int) -> None:
        size = int.from_bytes(self._data.take(length_bytes), "little")
        self._push(at, Far(self._data.offset, size, text=False))
        self._data.skip(size)

    def _unicode_line(self, at: int) -> None:
        line = self._data.line(_MOST_LINE_BYTES)
        try:
            self._push(at, str(line, "raw-unicode-escape"))
        except UnicodeDecodeError as err:
            raise self._damaged(at, f"{err}") from err

    def _string_line(self, at: int) -> None:
        line = self._data.line(_MOST_LINE_BYTES)
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in b"'\"":
            raise self._damaged(at, "a text without its quotes")
        try:
            self._push(at, decoded(codecs.escape_decode(line[1:-1])[0]))
        except ValueError as err:
            raise self._damaged(at, f"{err}") from err

    # opcodes: containers

    def _empty_list(self, at: int) -> None:
        if self._shared.root_at < 0 and not self._outer and not self._stack:
            self._root(at)
        else:
            self._push(at, [])

    def _list(self, at: int) -> None:
        values, _, _ = self._pop_mark(at)
        if self._shared.root_at < 0 and not self._outer and not self._stack:
            self._root(at)
            self._ready += [(at, value) for value in values]
            self._live.clear()
        else:
            self._push(at, values)

    def _empty_dict(self, at: int) -> None:
        self._push_dict(at, {}, at, self._memos)

    def _dict(self, at: int) -> None:
        values, mark_at, memos = self._pop_mark(at)
        made: dict[str, Any] = {}
        self._fill(at, made, values)
        self._push_dict(at, made, mark_at, memos)

    def _mark(self, at: int) -> None:
        if len(self._outer) >= _MOST_LEVELS:
            raise self._refused(at, f"it is nested deeper than {_MOST_LEVELS:,} levels")
        self._outer.append((self._stack, at, self._memos))
        self._stack = []

    def _append(self, at: int) -> None:
        value = self._pop(at)
        if self._is_root():
            self._give([value], self._data.offset, self._memos)
        else:
            self._top(at, list).append(value)
        self._made_at = -1

    def _appends(self, at: int) -> None:
        values, _, _ = self._pop_mark(at, to_append=True)
        if self._is_root():
            self._give(values, self._data.offset, self._memos)
        else:
            self._top(at, list).extend(values)
        self._made_at = -1

    def _setitem(self, at: int) -> None:
        value, key = self._pop(at), self._pop(at)
        self._fill(at, self._top(at, dict), [key, value])
        self._made_at = -1

    def _setitems(self, at: int) -> None:
        values, _, _ = self._pop_mark(at)
        self._fill(at, self._top(at, dict), values)
        self._made_at = -1
        self._filled_at = self._data.offset

    def _fill(self, at: int, made: dict[str, Any], values: list[Any]) -> None:
        if len(values) % 2:
            raise self._damaged(at, "a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            made[key if type(key) is str else BAD_KEY] = value

    def _tuple(self, at: int) -> None:
        values, _, _ = self._pop_mark(at)
        self._push(at, tuple(values))

    def _tuple_of(self, at: int, size: int) -> None:
        self._push(at, tuple([self._pop(at) for _ in range(size)][::-1]))

    # opcodes: the stack itself, the memo, the end

    def _drop(self, at: int) -> None:
        if self._stack:
            self._pop(at)
        else:
            self._pop_mark(at)
        self._made_at = -1

    def _drop_mark(self, at: int) -> None:
        self._pop_mark(at)
        self._made_at = -1

    def _dup(self, at: int) -> None:
        value = self._pop(at)
        self._stack.append(value)
        self._push(at, value)
        self._made_at = -1

    def _put_line(self, at: int) -> None:
        self._put(at, self._number_of(at, self._data.line(_MOST_NUMBER_BYTES)))

    def _put_of(self, at: int, number_bytes: int) -> None:
        self._put(at, int.from_bytes(self._data.take(number_bytes), "little"))

    def _memoize(self, at: int) -> None:
        self._put(at, self._memos)

    def _get_line(self, at: int) -> None:
        self._get(at, self._number_of(at, self._data.line(_MOST_NUMBER_BYTES)))

    def _get_of(self, at: int, number_bytes: int) -> None:
        self._get(at, int.from_bytes(self._data.take(number_bytes), "little"))

    def _number_of(self, at: int, text: bytes) -> int:
        if not text.isdigit():
            raise self._damaged(at, f"{text[:40]!r} is no number of a memo")
        return int(text)

    def _proto(self, at: int) -> None:
        version = self._data.byte()
        if version > 5:
            raise self._refused(at, f"it is of protocol {version}, or no pickle")

    def _frame(self, at: int) -> None:
        """A frame says only how much the real readers are to read at once."""
        self._data.take(8)
        if self._filled_at == at:
            self._filled_at = self._data.offset

    def _stop(self, at: int) -> None:
        self._end(at)
        self._ended = True

    # opcodes: NumPy's arrays of numbers, and what would run anything

    def _names(self) -> tuple[str, str]:
        module, name = (self._data.line(_MOST_NAME_BYTES).decode("utf-8", "replace") for _ in range(2))
        return module, name

    def _global(self, at: int) -> None:
        self._named(at, *self._names())

    def _stack_global(self, at: int) -> None:
        name, module = self._pop(at), self._pop(at)
        self._named(at, module, name)

    def _named(self, at: int, module: Any, name: Any) -> None:
        found = admitted(module, name)
        if found is None:
            raise self._refused(at, f"it wants to run {module!s:.100}.{name!s:.100}")
        self._push(at, found)

    def _inst(self, at: int) -> None:
        module, name = self._names()
        raise self._refused(at, f"it wants to run {module}.{name}")

    def _reduce(self, at: int) -> None:
        arguments, function = self._pop(at), self._pop(at)
        if type(function) is not Admitted:
            raise self._refused(at, "it wants to call something")
        try:
            self._push(at, called(function, arguments, self._data))
        except NotAdmitted as err:
            raise self._refused(at, f"it holds {err}") from None

    def _build(self, at: int) -> None:
        state = self._pop(at)
        value = self._stack[-1] if self._stack else None
        if not isinstance(value, NumberArray | NumberType):
            raise self._refused(at, "it wants to set an object's state")
        try:
            built(value, state, self._data)
        except NotAdmitted as err:
            raise self._refused(at, f"it holds {err}") from None
        self._made_at = -1

    def _persid(self, at: int) -> None:
        name = self._data.line(_MOST_NAME_BYTES)
        raise self._refused(at, f"it wants the persistent object {name[:100]!r}")


def _refusal(what: str) -> Callable[[Machine, int], None]:
    def refuse(machine: Machine, at: int) -> None:
        raise machine._refused(at, what)

    return refuse


def _sized(work: Callable[[Machine, int, int], None], size: int) -> Callable[[Machine, int], None]:
    return lambda machine, at: work(machine, at, size)


_OPCODES: dict[int, Callable[[Machine, int], None]] = {
    ord("N"): Machine._none,
    0x88: Machine._true,
    0x89: Machine._false,
    ord("J"): Machine._binint,
    ord("K"): Machine._binint1,
    ord("M"): Machine._binint2,
    ord("G"): Machine._binfloat,
    ord("I"): Machine._number_line,
    ord("L"): Machine._number_line,
    ord("F"): Machine._number_line,
    0x8A: Machine._long1,
    0x8B: Machine._long4,
    **{code: _sized(Machine._text, size) for code, size in TEXTS.items()},
    ord("C"): _sized(Machine._bytes, 1),
    ord("B"): _sized(Machine._bytes, 4),
    0x8E: _sized(Machine._bytes, 8),
    0x96: _sized(Machine._bytes, 8),
    ord("V"): Machine._unicode_line,
    ord("S"): Machine._string_line,
    ord("]"): Machine._empty_list,
    ord("l"): Machine._list,
    ord("}"): Machine._empty_dict,
    ord("d"): Machine._dict,
    ord(")"): _sized(Machine._tuple_of, 0),
    ord("t"): Machine._tuple,
    0x85: _sized(Machine._tuple_of, 1),
    0x86: _sized(Machine._tuple_of, 2),
    0x87: _sized(Machine._tuple_of, 3),
    ord("("): Machine._mark,
    ord("a"): Machine._append,
    ord("e"): Machine._appends,
    ord("s"): Machine._setitem,
    ord("u"): Machine._setitems,
    ord("0"): Machine._drop,
    ord("1"): Machine._drop_mark,
    ord("2"): Machine._dup,
    ord("p"): Machine._put_line,
    ord("q"): _sized(Machine._put_of, 1),
    ord("r"): _sized(Machine._put_of, 4),
    0x94: Machine._memoize,
    ord("g"): Machine._get_line,
    ord("h"): _sized(Machine._get_of, 1),
    ord("j"): _sized(Machine._get_of, 4),
    0x80: Machine._proto,
    0x95: Machine._frame,
    ord("."): Machine._stop,
    ord("c"): Machine._global,
    ord("i"): Machine._inst,
    0x93: Machine._stack_global,
    ord("P"): Machine._persid,
    ord("Q"): _refusal("it wants a persistent object"),
    ord("R"): Machine._reduce,
    ord("b"): Machine._build,
    ord("o"): _refusal("it wants to build an object"),
    0x81: _refusal("it wants to build an object"),
    0x92: _refusal("it wants to build an object"),
    0x82: _refusal("it wants an extension"),
    0x83: _refusal("it wants an extension"),
    0x84: _refusal("it wants an extension"),
    0x97: _refusal("it wants a buffer from outside"),
    0x98: _refusal("it wants a buffer from outside"),
    0x8F: _refusal("it holds a set, which no sample has"),
    0x90: _refusal("it holds a set, which no sample has"),
    0x91: _refusal("it holds a set, which no sample has"),
}
