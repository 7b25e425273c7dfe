"""The parts of a mixture as they lie there: finished datasets, known by their records or manifests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from gristmill.ledger.ledger import Ledger
from gristmill.ledger.manifest import MANIFEST, of_records
from gristmill.ledger.run_config import InputFile, RunConfig
from gristmill.run.inputs.resolve import Resolved
from gristmill.spec.command import to_type
from gristmill.spec.errors import ByHandSource, DamagedOutput, UnknownName, UsageError
from gristmill.spec.mixture import Mixture, Part, refuse_same_keys
from gristmill.spec.sample import Json
from gristmill.storage.files import machine_error
from gristmill.storage.store import Place, Store, store_at

__all__ = [
    "Parts",
    "check_keys",
    "find_parts",
    "place_at",
    "place_of",
    "prepared_by",
    "read_manifest",
    "read_part",
]

_MOST = 1 << 62
"""Products of sample counts stay below that, so that they fit into 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All parts of a mixture.

    Attributes:
        resolved: Their shards, part by part.
        said: Part to what :class:`gristmill.ledger.run_config.RunConfig` keeps of it.
        places: Part to where it lies.
    """

    resolved: Resolved
    said: dict[str, dict[str, Json]] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)


def place_of(part: Part, out: Place, replaced: Mapping[str, str]) -> Place:
    """Say where a part lies: as given, as the mixture says, else beside the mixture.

    Raises:
        UsageError: It was given as an address that no store has.
    """
    named = replaced.get(part.name) or part.folder
    return place_at(named, out) if named else out / part.name


def place_at(named: str, out: Place) -> Place:
    """Give a place as a person named it; an object store is asked with what the one at ``out`` is asked with.

    Raises:
        UsageError: It is an address that no store has.
    """
    found = store_at(out).at(named)
    return found if found.local is None else found.local


def prepared_by(part: Part, out: Place) -> tuple[str, ...]:
    """The words of the command that prepares a part: its own, or ``run``, which makes a folder within ``out``."""
    command = part.command or ("run", part.name)
    return (*command, "--out", str(out if command[0] == "run" else out / part.name))


def find_parts(mixture: Mixture, out: Place, replaced: Mapping[str, str], typed: str | None = None) -> Parts:
    """The parts' shards, by their records or manifests; no shard is read.

    Args:
        mixture: Names its parts.
        out: Where the datasets lie.
        replaced: Part to its folder or address, where it lies elsewhere.
        typed: The mixture as it was named, for commands in messages.

    Raises:
        UnknownName: ``replaced`` names no part.
        ByHandSource: A part is not there, or not finished.
        DamagedOutput: A manifest or a shard is not what it should be.
        UsageError: A folder holds something else.
    """
    known = tuple(part.name for part in mixture.parts)
    for name in replaced:
        if name not in known:
            raise UnknownName("part", name, known)
    check_keys(mixture, out, replaced)
    inputs: list[InputFile] = []
    said: dict[str, dict[str, Json]] = {}
    places: dict[str, Place] = {}
    for part in mixture.parts:
        folder = places[part.name] = place_of(part, out, replaced)
        manifest = _finished(part, folder, typed or mixture.public_name)
        shards = list(_shards(part, folder, manifest))
        inputs += shards
        said[part.name] = _said(part, manifest, sum(file.samples or 0 for file in shards))
    sources = {name: str(place) for name, place in places.items()}
    return Parts(resolved=Resolved(inputs=tuple(inputs), sources=sources), said=said, places=places)


def check_keys(mixture: Mixture, out: Place | None, replaced: Mapping[str, str]) -> None:
    """Refuse parts of which is known that their keys are the same, before any is prepared or read.

    Args:
        mixture: Names its parts.
        out: Where the datasets lie, if that is known.
        replaced: Part to its folder or address, where it lies elsewhere.

    Raises:
        RecipeError: Two parts have the same keys.
        DamagedOutput: What a folder says of itself is damaged.
    """
    known = []
    for part in mixture.parts:
        by = part.keyed_by
        if not by and (out is not None or part.folder or part.name in replaced):
            by = _keyed_by(place_of(part, out or Path(), replaced))
        known.append((part, by))
    refuse_same_keys(known)


def _keyed_by(folder: Place) -> str:
    """The command that made a dataset; empty for a recipe, or where there is none."""
    if RunConfig.lies_in(folder):
        config = RunConfig.read(folder)
        return "" if config.built is None else config.recipe
    made = read_manifest(folder) or {}
    return str(made["recipe"]) if made.get("by_command") else ""


def read_manifest(place: Place) -> dict[str, Any] | None:
    """``dataset.json`` of a dataset's folder; None if there is none.

    Raises:
        DamagedOutput: It is not JSON.
    """
    store = store_at(place)
    path = f"{store}/{MANIFEST}"
    try:
        manifest: dict[str, Any] = orjson.loads(store.read(MANIFEST))
    except FileNotFoundError:
        return None
    except orjson.JSONDecodeError as err:
        raise DamagedOutput(
            f"{path} is damaged ({err}). The command that made the dataset writes it anew."
        ) from err
    except OSError as err:
        raise machine_error(err, path) from err
    if not isinstance(manifest, dict):
        raise DamagedOutput(
            f"{path} is damaged: no object. The command that made the dataset writes it anew."
        )
    return manifest


def read_part(place: Place) -> dict[str, Any] | None:
    """Say what a dataset's folder holds, by its records, else by its manifest; None if it has neither.

    Raises:
        DamagedOutput: The one or the other is damaged.
    """
    if not RunConfig.lies_in(place):
        return read_manifest(place)
    return of_records(RunConfig.read(place), Ledger(place))


def _beside(folder: Place) -> Place:
    """Say where the datasets lie that are beside one."""
    return (folder.above or folder) if isinstance(folder, Store) else folder.parent


def _finished(part: Part, folder: Place, mixture: str) -> dict[str, Any]:
    manifest = read_part(folder)
    beside = _beside(folder)
    make = to_type(*prepared_by(part, beside))
    made = beside / part.name
    if manifest is None and made != folder:
        raise ByHandSource(
            f"{mixture}: part {part.name} is not in {folder}. If it lies elsewhere: --source {part.name}=FOLDER\n"
            f"Or prepare it: {make}; it then lies in {made}."
        )
    if manifest is None:
        raise ByHandSource(
            f"{mixture}: part {part.name} is not in {folder}. Prepare it: {make} (or, of a list of URLs: "
            f"{to_type('crawl', 'URLS', '--name', part.name, '--out', folder)})\n"
            f"All parts at once, if each is a recipe: {to_type('run', mixture, '--out', beside)}. "
            f"If it lies elsewhere: --source {part.name}=FOLDER"
        )
    own = part.folder or part.command  # the mixture gives it a name, whatever it is called there
    if manifest.get("name") != part.name and not own and not _is_nameless(manifest):
        raise UsageError(f"{mixture}: {folder} holds {manifest.get('name')!r}, not {part.name!r}.")
    if not _is_whole(manifest):
        raise DamagedOutput(
            f"{folder}/{MANIFEST} is not what a run writes. The command that made the dataset writes it anew."
        )
    if not manifest.get("complete"):
        raise ByHandSource(f"{mixture}: part {part.name} in {folder} is not finished. Finish it: {make}")
    return manifest


def _is_nameless(manifest: Mapping[str, Any]) -> bool:
    """Tell whether nobody named it: what a command made is called after the command, and may be any part."""
    return bool(manifest.get("by_command")) and manifest["name"] == manifest.get("recipe")


def _is_whole(manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest has what is read of it, in its types."""
    kinds = {"path": str, "sha256": str, "size_bytes": int, "samples": int}
    shards = manifest.get("shards")
    return (
        isinstance(manifest.get("version"), str)
        and isinstance(manifest.get("checksum"), str)
        and isinstance(shards, list)
        and all(
            isinstance(shard, dict) and all(isinstance(shard.get(key), kind) for key, kind in kinds.items())
            for shard in shards
        )
        and all(shard["samples"] >= 0 for shard in shards)
    )


