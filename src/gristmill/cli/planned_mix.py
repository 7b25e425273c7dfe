"""Plans a mixture: its parts as they lie on disk, and what those would take that are not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from gristmill import mixtures
from gristmill.cli.options import of_part, recipe_loader, source_keys
from gristmill.cli.prepare import is_own, refuse_own_part
from gristmill.ledger.words import count_text, size_text
from gristmill.run.inputs.mixture_parts import check_keys, place_of, prepared_by, read_manifest, read_part
from gristmill.run.planning.plan import Planned, PlannedMedia, media_bytes, plan
from gristmill.spec.command import to_type
from gristmill.spec.mixture import Mixture, Part
from gristmill.spec.recipe import Recipe
from gristmill.storage.store import Place

__all__ = ["PlannedMix", "plan_mixture"]

_REFERENCE_BYTES = 100
"""Of a sample in an index-only mixture, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMix:
    """The figures of a mixture. None where a part is missing of which nothing is known.

    Attributes:
        prepare: The command that prepares the parts and mixes them.
        parts: For each part its state, its samples and the bytes of its shards, counted where it is finished and
            otherwise estimated, and then also what preparing it takes.
        samples: Of the mixture.
        counted: All parts are finished: nothing is estimated.
        thinned: Conditions, or pictures that several parts have, leave out some of them; how many is counted when it
            is mixed.
        access: What the sources of parts that are not finished ask for.
        fetch_bytes: Annotations of those parts; at most.
        fetch_requests: Requests for them; at least.
        requests: Media to be asked for.
        receive_bytes: What their answers will amount to.
        media: Media sources of those parts, each once.
        index_only: Its shards say where samples lie in those of the parts.
        shard_bytes: What the mixture's shards will amount to.
        disk_bytes: Most that lies on disk at once beside what is there: the mixture's shards, and for parts that are
            not finished their shards, as much again for media not yet packed, their media sources, and the
            annotation files of one part.
    """

    name: str
    version: str
    prepare: str
    parts: list[dict[str, Any]]
    samples: int | None
    counted: bool
    thinned: bool
    access: list[str]
    fetch_bytes: int
    fetch_requests: int
    requests: int | None
    receive_bytes: int | None
    media: tuple[PlannedMedia, ...]
    index_only: bool
    shard_bytes: int | None
    disk_bytes: int | None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For a person."""
        lines = [f"{self.name} {self.version}"]
        for part in self.parts:
            said = part["state"]
            if part["samples"] is not None:
                about = "" if part["finished"] else "about "
                said += f"; {about}{part['samples']:,} samples, {size_text(part['bytes'])}"
            lines.append(f"part {part['part']:<32} {said}")
        missing = [part["part"] for part in self.parts if not part["finished"]]
        if missing:
            lines += [f"access             {needed}" for needed in self.access]
            if self.fetch_requests:
                lines.append(
                    f"annotations        {size_text(self.fetch_bytes)} to fetch at most, in about "
                    f"{count_text(self.fetch_requests, 'request')}"
                )
            if self.requests != 0:
                lines.append(
                    f"requests           {_known(self.requests)}, {_size(self.receive_bytes)} to receive"
                )
            lines += [line for one in self.media for line in one.lines(layouts=False)]
            if fetched := media_bytes(self.media):
                lines.append(f"all media          {size_text(fetched)} to fetch")
        about = "" if self.counted or self.samples is None else "about "
        if self.thinned and self.samples is not None:
            about = "at most " + about
        lines.append(f"samples            {about}{_known(self.samples)}")
        lines.append(f"shards             {_size(self.shard_bytes)}")
        lines.append(
            f"disk, at most      {_size(self.disk_bytes)}"
            + ("" if self.disk_bytes is None else " more, with all parts")
            if missing
            else f"disk               {_size(self.disk_bytes)} more"
            + ("; samples stay in the parts" if self.index_only else "; twice that with shuffle.copy=true")
        )
        if missing:
            known = [part["part"] for part in self.parts if "plan" in part]
            lines.append(
                f"to be prepared     {count_text(len(missing), 'part')}, all by {self.prepare}"
                + (
                    f"; figures are published ones, of each part: {to_type('plan', known[0])}"
                    if known
                    else ""
                )
            )
        return lines


def plan_mixture(
    mixture: Mixture,
    reference: str,
    out: Place | None,
    sources: Mapping[str, str],
    settings: Mapping[str, str],
    only: int | None,
) -> PlannedMix:
    """Work out what a run of the mixture would fetch and write, by the manifests of the parts that are there.

    Args:
        mixture: Names its parts.
        reference: By which it was named.
        out: The folder that holds the datasets, if there is one.
        sources: ``PART`` to the folder of a finished dataset; ``PART.KEY`` to a copy of one of its sources.
        settings: ``PART.STEP.FIELD`` of a part.
        only: Rows per annotation file.

    Raises:
        GristmillError: As for a run: a wrong setting, a copy that cannot be read.
    """
    check_keys(mixture, out, sources)
    parts: list[dict[str, Any]] = []
    plans: list[Planned | PlannedMix] = []
    for part in mixture.parts:
        place = _place(part, out, sources)
        found = _finished(part, place)
        if not found["finished"] and part.command:
            found["state"] = f"to be prepared: {to_type(*prepared_by(part, out or Path('DIR')))}"
        elif not found["finished"]:
            if part.folder or is_own(part.name):
                refuse_own_part(part, out)
            own = of_part(part.name, sources, source_keys(part.name)), of_part(part.name, settings)
            planned, kept, waits = _planned(part, out, *own, only)
            found |= {
                "samples": kept,
                "bytes": planned.shard_bytes,
                "plan": planned.as_dict(),
                "waits": waits,
            }
            if waits and found["state"] != "not finished":
                found["state"] = "waits for you"
            plans.append(planned)
        parts.append({**found, "license": _license(part, place)})
    samples = _sum(
        None if found["samples"] is None else part.taken(found["samples"])
        for part, found in zip(mixture.parts, parts, strict=True)
    )
    shard_bytes = _sum(
        None if found["bytes"] is None else int(found["bytes"] * part.weight)
        for part, found in zip(mixture.parts, parts, strict=True)
    )
    if mixture.shuffle.refers and samples is not None:
        shard_bytes = samples * _REFERENCE_BYTES
    return PlannedMix(
        name=mixture.public_name,
        version=mixture.version,
        prepare=to_type("run", reference, "--out", out or "DIR"),
        parts=parts,
        samples=samples,
        counted=all(found["finished"] for found in parts),
        thinned=any(part.where for part in mixture.parts) or mixture.shuffle.without_duplicates,
        access=sorted({needed for planned in plans for needed in _access(planned)}),
        fetch_bytes=sum(planned.fetch_bytes for planned in plans),
        fetch_requests=sum(planned.fetch_requests for planned in plans),
        requests=_sum(planned.requests for planned in plans),
        receive_bytes=_sum(planned.receive_bytes for planned in plans),
        media=(media := _media(plans)),
        index_only=mixture.shuffle.refers,
        shard_bytes=shard_bytes,
        disk_bytes=_sum([shard_bytes, _disk(plans), media_bytes(media)]),
    )


def _planned(
    part: Part, out: Place | None, sources: Mapping[str, str], settings: Mapping[str, str], only: int | None
) -> tuple[Planned | PlannedMix, int | None, list[str]]:
    """What preparing a part takes, how many samples will be in it, and what a person must do first."""
    if mixtures.is_mixture(part.name):
        mix = plan_mixture(mixtures.find(part.name), part.name, out, sources, settings, only)
        return mix, mix.samples, [said for found in mix.parts for said in found.get("waits", ())]
    recipe = recipe_loader(part.name, None, dict(settings))()
    planned = plan(recipe, sources, only=only, folder=None, offline=True)
    share = recipe.expect.usual_share or recipe.expect.kept_share or 1.0
    kept = None if planned.samples is None else int(planned.samples * share)
    return planned, kept, _waits(recipe, out, sources)


def _waits(recipe: Recipe, out: Place | None, sources: Mapping[str, str]) -> list[str]:
    """What only a person can fetch, and neither named nor put into ``DIR/sources``, in sentences."""
    from gristmill.run.inputs.local_media import put_by_hand, to_fetch
    from gristmill.run.inputs.media import shared_folder

    shared = None if out is None else shared_folder(out / recipe.public_name)
    said = []
    (rows,) = recipe.of_role("rows")[:1]
    for source in recipe.sources:
        if source.key in sources or source.home or source.path or source.role == "aux":
            continue
        if source.unless and rows.key not in sources and fnmatch(rows.patterns[0], source.unless):
            continue
        if source.role == "rows":
            said.append(f"{source.key}: {source.by_hand}")
        elif shared is None or put_by_hand(source, shared) is None:
            said.append(to_fetch(source, shared))
    return said


def _license(part: Part, folder: Place | None) -> str:
    """The licences of a part, each once; of a mixture those of its parts. Empty where nothing is known yet."""
    own, media = _licenses(part, folder)
    return ", ".join(sorted(own)) + (f"; media: {', '.join(sorted(media - own))}" if media - own else "")


def _licenses(part: Part, folder: Place | None) -> tuple[set[str], set[str]]:
    """Licences as the recipe of a part says, and as the sources of its media say."""
    reference = part.command[1] if part.command[:1] == ("run",) else part.name
    if part.folder or part.command[:1] not in ((), ("run",)) or (not part.command and is_own(reference)):
        said = (read_manifest(folder) or {}).get("license") if folder is not None else None
        return ({str(said)} if said else set()), set()
    if mixtures.is_mixture(reference):
        found = [
            _licenses(inner, Path(inner.folder) if inner.folder else None)
            for inner in mixtures.find(reference).parts
        ]
        return set().union(*(own for own, _ in found)), set().union(*(media for _, media in found))
    recipe: Recipe = recipe_loader(reference)()
    return {recipe.license}, {source.license for source in recipe.of_role("media")}


def _access(planned: Planned | PlannedMix) -> Sequence[str]:
    return planned.access if isinstance(planned, PlannedMix) else [*planned.access.values()]


def _place(part: Part, out: Place | None, sources: Mapping[str, str]) -> Place | None:
    unknown = out is None and part.name not in sources and not part.folder
    return None if unknown else place_of(part, out or Path(), sources)


def _finished(part: Part, folder: Place | None) -> dict[str, Any]:
    manifest = None if folder is None else read_part(folder)
    found: dict[str, Any] = {
        "part": part.name,
        "weight": part.weight,
        "folder": str(folder) if folder else None,
        "finished": bool(manifest and manifest.get("complete")),
    }
    if manifest is None or not found["finished"]:
        state = "not finished" if manifest else "not there" if folder else "to be prepared"
        return {**found, "state": state, "samples": None, "bytes": None}
    return {
        **found,
        "state": f"finished, version {manifest['version']}",
        "samples": sum(shard["samples"] for shard in manifest["shards"]),
        "bytes": sum(shard["size_bytes"] for shard in manifest["shards"]),
    }


def _disk(plans: Sequence[Planned | PlannedMix]) -> int | None:
    """Parts are prepared one after another: of their annotation files only one part's lie on disk. Without media."""
    if any(planned.disk_bytes is None or planned.shard_bytes is None for planned in plans):
        return None
    shards = [2 * (planned.shard_bytes or 0) for planned in plans]
    beside = [
        (planned.disk_bytes or 0) - media_bytes(planned.media) - packed
        for planned, packed in zip(plans, shards, strict=True)
    ]
    return max([0, *beside]) + sum(shards)


def _media(plans: Sequence[Planned | PlannedMix]) -> tuple[PlannedMedia, ...]:
    """The media sources of all parts; what several share is fetched once."""
    return tuple({(one.key, one.place): one for planned in plans for one in planned.media}.values())


def _sum(values: Any) -> int | None:
    found = list(values)
    return None if None in found else sum(found)


_NOT_YET = "not known before all parts are finished"


def _known(value: int | None) -> str:
    return _NOT_YET if value is None else f"{value:,}"


def _size(value: int | None) -> str:
    return _NOT_YET if value is None else f"about {size_text(value)}"
