"""``croissant.json``: the dataset described for machines, in Croissant 1.1 (JSON-LD).

Format: http://mlcommons.org/croissant/1.1
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import orjson

from gristmill import __version__
from gristmill.ledger.features import IMAGE_PARTS, VIDEO_PARTS, features, shape_of
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.manifest import shards_of
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.totals import Totals
from gristmill.shards.lossless import readable
from gristmill.shards.references import is_references
from gristmill.spec.recipe import Recipe
from gristmill.spec.sample import Json
from gristmill.spec.task import ShardInfo
from gristmill.storage.hub import hub_page

__all__ = ["croissant", "croissant_bytes"]

_SPELLED_DIGITS = 10
_ATTEMPTS = "attempts"
_PICTURES = "pictures"
_TAR, _PARQUET = "application/x-tar", "application/x-parquet"
_MIME = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    **VIDEO_PARTS,
}
_KEY = {"fileProperty": "filename"}

_TERMS = (
    *(
        "arrayShape",
        "citeAs",
        "column",
        "containedIn",
        "equivalentProperty",
        "extract",
        "field",
        "fileProperty",
        "fileObject",
        "fileSet",
        "format",
        "includes",
    ),
    *(
        "isArray",
        "isLiveDataset",
        "jsonPath",
        "key",
        "md5",
        "parentField",
        "path",
        "recordSet",
        "references",
        "regex",
    ),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)

_CONTEXT: dict[str, Json] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "wasDerivedFrom": "prov:wasDerivedFrom",
    "wasGeneratedBy": "prov:wasGeneratedBy",
    **{term: f"cr:{term}" for term in _TERMS},
}


def croissant_bytes(recipe: Recipe, config: RunConfig, ledger: Ledger) -> bytes:
    """The content of ``croissant.json``.

    Raises:
        DamagedOutput: A shard of whose samples no record says what they are made of is damaged.
        OSError: As the system says.
    """
    described = readable(croissant(recipe, config, ledger))
    return orjson.dumps(described, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def croissant(recipe: Recipe, config: RunConfig, ledger: Ledger) -> dict[str, Json]:
    """The description, as plain data."""
    totals = ledger.totals()
    files = shards_of(ledger)
    shards = [shard for shard in files if not is_references(shard.path)]
    shape = shape_of(ledger)
    schema = features(shape)
    attempts = [
        o for r in ledger.shards() for o in r.outputs if o.role == "sidecar" and o.path.endswith(".parquet")
    ]
    joined = bool(attempts) and bool(_pictures(schema)) and not shape.positions
    described: dict[str, Json] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": recipe.public_name,
        "alternateName": recipe.title,
        "description": recipe.description.strip(),
        "version": _semantic(recipe.version),
        "license": recipe.license,
        "url": recipe.homepage,
        "citeAs": recipe.citation.strip() or None,
        "datePublished": _date(totals),
        "creator": {"@type": "sc:Organization", "name": recipe.title, "url": recipe.homepage},
        "wasDerivedFrom": [{"@id": origin} for origin in _origins(recipe)],
        "wasGeneratedBy": {
            "@type": "prov:Activity",
            "name": f"gristmill {__version__}, recipe {recipe.public_name} {recipe.version}",
        },
        "distribution": [*_files(files, attempts), *_sets(schema, shards, joined=joined)],
        "recordSet": [*_samples(joined=joined), *_record_sets(schema)] if shards else [],
    }
    return {key: value for key, value in described.items() if value not in (None, [])}


def _date(totals: Totals) -> str | None:
    at = totals.finished_at
    return None if at is None else datetime.fromtimestamp(at, UTC).date().isoformat()


def _semantic(version: str) -> str:
    """A calendar version in the form that Croissant asks for, which allows no leading zeros."""
    return ".".join(str(int(number)) for number in version.split("."))


def _origins(recipe: Recipe) -> list[str]:
    return [
        f"{hub_page(s.hub)}/tree/{s.revision}" if s.hub else str(s.url)
        for s in recipe.sources
        if s.hub or s.url
    ]


def _files(shards: Sequence[ShardInfo], attempts: Sequence[ShardInfo]) -> list[Json]:
    """Each shard with its checksum, and the rows attempted as one set."""
    files = [
        _file(s.path, _spelled(s), s.size_bytes, _PARQUET if is_references(s.path) else _TAR, s.digest)
        for s in shards
    ]
    if attempts:
        files.append(
            {
                "@type": "cr:FileSet",
                "@id": _ATTEMPTS,
                "name": _ATTEMPTS,
                "description": "What is beside each shard: the rows attempted, those that failed too.",
                "encodingFormat": _PARQUET,
                "includes": "shards/*.parquet",
            }
        )
    return files


def _spelled(shard: ShardInfo) -> str:
    """The path of a shard, spelled otherwise where its bytes are others.

    mlcroissant unpacks an archive once for each text of a path, whatever folder it is relative to and whatever its
    checksum: with plain paths, the first dataset that it read is given out for all. Segments that lead nowhere spell
    the checksum's first bits, so that every reader finds the same file.
    """
    bits = f"{int(shard.digest[:_SPELLED_DIGITS], 16):0{4 * _SPELLED_DIGITS}b}"
    folder, _, name = shard.path.rpartition("/")
    return f"{folder}/" + "".join(f"../{folder}/" if bit == "1" else "./" for bit in bits) + name


def _file(name: str, path: str, size_bytes: int, mime: str, sha256: str) -> Json:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": path,
        "contentSize": f"{size_bytes} B",
        "encodingFormat": mime,
        "sha256": sha256,
    }


def _sets(schema: Sequence[Json], shards: Sequence[ShardInfo], *, joined: bool) -> list[Json]:
    """The members of all shards, one set for each part of a sample, and one for all pictures."""
    if not shards:
        return []
    sets = {f"{part}-members": [part] for part in _parts(schema)}
    if joined:
        sets[_PICTURES] = _pictures(schema)
    return [
        {
            "@type": "cr:FileSet",
            "@id": name,
            "name": name,
            "containedIn": [{"@id": shard.path} for shard in shards],
            "encodingFormat": _one_or_all(list(dict.fromkeys(map(_mime, parts)))),
            "includes": _one_or_all([f"*.{part}" for part in parts]),
        }
        for name, parts in sets.items()
    ]


def _one_or_all(values: list[str]) -> Json:
    return values[0] if len(values) == 1 else values


def _parts(schema: Sequence[Json]) -> list[str]:
    return [field["name"] for field in schema if not field["name"].startswith("__")]


def _pictures(schema: Sequence[Json]) -> list[str]:
    return [part for part in _parts(schema) if part.rpartition(".")[2] in IMAGE_PARTS]


_ATTEMPTED = {
    "url": "sc:URL",
    "caption": "sc:Text",
    "width": "sc:Integer",
    "height": "sc:Integer",
    "original_width": "sc:Integer",
    "original_height": "sc:Integer",
    "sha256": "sc:Text",
}


def _samples(*, joined: bool) -> list[Json]:
    """Each sample's picture with what stands beside its shard, where that is written of single pictures."""
    if not joined:
        return []
    key = _field("samples", "key", _PICTURES, "sc:Text", _KEY)
    key["references"] = {"fileSet": {"@id": _ATTEMPTS}, "extract": {"column": "key"}}
    image = _field("samples", "image", _PICTURES, "sc:ImageObject", {"fileProperty": "content"})
    facts = [_field("samples", name, _ATTEMPTS, kind, {"column": name}) for name, kind in _ATTEMPTED.items()]
    said = "Each picture with its caption and what is known of it."
    return [_record_set("samples", said, [key, image, *facts])]


