"""Mixtures that are the stages of one training, by their one name: planned together, prepared one after another."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import click

from gristmill import mixtures
from gristmill.cli.many import for_each
from gristmill.cli.options import source_keys
from gristmill.cli.overview import of_mixtures, print_overview, write_page
from gristmill.cli.planned_mix import PlannedMix, plan_mixture
from gristmill.cli.prepare import Typed, own_settings, prepare_and_mix
from gristmill.ledger.words import count_text, duration_text, size_text
from gristmill.spec.command import for_part, to_type
from gristmill.spec.errors import UnknownName, UsageError
from gristmill.spec.mixture import Mixture
from gristmill.storage.store import Place

__all__ = ["members_of", "plan_group", "run_group", "waiting_lines"]

_GBIT_BYTES_PER_S = 125e6


def members_of(group: str, stage: str | None) -> list[Mixture]:
    """The mixtures of a group, all of them or those of one stage.

    Raises:
        UsageError: It has none of that stage.
    """
    found = [mixtures.find(name) for name in mixtures.groups()[group]]
    chosen = [mixture for mixture in found if stage is None or stage in mixture.stages]
    if not chosen:
        stages = sorted({one for mixture in found for one in mixture.stages})
        raise UsageError(f"--stage {stage}: {group} has {', '.join(stages)}")
    return chosen


def run_group(group: str, stage: str | None, out: Place, typed: Typed, *, as_json: bool) -> None:
    """Prepare the parts of each mixture of a group, and mix them; what cannot be prepared does not stop the rest.

    What a person must fetch or sign is said first. At the end stands one line for each part.

    Raises:
        SomeFailed: Something waits, or failed; all else is done.
        GristmillError: As :func:`gristmill.cli.prepare.prepare_and_mix`.
    """
    members = members_of(group, stage)
    plans = plans_of(members, out, typed.sources, typed.settings, typed.only)
    for line in waiting_lines(plans):
        click.echo(line, err=True)
    given = {member.public_name: _meant_for(member, typed.sources, typed.settings) for member in members}

    def run_one(name: str) -> None:
        sources, settings = given[name]
        prepare_and_mix(name, out, replace(typed, sources=sources, settings=settings), as_json=as_json)

    try:
        for_each([member.public_name for member in members], run_one, as_json=as_json)
    finally:
        parts = of_mixtures(out, plans_of(members, out, typed.sources, typed.settings, typed.only))
        page = write_page(out, group, parts)
        if not as_json:
            print_overview(parts)
            click.echo(f"The same as a page: {page}")


def plans_of(
    members: Sequence[Mixture],
    out: Place | None,
    sources: Mapping[str, str],
    settings: Mapping[str, str],
    only: int | None,
) -> list[PlannedMix]:
    """Plan each of some mixtures, after a look at all that was typed for their parts.

    Raises:
        UsageError: A name or a pattern that fits no part of any of them.
        UnknownName: A source that no part has that the pattern fits.
    """
    _check(members, "--source", [key.partition(".")[0] for key in sources])
    for key in sources:
        if not any(_has_part(member, key) for member in members):
            known = {one for member in members for one in _keys(member, key.partition(".")[0])}
            raise UnknownName("source", key.partition(".")[2], tuple(sorted(known)))
    _check(members, "--set", [key.partition(".")[0] for key in settings if key.count(".") > 1])
    plans = []
    for member in members:
        copies, changed = _meant_for(member, sources, settings)
        own_settings(member, member.public_name, copies, changed)
        plans.append(plan_mixture(member, member.public_name, out, copies, changed, only))
    return plans


def _meant_for(
    member: Mixture, sources: Mapping[str, str], settings: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Of what was typed, that which is for parts of this mixture, or for the mixture itself."""
    names = [part.name for part in member.parts]
    return (
        {key: place for key, place in sources.items() if _has_part(member, key)},
        {
            key: value
            for key, value in settings.items()
            if key.count(".") < 2 or fnmatch.filter(names, key.partition(".")[0])
        },
    )


def _has_part(member: Mixture, key: str) -> bool:
    """Say whether a mixture has a part for ``PART`` or ``PART.KEY``: by a pattern, one that has such a source."""
    pattern, _, source = key.partition(".")
    names = [part.name for part in member.parts]
    if not source or pattern in names:
        return bool(fnmatch.filter(names, pattern))
    return source in _keys(member, pattern)


def _keys(member: Mixture, pattern: str) -> set[str]:
    """Sources of the parts that a pattern fits."""
    names = fnmatch.filter([part.name for part in member.parts], pattern)
    return {key for name in names for key in source_keys(name) or ()}


def _check(members: Sequence[Mixture], option: str, patterns: Iterable[str]) -> None:
    names = [part.name for member in members for part in member.parts]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise UsageError(f"{option} {pattern}...: no part is called so. Parts: {', '.join(names)}")


def plan_group(
    group: str,
    stage: str | None,
    out: Place | None,
    *,
    sources: Mapping[str, str],
    settings: Mapping[str, str],
    only: int | None,
    as_json: bool,
) -> None:
    """Say what preparing all mixtures of a group takes: what a person must do first, then a line a part, sums."""
    plans = plans_of(members_of(group, stage), out, sources, settings, only)
    if as_json:
        click.echo(json.dumps([planned.as_dict() for planned in plans], indent=2))
        return
    for line in (*waiting_lines(plans), *_missing(plans), *_table(plans), *_licences(plans)):
        click.echo(line)
    click.echo(f"All of it: {to_type('run', group, '--out', out or 'DIR')}")


