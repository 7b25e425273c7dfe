"""``gristmill show NAME``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from gristmill.cli.options import json_option, recipes_of, setting_lines
from gristmill.ledger.words import count_text, size_text
from gristmill.spec.command import to_type
from gristmill.spec.recipe import Recipe


@click.command("show")
@click.argument("name")
@json_option
def command(name: str, as_json: bool) -> None:
    """The card of recipe or mixture NAME: sources or parts, steps and their settings, known traps.

    NAME may also be crawl or import, for the settings of what those commands run.

    \b
    Example:
      gristmill show coyo-700m
      gristmill show my_recipe.py --json
    """
    from gristmill import mixtures, recipes
    from gristmill.cli import mixture_cards

    if mixed := mixtures.groups().get(name) or ((name,) if mixtures.is_mixture(name) else ()):
        told = [mixtures.find(member) for member in mixed]
        if as_json:
            shown = [mixture_cards.plain(mixture) for mixture in told]
            click.echo(json.dumps(shown if len(shown) > 1 else shown[0], indent=2, default=sorted))
        else:
            click.echo("\n\n".join(map(mixture_cards.card, told)))
        return
    found = (
        [recipes.load(name, {"path": recipes.built_by(name).place})]
        if name in recipes.commands()
        else [recipes.find(member) for member in recipes_of(name)]
    )
    if as_json:
        plain = [_plain(recipe) for recipe in found]
        click.echo(json.dumps(plain if len(plain) > 1 else plain[0], indent=2, default=sorted))
    else:
        click.echo(_card(found[0]) if len(found) == 1 else _group(name, found))


def _plain(recipe: Recipe) -> dict[str, Any]:
    return {
        "name": recipe.public_name,
        "version": recipe.version,
        "title": recipe.title,
        "description": recipe.description,
        "homepage": recipe.homepage,
        "license": recipe.license,
        "redistribution": recipe.redistribution,
        "stages": list(recipe.stages),
        "sources": [asdict(source) for source in recipe.sources],
        "steps": [{"step": step.name, **asdict(step)} for step in recipe.steps],
        "expect": asdict(recipe.expect),
        "traps": list(recipe.traps),
    }


def _group(name: str, found: list[Recipe]) -> str:
    lines = [
        f"{name}: {len(found)} recipes, which `{to_type('run', name, '--out', 'DIR')}` prepares in turn",
        "",
    ]
    for recipe in found:
        lines.append(f"{recipe.public_name:<32}{recipe.title}")
        for source in recipe.of_role("rows"):
            size = f", {size_text(source.size_bytes)}" if source.size_bytes else ""
            lines.append(f"{'':<32}{source.key}: {' or '.join(source.patterns)}{size}")
    lines += ["", f"The card of one of them: {to_type('show', found[0].public_name)}"]
    return "\n".join(lines)


def _card(recipe: Recipe) -> str:
    lines = [f"{recipe.title} ({recipe.public_name} {recipe.version})", "", recipe.description, ""]
    lines += [
        f"homepage  {recipe.homepage}",
        f"licence   {recipe.license}; may be passed on: {recipe.redistribution}",
    ]
    for source in recipe.sources:
        place = source.home or source.path or source.by_hand
        lines += [f"{source.role:<10}{source.key}: {place} ({', '.join(source.patterns)}), {source.access}"]
        if source.role == "media":
            told = {
                "title": source.title,
                "licence": source.license,
                "terms": source.terms,
                "at": source.address,
            }
            lines += [f"{'':<10}{word}: {said}" for word, said in told.items() if said]
            for one in source.layouts:
                such = f", such as {one.example}" if one.example else ""
                lines.append(f"{'':<10}layout {one.name}: {one.member} as {one.path}{such}")
        if source.number:
            lines += [f"          in {source.order} order ({source.key}.order: numeric or published)"]
        if source.size_bytes:
            files = count_text(source.files or 0, "file")
            rows = f", {source.rows:,} rows" if source.rows else ""
            lines += [f"          {files}, {size_text(source.size_bytes)}{rows}"]
    lines += ["", "steps, with their settings (--set STEP.FIELD=VALUE):"]
    for step in recipe.steps:
        lines += setting_lines(step)
    lines += [
        "",
        f"expected  at least {recipe.expect.kept_share:.0%} of what is asked for. {recipe.expect.remark}".rstrip(),
    ]
    if recipe.traps:
        lines += ["", "known traps:", *(f"  - {trap}" for trap in recipe.traps)]
    return "\n".join(lines)
