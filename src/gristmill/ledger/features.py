"""Describes what the shards hold, as a schema in the form of Hugging Face's ``datasets``.

Without a declared schema that library looks at the first five samples and silently leaves out what only later
ones have. Form: https://huggingface.co/docs/datasets/about_dataset_features (``Features`` as in a card's YAML:
a list of ``{name, dtype}``, ``{name, struct}`` or ``{name, list}``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar

from gristmill.ledger.ledger import Ledger
from gristmill.ledger.reading import PartShards
from gristmill.shards.not_finite import NOT_FINITE
from gristmill.shards.references import is_references
from gristmill.shards.shape import (
    BOOL,
    BY_POSITION,
    FLOAT,
    INT,
    LIST,
    LONG,
    NEGATIVE,
    NULL,
    OPAQUE,
    STRUCT,
    TEXT,
    Node,
    Shape,
)
from gristmill.shards.webdataset import read_samples
from gristmill.spec.sample import Json

__all__ = [
    "FACTS",
    "IMAGE_PARTS",
    "VIDEO_PARTS",
    "Kind",
    "evenly",
    "features",
    "kind_of",
    "printed",
    "shape_of",
]

Item = TypeVar("Item")
Kind: TypeAlias = Json
"""A type: a name (``int64``), ``{"struct": [field, ...]}``, ``{"list": kind}``, or fields of a list's items."""

_ORIGIN = {"source": "string", "file": "string", "row": "int64"}

FACTS: Mapping[str, Kind] = {
    "key": "string",
    "url": "string",
    "caption": "string",
    "sha256": "string",
    "md5": "string",
    "bytes": "int64",
    "width": "int64",
    "height": "int64",
    "original_width": "int64",
    "original_height": "int64",
    "stored_bytes": "int64",
    "phash": "string",
    "phash_distance": "int64",
    "origin": {"struct": [{"name": n, "dtype": d} for n, d in _ORIGIN.items()]},
}
"""Types of the keys that every ``json`` part has, where no sample has a value."""

IMAGE_PARTS = frozenset({"jpg", "jpeg", "png", "webp", "gif"})
VIDEO_PARTS: Mapping[str, str] = {
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mkv": "video/x-matroska",
    "mov": "video/quicktime",
    "avi": "video/x-msvideo",
}
"""Endings of parts that are videos, and their media types."""


def shape_of(ledger: Ledger) -> Shape:
    """Sum up what all samples of a dataset are made of: from the records of its shards, or else from the shards.

    Of an index-only mixture it is what its parts are made of, as far as these are there.

    Raises:
        DamagedOutput: A shard that its record says nothing of is damaged.
        OSError: As the system says.
    """
    whole = Shape()
    seen: set[str] = set()
    for record in ledger.shards():
        for shard in record.outputs:
            if shard.role != "shard":
                continue
            if is_references(shard.path):
                return _shape_of_parts(ledger)
            if record.shape:
                if record.shape not in seen:  # most shards of a dataset are alike
                    seen.add(record.shape)
                    whole.add(Shape.read(record.shape))
            else:
                for sample in read_samples(ledger.store.fetch(shard.path)):
                    whole.take(sample.parts.items())
    return whole


def _shape_of_parts(ledger: Ledger) -> Shape:
    whole = Shape()
    for part in PartShards(ledger.store).folders().values():
        whole.add(shape_of(Ledger(part)))
    return whole


def features(shape: Shape) -> list[dict[str, Kind]]:
    """The features of a dataset of this shape, for ``dataset_info`` in its card: all of it loads by them."""
    parts = [part for part in shape.parts if part != "json"]
    numbered = _numbered(shape)
    if not parts and not numbered and "json" not in shape.parts:
        parts = ["jpg"]
    found = [_field(part, _part_kind(part)) for part in [*numbered, *parts]]
    if "json" in shape.parts or not shape.parts:
        found.append(_field("json", _json_kind(shape.json, numbered)))
    return [*found, _field("__key__", "string"), _field("__url__", "string")]


