"""``dataset.json``: the manifest. The same records give the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import orjson

from gristmill import __version__
from gristmill.ledger.documents import documents
from gristmill.ledger.funnel import Funnel, funnel
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.mixture_parts import parts_account
from gristmill.ledger.run_config import InputFile, RunConfig
from gristmill.ledger.totals import Totals
from gristmill.media.video.versions import versions
from gristmill.shards.lossless import readable, utf8
from gristmill.spec.recipe import Recipe
from gristmill.spec.sample import Json
from gristmill.spec.task import ShardInfo, digest_of

__all__ = [
    "FORMAT",
    "MANIFEST",
    "listing_digest",
    "manifest",
    "manifest_bytes",
    "of_records",
    "shards_of",
]

MANIFEST = "dataset.json"
FORMAT = "gristmill-dataset-1"
"""Raised when a key changes its meaning; new keys do not raise it."""

CLIP = "clip"
"""The step whose bytes depend on the version of a library."""

_LISTED_FILES = 1000


def manifest_bytes(
    recipe: Recipe, config: RunConfig, ledger: Ledger, libraries: Mapping[str, str] | None = None
) -> bytes:
    """The content of ``dataset.json``; see :func:`manifest`."""
    return orjson.dumps(
        readable(manifest(recipe, config, ledger, libraries)),
        option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
        default=_plain,
    )


def manifest(
    recipe: Recipe, config: RunConfig, ledger: Ledger, libraries: Mapping[str, str] | None = None
) -> dict[str, Json]:
    """Say what the manifest says, as plain data; see ``docs/reference`` for its keys.

    Args:
        recipe: With its settings.
        config: What the folder was begun with.
        ledger: Its records.
        libraries: Versions of those that wrote the clips; None for those that are installed here.
    """
    totals = ledger.totals()
    levels = funnel(totals, config)
    shards = shards_of(ledger)
    pages = documents(totals, levels)
    return {
        "format": FORMAT,
        "name": recipe.public_name,
        "version": recipe.version,
        "title": recipe.title,
        "description": recipe.description,
        "homepage": recipe.homepage,
        "license": recipe.license,
        "redistribution": recipe.redistribution,
        "citation": recipe.citation,
        "traps": list(recipe.traps),
        "gristmill": __version__,
        **(
            {"libraries": dict(versions() if libraries is None else libraries)}
            if any(step.name == CLIP for step in recipe.steps)
            else {}
        ),
        "finished_at": _iso(totals.finished_at),
        "complete": levels.complete and levels.adds_up,
        "counts": _counts(levels, totals, shards),
        "dropped": levels.dropped(),
        "changes": totals.changes,
        "funnel": levels.to_json(),
        **({"documents": pages.to_json()} if pages else {}),
        "recipe": config.recipe,
        "by_command": config.built is not None,
        "arguments": dict(config.arguments),
        "settings": dict(config.settings),
        "only": config.only,
        "rounds": [list(reasons) for reasons in config.rounds],
        "steps": list(config.identity["steps"]),
        "identity": digest_of(config.identity),
        "parts": [account.to_json() for account in parts_account(config, ledger)],
        "sources": [_source(key, recipe, config) for key in dict.fromkeys(i.source for i in config.files)],
        "shards": [_shard(shard) for shard in shards],
        "checksum": listing_digest((shard.path, shard.digest) for shard in shards),
        "notes": totals.notes,
    }


def of_records(config: RunConfig, ledger: Ledger) -> dict[str, Json]:
    """Of what a manifest says, that which a mixture reads of a part: by the records alone."""
    levels, shards = funnel(ledger.totals(), config), shards_of(ledger)
    return {
        "name": config.name,
        "recipe": config.recipe,
        "by_command": config.built is not None,
        "version": config.version,
        "complete": levels.complete and levels.adds_up,
        "counts": {"packed": levels.count("packed")},
        "settings": dict(config.settings),
        "only": config.only,
        "shards": [_shard(shard) for shard in shards],
        "checksum": listing_digest((shard.path, shard.digest) for shard in shards),
    }


def shards_of(ledger: Ledger) -> list[ShardInfo]:
    """The finished shards, in the dataset's order."""
    return [shard for record in ledger.shards() for shard in record.outputs if shard.role == "shard"]


def _counts(levels: Funnel, totals: Totals, shards: list[ShardInfo]) -> dict[str, int]:
    facts = totals.of("making").facts
    return {
        **{level.name: level.count for level in levels.levels},
        "waiting": sum(level.waiting for level in levels.levels),
        "files": levels.files,
        "files_read": levels.files_read,
        "shards": len(shards),
        "shard_bytes": sum(shard.size_bytes for shard in shards),
        "annotation_bytes": totals.annotations[0],
        "annotation_requests": totals.annotations[1],
        "requests": int(facts["requests"]),
        "received_bytes": int(facts["bytes_in"]),
        "listed_sizes": int(facts["listed_sizes"]),
        "other_sizes": int(facts["other_sizes"]),
    }


def _source(key: str, recipe: Recipe, config: RunConfig) -> dict[str, Json]:
    """A source as it was pinned; beyond a thousand files their number and a digest of their listing."""
    inputs = [i for i in config.files if i.source == key]
    pinned = next((s for s in recipe.sources if s.key == key), None)
    said: dict[str, Json] = {"key": key}
    if pinned is not None:
        said |= {
            "hub": pinned.hub,
            "revision": config.revision_of(pinned),
            **({"url": pinned.url} if pinned.url else {}),
            "license": pinned.license,
            "access": pinned.access,
        }
    place = config.sources.get(key, "")
    if config.built and not Path(place).is_absolute():  # somebody's own folders are nobody's business
        said["place"] = place
    said |= {
        "local_copy": any(i.path is not None for i in inputs),
        "files": len(inputs),
        "size_bytes": sum(i.size_bytes for i in inputs),
        "listing": listing_digest((i.name, i.digest) for i in inputs),
    }
    if len(inputs) <= _LISTED_FILES:
        said["inputs"] = [_input(i) for i in inputs]
    return said


def _input(file: InputFile) -> dict[str, Json]:
    return {"name": file.name, "size_bytes": file.size_bytes, "digest": file.digest}


def _shard(shard: ShardInfo) -> dict[str, Json]:
    return {
        "path": shard.path,
        "samples": shard.samples,
        "size_bytes": shard.size_bytes,
        "sha256": shard.digest,
    }


def listing_digest(files: Iterable[tuple[str, str]]) -> str:
    """SHA-256 of the lines that ``sha256sum`` would print for these files."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in files)
    return hashlib.sha256(utf8(lines)).hexdigest()


def _iso(unix_s: float | None) -> str | None:
    return None if unix_s is None else datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(value: object) -> Json:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} cannot stand in a manifest: {value!r}")