def _mime(part: str) -> str:
    extension = part.rpartition(".")[2]
    return {**_MIME, "txt": "text/plain", "json": "application/json"}.get(
        extension, "application/octet-stream"
    )


def _record_sets(schema: Sequence[Json]) -> list[Json]:
    """One set of records for each part of a sample; the key tells which belong together.

    Joins between them, and single values out of the ``json`` part, could be written down, but mlcroissant 1.1
    accepts such a description and then fails to read members of an archive by it.
    """
    sets = []
    parts = [field for field in schema if not field["name"].startswith("__")]
    for field in parts:
        part = field["name"]
        members = f"{part}-members"
        key = _field(part, "key", members, "sc:Text", _KEY)
        ending = part.rpartition(".")[2]
        kind = "sc:ImageObject" if ending in IMAGE_PARTS else "sc:Text"
        kind = "sc:VideoObject" if ending in VIDEO_PARTS else kind
        content = _field(part, "content", members, kind, {"fileProperty": "content"})
        if "struct" in field:
            content["description"] = "JSON object: " + ", ".join(_described(f) for f in field["struct"])
        sets.append(
            _record_set(
                part, f"The {part} part of each sample; the key ties it to the others.", [key, content]
            )
        )
    return sets


def _described(field: Json) -> str:
    kind = field.get("dtype") or ("list" if "list" in field else "object")
    return f"{field['name']} ({kind})"


def _record_set(name: str, description: str, fields: list[Json]) -> Json:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "key": {"@id": f"{name}/key"},
        "field": fields,
    }


def _field(record_set: str, name: str, files: str, kind: str, extract: Json) -> dict[str, Json]:
    source: dict[str, Json] = {"fileSet": {"@id": files}, "extract": extract}
    if extract == _KEY:
        source["transform"] = {"regex": r"^([^.]+)(?:\..*)?$"}  # a join takes it twice
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": f"{record_set}/{name}",
        "dataType": kind,
        "source": source,
    }
