"""What ``list``, ``show`` and ``plan`` say of mixtures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gristmill.cli.options import setting_lines
from gristmill.ledger.words import count_text, size_text
from gristmill.spec.mixture import Mixture, Part

__all__ = ["PlannedMix", "card", "line", "plain", "plan_mixture"]


def plain(mixture: Mixture) -> dict[str, Any]:
    """A mixture as plain data."""
    return {
        "name": mixture.public_name,
        "version": mixture.version,
        "stages": list(mixture.stages),
        "parts": [asdict(part) for part in mixture.parts],
        "steps": [mixture.shuffle.identity()],
        "license": mixture.license,
        "redistribution": mixture.redistribution,
        "homepage": mixture.homepage,
        "title": mixture.title,
        "description": mixture.description,
        "traps": list(mixture.traps),
    }


def line(mixture: Mixture, wide: int) -> str:
    """A mixture in one line of ``gristmill list``."""
    name = mixture.public_name
    return f"{name:<{wide}}{','.join(mixture.stages):<10}mixture of {len(mixture.parts)} parts: gristmill show {name}"


def card(mixture: Mixture) -> str:
    """For a person."""
    lines = [f"{mixture.title} ({mixture.public_name} {mixture.version})", "", mixture.description, ""]
    lines += [
        f"homepage  {mixture.homepage}",
        f"licence   {mixture.license}; may be passed on: {mixture.redistribution}",
        "",
        "parts, in order:",
    ]
    wide = max(len(part.name) for part in mixture.parts)
    for part in mixture.parts:
        more = f"  {part.published}" if part.published else ""
        prefix = f"  keys begin with {part.prefix}" if part.prefix else ""
        lines.append(f"  {part.name:<{wide}}  weight {part.weight:g}{prefix}{more}")
    lines += ["", "settings (--set STEP.FIELD=VALUE):", *setting_lines(mixture.shuffle)]
    if mixture.traps:
        lines += ["", "known traps:", *(f"  - {trap}" for trap in mixture.traps)]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMix:
    """The figures of a mixture.

    Attributes:
        parts: For each part its state, and samples and bytes where it is finished.
        disk_bytes: What its shards will amount to; None while a part is missing.
    """

    name: str
    version: str
    parts: list[dict[str, Any]]
    samples: int | None
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
                said += f", {part['samples']:,} samples, {size_text(part['bytes'])}"
            lines.append(f"part {part['part']:<32} {said}")
        known = self.samples is not None and self.disk_bytes is not None
        lines.append(f"samples            {self.samples:,}" if known else "samples            not known yet")
        lines.append(
            f"disk               about {size_text(self.disk_bytes or 0)} more; twice that with shuffle.copy=true"
            if known
            else "disk               as much as all parts together, beside them"
        )
        missing = [part["part"] for part in self.parts if part["samples"] is None]
        if missing:
            lines.append(
                f"to be prepared     {count_text(len(missing), 'part')}; all by gristmill run {self.name} --out DIR; "
                f"what each takes: gristmill plan {missing[0]}"
            )
        return lines


def plan_mixture(mixture: Mixture, out: Path | None, replaced: Mapping[str, str]) -> PlannedMix:
    """What mixing would write, by the manifests of the parts that are there."""
    parts = [_planned(part, out, replaced) for part in mixture.parts]
    known = all(part["samples"] is not None for part in parts)
    return PlannedMix(
        name=mixture.public_name,
        version=mixture.version,
        parts=parts,
        samples=sum(part["taken"] for part in parts) if known else None,
        disk_bytes=sum(int(part["bytes"] * part["weight"]) for part in parts) if known else None,
    )


def _planned(part: Part, out: Path | None, replaced: Mapping[str, str]) -> dict[str, Any]:
    from gristmill.run.mixture_parts import place_of, read_manifest

    folder = None if out is None and part.name not in replaced else place_of(part, out or Path(), replaced)
    manifest = None if folder is None else read_manifest(folder)
    found: dict[str, Any] = {
        "part": part.name,
        "weight": part.weight,
        "folder": str(folder) if folder else None,
    }
    if manifest is None or not manifest.get("complete"):
        state = "not finished" if manifest else "not there" if folder else "look at a folder with --out"
        return {**found, "state": state, "samples": None, "taken": None, "bytes": None}
    samples = sum(shard["samples"] for shard in manifest["shards"])
    size = sum(shard["size_bytes"] for shard in manifest["shards"])
    state = f"finished, version {manifest['version']}"
    return {**found, "state": state, "samples": samples, "taken": part.taken(samples), "bytes": size}
