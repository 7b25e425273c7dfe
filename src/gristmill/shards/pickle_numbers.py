"""NumPy's arrays of numbers, and its single numbers, in pickles: read as lists and numbers, without NumPy.

A pickle makes them by naming functions of NumPy and calling them. Those few names are known here, and what they
would make is made; nothing is imported or called. Forms: ``numpy.ndarray.__reduce_ex__`` of protocols 0 to 5, and
``numpy.dtype.__reduce__``.
"""

from __future__ import annotations

import math
import struct
from typing import Any

from gristmill.shards.pickle_bytes import Far, PickleBytes
from gristmill.spec.sample import Json

__all__ = ["Admitted", "NotAdmitted", "NumberArray", "NumberType", "admitted", "built", "called"]

_ARRAY, _TYPE, _EMPTY, _FILLED, _NUMBER = range(5)
_NAMES = {
    ("numpy", "ndarray"): _ARRAY,
    ("numpy", "dtype"): _TYPE,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _EMPTY for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _NUMBER for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _FILLED for core in ("core", "_core")},
}
_CODES = {
    "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
    "f2": "e", "f4": "f", "f8": "d",
}  # fmt: skip
_ORDERS = ("C", "F", "K")
_MOST_DIMENSIONS = 32
_MOST_BYTES = 64 << 20


class NotAdmitted(ValueError):
    """Something of NumPy that is no array of numbers, or makes no sense."""


class Admitted:
    """One of the names that a pickle may call, standing on the stack.

    Args:
        what: Which.
        name: As the pickle has it.
    """

    def __init__(self, what: int, name: str) -> None:
        self.what, self.name = what, name


class NumberType:
    """The kind of an array's numbers.

    Args:
        name: Kind and bytes, as ``i4``.
    """

    def __init__(self, name: Any) -> None:
        if type(name) is not str or name.lstrip("<>=|") not in _CODES:
            raise NotAdmitted(f"a NumPy array of {name!r:.40}, not of numbers")
        self._code, self._order = _CODES[name.lstrip("<>=|")], "<"

    def build(self, state: Any) -> None:
        """Take the byte order; structures are refused."""
        if (
            type(state) is not tuple
            or len(state) < 5
            or state[1] not in ("<", ">", "|", "=")
            or any(part is not None for part in state[2:5])
        ):
            raise NotAdmitted("a NumPy array of structures, or of a type that is not known")
        self._order = ">" if state[1] == ">" else "<"

    @property
    def size(self) -> int:
        """Bytes of one number."""
        return struct.calcsize(f"<{self._code}")

    def numbers(self, raw: bytes) -> tuple[Json, ...]:
        """The numbers that some bytes are."""
        return struct.unpack(f"{self._order}{len(raw) // self.size}{self._code}", raw)


class NumberArray:
    """An array as its bytes and its shape, made into lists when it is asked for.

    Attributes:
        lists: How many lists and numbers it makes.
    """

    def __init__(self) -> None:
        self.lists = 0
        self._type: NumberType | None = None
        self._shape: tuple[int, ...] = ()
        self._strides: list[int] = []
        self._raw = b""

    def fill(
        self,
        data: PickleBytes,
        kind: Any,
        shape: Any,
        body: Any,
        *,
        by_columns: bool = False,
        axes: Any = None,
    ) -> None:
        """Take what is in it.

        Args:
            data: Where the bytes lie.
            kind: A :class:`NumberType`.
            shape: Lengths.
            body: The bytes, not yet read.
            by_columns: The first index moves fastest.
            axes: In which order the indices count, if in another than they stand.

        Raises:
            NotAdmitted: It is no array of numbers, or does not add up.
            SourceError: The file ends before it.
        """
        if type(kind) is not NumberType or type(body) is not Far or body.text:
            raise NotAdmitted("a NumPy array of objects, or one that is not known")
        sound = type(shape) is tuple and len(shape) <= _MOST_DIMENSIONS
        if not sound or any(type(size) is not int or size < 0 for size in shape):
            raise NotAdmitted("a NumPy array of no sound shape")
        order = axes if type(axes) is tuple else range(len(shape))
        if any(type(at) is not int for at in order) or sorted(order) != list(range(len(shape))):
            raise NotAdmitted("a NumPy array of no sound shape")
        self.lists = max(1, len(shape)) * math.prod(max(1, size) for size in shape)
        if math.prod(shape) * kind.size != body.size or max(self.lists, body.size) > _MOST_BYTES:
            raise NotAdmitted(f"a NumPy array of shape {shape!r:.60} in {body.size:,} bytes")
        strides = [math.prod(shape[:at] if by_columns else shape[at + 1 :]) for at in range(len(shape))]
        self._raw = PickleBytes(data.fd, data.path, body.offset, data.stop, body.size).take(body.size)
        self._shape, self._strides = tuple(shape[at] for at in order), [strides[at] for at in order]
        self._type = kind

    @property
    def filled(self) -> bool:
        """True once the pickle has said what is in it."""
        return self._type is not None

    def value(self) -> Json:
        """Lists of lists of numbers; of no dimensions, the number. What was never filled has no value."""
        assert self._type is not None
        return _nested(self._type.numbers(self._raw), self._shape, self._strides, 0)


def admitted(module: Any, name: Any) -> Admitted | None:
    """Find out what a name stands for; None for what must not be called."""
    what = _NAMES.get((module, name)) if type(module) is str and type(name) is str else None
    return None if what is None else Admitted(what, f"{module}.{name}")


def called(function: Admitted, arguments: Any, data: PickleBytes) -> Any:
    """Make what a call of an admitted name would make.

    Args:
        function: The name.
        arguments: As they stand on the stack.
        data: Where bytes lie.

    Raises:
        NotAdmitted: It is no array of numbers, or another call than NumPy writes.
        SourceError: The file ends too early.
    """
    given = arguments if type(arguments) is tuple else ()
    if function.what == _TYPE and given:
        return NumberType(given[0])
    if function.what == _EMPTY and given and type(given[0]) is Admitted and given[0].what == _ARRAY:
        return NumberArray()
    if function.what == _FILLED and len(given) in {4, 5} and given[3] in _ORDERS:
        body, kind, shape, order, axes = (*given, None)[:5]
        array = NumberArray()
        array.fill(data, kind, shape, body, by_columns=order == "F", axes=axes)
        return array
    if function.what == _NUMBER and len(given) == 2:
        array = NumberArray()
        array.fill(data, given[0], (), given[1])
        return array.value()
    raise NotAdmitted(f"a call of {function.name} as NumPy does not write it")


def built(value: NumberArray | NumberType, state: Any, data: PickleBytes) -> None:
    """Give a thing that a call made what is in it.

    Raises:
        NotAdmitted: It is no array of numbers, or another state than NumPy writes.
        SourceError: The file ends too early.
    """
    if isinstance(value, NumberType):
        value.build(state)
    elif type(state) is tuple and len(state) == 5:
        value.fill(data, state[2], state[1], state[4], by_columns=state[3] is True)
    else:
        raise NotAdmitted("a NumPy array with another state than NumPy writes")


def _nested(numbers: tuple[Json, ...], shape: tuple[int, ...], strides: list[int], start: int) -> Json:
    if not shape:
        return numbers[start]
    if len(shape) == 1 and strides[0] == 1:
        return list(numbers[start : start + shape[0]])
    return [_nested(numbers, shape[1:], strides[1:], start + at * strides[0]) for at in range(shape[0])]
