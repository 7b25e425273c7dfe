"""Describes mixtures for ``list`` and ``show``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gristmill.cli.options import setting_lines
from gristmill.spec.command import to_type
from gristmill.spec.mixture import Mixture

__all__ = ["card", "line", "plain"]


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
    stages = ",".join(mixture.stages)
    return f"{name:<{wide}}{stages:<9}mixture of {len(mixture.parts)} parts"


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
        cap = f", at most {part.cap:,}" if part.cap is not None else ""
        which = f", {part.subset} ones" if part.subset != "even" else ""
        where = f", where {' and '.join(part.where)}" if part.where else ""
        by = (
            f"  by {to_type(*part.command)}" if part.command else f"  in {part.folder}" if part.folder else ""
        )
        lines.append(f"  {part.name:<{wide}}  weight {part.weight:g}{cap}{which}{where}{prefix}{more}{by}")
    lines += ["", "settings (--set STEP.FIELD=VALUE):", *setting_lines(mixture.shuffle)]
    if mixture.traps:
        lines += ["", "known traps:", *(f"  - {trap}" for trap in mixture.traps)]
    return "\n".join(lines)
