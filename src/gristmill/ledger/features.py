"""What the shards hold, as a schema in the form of Hugging Face's ``datasets``.

Without a declared schema that library looks at the first five samples and silently leaves out what only later
ones have. Form: https://huggingface.co/docs/datasets/about_dataset_features (``Features`` as in a card's YAML:
a list of ``{name, dtype}``, ``{name, struct}`` or ``{name, list}``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.ledger.ledger import STATE
from gristmill.shards.not_finite import NOT_FINITE
from gristmill.shards.webdataset import ShardSample, read_samples
from gristmill.spec.sample import Json

__all__ = ["FACTS", "IMAGE_PARTS", "Kind", "evenly", "features", "from_arrow", "from_values", "part_schema"]

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
"""Types of the keys that every ``json`` part has; a fact that was not measured is null."""

IMAGE_PARTS = frozenset({"jpg", "jpeg", "png", "webp", "gif"})
_OF_A_MEDIUM = [name for name in FACTS if name not in {"key", "caption", "origin"}]
_NUMBERED = re.compile(r"(\d{3,})\.([a-z0-9]+)")
_SHARDS_LOOKED_AT = 8
_SAMPLES_LOOKED_AT = 64
_TAGGED: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (pa.types.is_decimal, "$decimal"),
    (pa.types.is_binary, "$bytes"),
    (pa.types.is_large_binary, "$bytes"),
    (pa.types.is_fixed_size_binary, "$bytes"),
    (pa.types.is_timestamp, "$datetime"),
    (pa.types.is_date, "$date"),
    (pa.types.is_time, "$time"),
    (pa.types.is_duration, "$duration"),
)
"""Arrow types that :mod:`gristmill.shards.lossless` writes as an object with one text."""


def features(folder: Path, shards: Sequence[str], most_media: int = 0) -> list[dict[str, Kind]]:
    """The features of a dataset's shards, for ``dataset_info`` in its card.

    Types of upstream columns come from the Arrow schema of the chosen rows; what no schema says is read off
    samples from up to eight shards.

    Args:
        folder: The dataset's folder.
        shards: Paths of its shards, relative to it.
        most_media: Where media are named by position (``000.jpg``), one more than the highest position anywhere:
            a part that no sample looked at has is declared nevertheless.
    """
    parts: dict[str, None] = {}
    records = []
    for path in evenly(shards, _SHARDS_LOOKED_AT):
        for sample in _first(folder / path):  # hundreds, whose media would be too much to hold
            parts.update(dict.fromkeys(sample.parts))
            if "json" in sample.parts:
                records.append(orjson.loads(sample.parts["json"]))
    parts = parts or {"jpg": None, "json": None}
    numbered = _numbered(parts, most_media)
    plain = [part for part in parts if part != "json" and not _NUMBERED.fullmatch(part)]
    found = [_field(part, _part_kind(part)) for part in [*numbered, *plain]]
    if "json" in parts:
        found.append(_field("json", _json_kind(records, part_schema(folder), numbered)))
    return [*found, _field("__key__", "string"), _field("__url__", "string")]


def _numbered(parts: Iterable[str], most_media: int) -> list[str]:
    """Names of media by position, without gaps, of every kind that was seen."""
    seen = [found for part in parts if (found := _NUMBERED.fullmatch(part))]
    most = max([most_media, *(int(found[1]) + 1 for found in seen)])
    kinds = sorted({found[2] for found in seen})
    return [f"{n:03d}.{kind}" for n in range(most) for kind in kinds]


def evenly(items: Sequence[str], wanted: int) -> list[str]:
    """At most ``wanted`` of ``items``, evenly spread, the first among them."""
    return [items[i * len(items) // wanted] for i in range(wanted)] if len(items) > wanted else list(items)


def part_schema(folder: Path) -> pa.Schema | None:
    """Arrow schema of the upstream rows, off a part file; None once those are cleaned away."""
    path = next(iter(sorted((folder / STATE / "parts").glob("*.parquet"))), None)
    return None if path is None else pq.read_schema(path)


def _first(path: Path) -> Iterator[ShardSample]:
    return islice(read_samples(path), _SAMPLES_LOOKED_AT)


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


def _json_kind(
    records: Sequence[Mapping[str, Json]], schema: pa.Schema | None, numbered: Sequence[str]
) -> Kind:
    names = dict.fromkeys(name for record in records for name in record) or dict.fromkeys(
        [*FACTS, "upstream"]
    )
    own = {name for name in names if name not in FACTS and name != "upstream"}
    kinds: dict[str, Kind] = {}
    for name in names:
        values = [record[name] for record in records if name in record]
        if name == "upstream":
            kinds[name] = _upstream_kind(values, schema, own)
        elif name == "media" and numbered:
            facts = _struct({fact: FACTS[fact] for fact in _OF_A_MEDIUM})
            kinds[name] = _struct(dict.fromkeys(numbered, facts))
        else:
            kinds[name] = FACTS.get(name) or from_values(values)
    kinds.pop(NOT_FINITE, None)
    if "float64" in _names(kinds):  # also where no sample that was looked at has any
        kinds[NOT_FINITE] = _list(_struct({"at": "string", "value": "string"}))
    return _struct(kinds)


def _names(kind: Kind) -> set[str]:
    """Names of all types within a type."""
    if isinstance(kind, str):
        return {kind}
    inner = kind.values() if isinstance(kind, Mapping) else kind
    return set().union(*(_names(one) for one in inner))


def _upstream_kind(rows: Sequence[Mapping[str, Json]], schema: pa.Schema | None, own: set[str]) -> Kind:
    """Upstream columns: seen in a sample, or in the schema and not made on the way."""
    seen = dict.fromkeys(name for row in rows for name in row)
    said = {f.name: f.type for f in schema or () if not f.name.startswith("__")}
    kinds = {
        name: from_arrow(said[name]) if name in said else from_values([row.get(name) for row in rows])
        for name in [*seen, *(name for name in said if name not in seen and name not in own)]
    }
    return _struct(kinds)


def from_arrow(kind: pa.DataType) -> Kind:
    """How a column of this Arrow type stands in a ``json`` part."""
    if pa.types.is_dictionary(kind):
        return from_arrow(kind.value_type)
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind):
        return str(kind)
    if pa.types.is_floating(kind):
        return "float64"  # a number in JSON is a double, whatever it was
    for is_kind, tag in _TAGGED:
        if is_kind(kind):
            return _struct({tag: "string"})
    if pa.types.is_struct(kind):
        return _struct({kind.field(i).name: from_arrow(kind.field(i).type) for i in range(kind.num_fields)})
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _list(from_arrow(kind.value_type))
    return "string"


def from_values(values: Iterable[Json]) -> Kind:
    """A type that holds all of ``values``; ``string`` where they do not agree or nothing is known."""
    there = [value for value in values if value is not None]
    if there and all(isinstance(value, dict) for value in there):
        names = dict.fromkeys(name for value in there for name in value)
        return _struct({name: from_values([value.get(name) for value in there]) for name in names})
    if there and all(isinstance(value, list) for value in there):
        return _list(from_values([item for value in there for item in value]))
    kinds = {type(value) for value in there}
    if kinds == {bool}:
        return "bool"
    if kinds == {int}:
        return "int64"
    return "float64" if kinds and kinds <= {int, float} else "string"
