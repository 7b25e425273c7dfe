"""Note the shape of a shard's samples: which parts they have, and which columns and types their ``json`` parts.

Whoever declares a type for a reader must know of every sample: a picture or a column that was not declared does not
load, and a value of another type than its column's ends the loading. So it is noted for each sample while a shard is
written, and the notes of all shards are put together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import orjson

from gristmill.spec.errors import DamagedOutput
from gristmill.spec.sample import Json

__all__ = ["BY_POSITION", "POSITION", "Node", "Shape"]

POSITION = re.compile(r"(\d{3,})\.([a-z0-9]+)")
"""The part of a medium that is named by its position: ``000.jpg``."""
BY_POSITION = "media by position"
"""In a shape's ``json``: the values of ``media`` where its names are positions."""

NULL, BOOL, NEGATIVE, INT, LONG, ULONG, FLOAT, TEXT, STRUCT, LIST, OPAQUE = (1 << n for n in range(11))
_LETTERS = "nb-ilufsSLO"
_PLAIN = {type(None): NULL, bool: BOOL, float: FLOAT, str: TEXT}
_EXACT_IN_A_DOUBLE = 1 << 53
_MOST_NAMES = 4096
"""An object with more names than that over all samples is a dictionary, not a row: it is not told apart further."""
_MOST_LEVELS = 32
_MOST_SETS = 8


class Node:
    """Holds what stood at one place of the ``json`` parts.

    Attributes:
        kinds: The kinds of values, as bits.
        fields: Of all objects here, by name, in the order in which they came up.
        items: Of all lists here together.
    """

    __slots__ = ("fields", "items", "kinds")

    def __init__(self) -> None:
        self.kinds = 0
        self.fields: dict[str, Node] = {}
        self.items: Node | None = None

    def has(self, *kinds: int) -> bool:
        """Say whether values of one of these kinds were here, and no others but nulls."""
        return bool(self.kinds & ~NULL) and not self.kinds & ~(NULL | sum(kinds))

    def take(self, value: Json, levels: int = _MOST_LEVELS) -> None:
        """Note a value."""
        plain = _PLAIN.get(type(value))
        if plain is not None:
            self.kinds |= plain
        elif type(value) is int:
            self.kinds |= _size(value)
        elif levels == 0:
            self.kinds |= OPAQUE
        elif type(value) is dict:
            self.kinds |= STRUCT
            self._take_fields(value, levels - 1)
        else:
            self.kinds |= LIST
            items = self.items = self.items or Node()
            for item in value:
                items.take(item, levels - 1)

    def _take_fields(self, value: dict[str, Json], levels: int) -> None:
        if self.kinds & OPAQUE:
            return
        fields = self.fields
        for name, item in value.items():
            child = fields.get(name)
            if child is None:
                child = fields[name] = Node()
            plain = _PLAIN.get(type(item))
            if plain is not None:  # most values: without a call
                child.kinds |= plain
            else:
                child.take(item, levels)
        self._bound()

    def _bound(self) -> None:
        if len(self.fields) > _MOST_NAMES:
            self.kinds |= OPAQUE
            self.fields = {}

    def add(self, other: Node) -> None:
        """Note all that another has noted."""
        self.kinds |= other.kinds
        if other.items is not None:
            self.items = self.items or Node()
            self.items.add(other.items)
        if self.kinds & OPAQUE:
            self.fields = {}
            return
        for name, field in other.fields.items():
            self.fields.setdefault(name, Node()).add(field)
        self._bound()

    def plain(self) -> Json:
        """Plain data: the letters of the kinds, and where there are objects or lists what is in them."""
        letters = "".join(letter for n, letter in enumerate(_LETTERS) if self.kinds >> n & 1)
        if not self.kinds & (STRUCT | LIST):
            return letters
        fields = {name: field.plain() for name, field in self.fields.items()}
        return [letters, fields, self.items and self.items.plain()]

    @classmethod
    def read(cls, plain: Json) -> Self:
        """Say what :meth:`plain` wrote."""
        node = cls()
        letters, fields, items = (plain, {}, None) if isinstance(plain, str) else plain
        node.kinds = sum(1 << _LETTERS.index(letter) for letter in letters)
        node.fields = {name: cls.read(field) for name, field in fields.items()}
        node.items = None if items is None else cls.read(items)
        return node