def _shards(part: Part, folder: Place, manifest: Mapping[str, Any]) -> Iterator[InputFile]:
    store = store_at(folder)
    listed = () if store.local else ("shards", "references")  # which is cheaper than a request for each
    sizes = {one.name: one.size_bytes for folder in listed for one in store.list(folder)}
    home = store if store.local is None else store.local.resolve()
    for shard in manifest["shards"]:
        name = shard["path"]
        path = f"{folder}/{name}"
        kind = store.irregularity(name)
        if kind is not None or not name.startswith(("shards/", "references/")):
            raise DamagedOutput(
                f"{folder} names {name!r} as a shard, which is {kind or 'none'}. Nothing else than files in "
                "its own folders of shards is mixed; if it came from somebody else, do not trust it."
            )
        again = (
            f"Make it anew: {to_type('verify', folder, '--repair')}, then "
            f"{to_type(*prepared_by(part, _beside(folder)))}, with the options of the first time"
        )
        try:
            size = sizes.get(name) or store.size(name)  # a listing may lag behind
        except OSError as err:
            raise machine_error(err, path) from err
        if size is None:
            raise DamagedOutput(f"{path} is missing, and its dataset's records name it. {again}")
        if size != shard["size_bytes"]:
            raise DamagedOutput(
                f"{path} has {size:,} bytes, its record says {shard['size_bytes']:,}. {again}"
            )
        yield InputFile(
            source=part.name,
            name=name,
            size_bytes=size,
            digest=shard["sha256"],
            path=f"{home}/{name}",
            samples=shard["samples"],
        )


def _said(part: Part, manifest: Mapping[str, Any], samples: int) -> dict[str, Json]:
    taken = part.taken(samples)
    if samples * max(taken, samples) > _MOST:
        raise UsageError(f"part {part.name}: a weight other than 1 is not possible with {samples:,} samples.")
    return {
        "version": manifest["version"],
        "weight": part.weight,
        "subset": part.subset,
        "prefix": part.prefix,
        "samples": samples,
        "taken": taken,
        "checksum": manifest["checksum"],
    }