def waiting_lines(plans: Sequence[PlannedMix]) -> list[str]:
    """List what a person must fetch or sign before all can be prepared, each thing once."""
    said: dict[str, list[str]] = {}
    granted: dict[str, list[str]] = {}
    for part in (part for planned in plans for part in planned.parts):
        for sentence in part.get("waits", ()):
            said.setdefault(sentence, []).append(part["part"])
        own = (part.get("plan") or {}).get("access", {})
        for key, needed in own.items() if isinstance(own, dict) else ():
            fetched = not any(
                sentence.startswith((f"{key} ", f"{key}:")) for sentence in part.get("waits", ())
            )
            if fetched and not needed.startswith("open"):
                granted.setdefault(needed, []).append(f"{part['part']}.{key}")
    lines = [f"to be granted first: {needed}: {', '.join(names)}" for needed, names in granted.items()]
    if said:
        parts = {name for names in said.values() for name in names}
        wait = "waits" if len(parts) == 1 else "wait"
        lines.append(
            f"{count_text(len(parts), 'part')} {wait} for you; the others do not. What only you can fetch:"
        )
        for sentence, names in said.items():
            several = list(dict.fromkeys(names))
            typed = for_part(sentence, several[0] if len(several) == 1 else "*")
            lines.append(f"  {', '.join(several)}\n    {typed}")
    return lines


def _missing(plans: Sequence[PlannedMix]) -> list[str]:
    """Say what must be given or installed before parts begin, each thing once."""
    said: dict[str, list[str]] = {}
    for part in (part for planned in plans for part in planned.parts):
        if missing := (part.get("plan") or {}).get("missing"):
            said.setdefault(missing, []).append(part["part"])
    return [f"{', '.join(dict.fromkeys(names))}: will not begin yet: {what}" for what, names in said.items()]


def _table(plans: Sequence[PlannedMix]) -> list[str]:
    wide = max(len(part["part"]) for planned in plans for part in planned.parts) + 2
    head = f"{'part':<{wide + 2}}{'state':<16}{'samples':>12}{'requests':>14}{'to fetch':>10}{'shards':>10}"
    lines = [f"{head}{'1 Gbit/s':>12}{'10 Gbit/s':>12}"]
    seen: set[tuple[str, str]] = set()
    total = 0
    for planned in plans:
        lines.append(f"{planned.name}:")
        for part in planned.parts:
            moved = moved_bytes(part.get("plan"), seen)
            total += moved
            plan = part.get("plan") or {}
            lines.append(
                f"  {part['part']:<{wide}}{part['state'].partition(',')[0]:<16}{_number(part['samples']):>12}"
                f"{_number(plan.get('requests', 0)):>14}{size_text(moved):>10}"
                f"{'?' if part['bytes'] is None else size_text(part['bytes']):>10}{_hours(moved, 1):>12}"
                f"{_hours(moved, 10):>12}"
            )
    disk = [planned.disk_bytes for planned in plans]
    room = "not known" if None in disk else size_text(sum(one or 0 for one in disk))
    lines.append(
        f"all: {size_text(total)} to move, {_hours(total, 1)} at 1 Gbit/s, {_hours(total, 10)} at 10, what several "
        f"parts share counted once; disk at most {room}. Hosts of pictures are slower than a line: see gristmill "
        "plan PART."
    )
    return lines


def moved_bytes(plan: Mapping[str, Any] | None, seen: set[tuple[str, str]]) -> int:
    """Bytes that come over the network for a part; media sources that were counted before are left out.

    Args:
        plan: As :meth:`gristmill.run.planning.plan.Planned.as_dict` has it, or that of a mixture.
        seen: Keys and places of media sources that were counted; added to.
    """
    if plan is None:
        return 0
    moved = int(plan.get("fetch_bytes") or 0) + int(plan.get("receive_bytes") or 0)
    for one in plan.get("media", ()):
        place = (one["key"], str(one["place"]))
        if place not in seen:
            seen.add(place)
            moved += int(one["fetch_bytes"])
    return moved


def _licences(plans: Sequence[PlannedMix]) -> list[str]:
    said = {part["part"]: part["license"] for planned in plans for part in planned.parts if part["license"]}
    lines = [
        "licences, as recipes and sources say:",
        *(f"  {name:<24}{words}" for name, words in said.items()),
    ]
    bound = [
        name
        for name, words in said.items()
        if any(mark in words.lower() for mark in ("-nc", "non-commercial", "not commercial"))
    ]
    unknown = [name for name, words in said.items() if "unknown" in words or "unstated" in words]
    if bound:
        lines.append(f"not for commercial use: {', '.join(bound)}. So is a mixture that holds any of them.")
    if unknown:
        lines.append(f"stated by nobody, at least in part: {', '.join(unknown)}")
    return lines


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _hours(size_bytes: int, gbit: int) -> str:
    return duration_text(size_bytes / (gbit * _GBIT_BYTES_PER_S)) if size_bytes else "-"