def _size(value: int) -> int:
    sign = NEGATIVE if value < 0 else 0
    if -_EXACT_IN_A_DOUBLE <= value <= _EXACT_IN_A_DOUBLE:
        return INT | sign
    return (LONG if value < 1 << 63 else ULONG) | sign


class Shape:
    """Holds what all samples of a shard, or of several, are made of.

    Attributes:
        parts: Parts that some sample has, but for those named by position, in the order in which they came up.
        positions: Of parts named by position, by extension: one more than the highest position.
        sets: The different sets of parts that samples have; None if there are many.
        json: What stands in the ``json`` parts; of media named by position together, as :data:`BY_POSITION`.
    """

    def __init__(self) -> None:
        self.parts: dict[str, None] = {}
        self.positions: dict[str, int] = {}
        self.sets: dict[frozenset[str], None] | None = {}
        self.json = Node()
        self._last: Sequence[str] = ()

    def take(self, parts: Iterable[tuple[str, Any]]) -> None:
        """Note a sample: its parts, by name; only of ``json`` is the body looked at."""
        names = []
        for name, body in parts:
            names.append(name)
            if name == "json":
                self._take_json(body)
        if names != self._last:  # most samples are like the one before
            self._last = names
            self._take_names(names)

    def _take_names(self, names: Sequence[str]) -> None:
        for name in names:
            found = POSITION.fullmatch(name)
            if found is None:
                self.parts[name] = None
            else:
                self.positions[found[2]] = max(self.positions.get(found[2], 0), int(found[1]) + 1)
        self._take_sets([frozenset(names)])

    def _take_sets(self, sets: Iterable[frozenset[str]] | None) -> None:
        if self.sets is not None:
            self.sets = None if sets is None else self.sets | dict.fromkeys(sets)
            if self.sets and len(self.sets) > _MOST_SETS:
                self.sets = None

    def _take_json(self, body: bytes) -> None:
        try:
            record = orjson.loads(body)
        except orjson.JSONDecodeError:  # no reader of JSON reads it: there is nothing to declare
            return
        media = record.get("media") if isinstance(record, dict) else None
        if isinstance(media, dict) and all(map(POSITION.fullmatch, media)):
            record = {BY_POSITION if name == "media" else name: value for name, value in record.items()}
            record[BY_POSITION] = list(media.values())
        self.json.take(record)

    def add(self, other: Shape) -> None:
        """Note all that another has noted."""
        self.parts |= other.parts
        for extension, most in other.positions.items():
            self.positions[extension] = max(self.positions.get(extension, 0), most)
        self._take_sets(other.sets)
        self.json.add(other.json)

    def text(self) -> str:
        """One line, the same for equal shapes."""
        sets = None if self.sets is None else [sorted(one) for one in self.sets]
        return orjson.dumps([[*self.parts], self.positions, sets, self.json.plain()]).decode()

    @classmethod
    def read(cls, text: str) -> Self:
        """Say what :meth:`text` wrote.

        Raises:
            DamagedOutput: It was not written by it.
        """
        shape = cls()
        try:
            parts, shape.positions, sets, json = orjson.loads(text)
            shape.parts = dict.fromkeys(parts)
            shape.sets = None if sets is None else dict.fromkeys(map(frozenset, sets))
            shape.json = Node.read(json)
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as err:
            raise DamagedOutput(
                f"a record says of its samples {text[:60]!r}, which no run writes. Restore the records from a copy."
            ) from err
        return shape

    def everywhere(self) -> Iterator[str]:
        """Parts that every sample has; none if too many sets of them were seen to tell."""
        sets = list(self.sets or ())
        yield from (part for part in self.parts if sets and all(part in one for one in sets))