def _numbered(shape: Shape) -> list[str]:
    """Names of media by position, without gaps, of every extension that was seen."""
    most = max(shape.positions.values(), default=0)
    return [
        f"{n:03d}.{ext}" for n in range(most) for ext in sorted(shape.positions) if n < shape.positions[ext]
    ]


def evenly(items: Sequence[Item], wanted: int) -> list[Item]:
    """At most ``wanted`` of ``items``, evenly spread, the first among them."""
    return [items[i * len(items) // wanted] for i in range(wanted)] if len(items) > wanted else list(items)


def _field(name: str, kind: Kind) -> dict[str, Kind]:
    return {"name": name, **kind} if isinstance(kind, dict) else {"name": name, "dtype": kind}


def _struct(kinds: Mapping[str, Kind]) -> Kind:
    return {"struct": [_field(name, kind) for name, kind in kinds.items()]}


def _list(item: Kind) -> Kind:
    return {"list": item["struct"] if isinstance(item, dict) and "struct" in item else item}


def _part_kind(part: str) -> Kind:
    extension = part.rpartition(".")[2]
    if extension in IMAGE_PARTS:
        return "image"
    return "string" if extension == "txt" else "binary"


def _json_kind(json: Node, numbered: Sequence[str]) -> Kind:
    if json.kinds and not json.has(STRUCT):
        return kind_of(json)
    kinds: dict[str, Kind] = {}
    for name, node in json.fields.items() or {name: Node() for name in (*FACTS, "upstream")}.items():
        if name == BY_POSITION and "media" not in json.fields:
            facts = _known(node.items or Node())
            kinds["media"] = _struct(dict.fromkeys(numbered, facts))
        else:
            kinds[name] = _named(name, node)
    kinds.pop(NOT_FINITE, None)
    if "float64" in _names(kinds):  # also where no sample has any
        kinds[NOT_FINITE] = _list(_struct({"at": "string", "value": "string"}))
    return _struct(kinds)


def _known(facts: Node) -> Kind:
    return _struct({name: _named(name, node) for name, node in facts.fields.items()})


def _named(name: str, node: Node) -> Kind:
    return FACTS[name] if name in FACTS and not node.kinds & ~NULL else kind_of(node)


def _names(kind: Kind) -> set[str]:
    """Names of all types within a type."""
    if isinstance(kind, str):
        return {kind}
    inner = kind.values() if isinstance(kind, Mapping) else kind
    return set().union(*(_names(one) for one in inner))


def kind_of(node: Node) -> Kind:
    """A type that loads every value at this place; ``string`` where nothing else does, or nothing is known.

    Of a ``string`` the library takes the text of whatever value it finds, but within lists it looks at the first
    item alone: a list of mixed items is loaded as text as a whole. Integers from 2**63 on it cannot load as numbers.
    """
    if node.has(BOOL):
        return "bool"
    if node.has(INT, LONG, NEGATIVE):
        return "int64"
    if node.has(INT, NEGATIVE, FLOAT):
        return "float64"
    if node.has(STRUCT) and node.fields:
        return _struct({name: kind_of(field) for name, field in node.fields.items()})
    if node.has(LIST) and not any(True for _ in _mixed(node, "")):
        return _list(kind_of(node.items or Node()))
    return "string"


def _mixed(node: Node, at: str) -> Iterator[str]:
    """Places within a node, itself too, whose values load only as text though not all of them are."""
    if node.has(STRUCT) and node.fields:
        for name, field in node.fields.items():
            yield from _mixed(field, f"{at}.{name}" if at else name)
    elif node.has(LIST):
        if node.items is not None and any(True for _ in _mixed(node.items, "")):
            yield at
    elif node.kinds & (OPAQUE | STRUCT) or (node.kinds & ~(NULL | TEXT) and kind_of(node) == "string"):
        yield at


def printed(shape: Shape) -> list[str]:
    """Columns of the ``json`` part whose values are of several types, so that they load as text."""
    return list(_mixed(shape.json, ""))
