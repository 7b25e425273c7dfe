"""``gristmill list``."""

from __future__ import annotations

import json
from textwrap import shorten
from typing import Any, get_args

import click

from gristmill.cli.options import json_option
from gristmill.spec.command import to_type
from gristmill.spec.recipe import Access, Recipe

_COLUMNS = 80


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """Recipes, and mixtures of them, that come with Gristmill.

    \b
    Example:
      gristmill list
      gristmill list --json
    """
    from gristmill import mixtures, recipes
    from gristmill.cli.mixture_cards import line, plain
    from gristmill.ledger.words import short_count, size_text

    found = [recipes.find(name) for name in recipes.names()]
    mixed = [mixtures.find(name) for name in mixtures.names()]
    if as_json:
        listed = [*(_plain(recipe) for recipe in found), *(plain(mixture) for mixture in mixed)]
        click.echo(json.dumps(listed, indent=2))
        return
    names = [*(recipe.public_name for recipe in found), *(mixture.public_name for mixture in mixed)]
    wide = max(map(len, names)) + 1
    click.echo(f"{'name':<{wide}}{'stage':<9}{'rows':>6}{'size':>9}  {'access':<7}{'license'}")
    for recipe in found:
        facts = _plain(recipe)
        size = size_text(facts["bytes"])
        stages = ",".join(facts["stages"])
        rows = "?" if facts["rows"] is None else short_count(facts["rows"])
        access = max(
            facts["access"], key=get_args(Access).index
        )  # the hardest of them is what stops a person
        line_of = f"{facts['name']:<{wide}}{stages:<9}{rows:>6}{size:>9}  {access:<7}"
        room = max(_COLUMNS - len(line_of), len("..."))
        click.echo(line_of + shorten(facts["license"], room, placeholder="..."))
    for group, members in recipes.groups().items():
        click.echo(f"{group:<{wide}}{len(members)} recipes as one")
    for mixture in mixed:
        click.echo(line(mixture, wide))
    for group, mixed_names in mixtures.groups().items():
        click.echo(f"{group:<{wide}}{len(mixed_names)} mixtures, the stages of one training")
    click.echo(f"More of each: {to_type('show', 'NAME')}")


def _plain(recipe: Recipe) -> dict[str, Any]:
    return {
        "name": recipe.public_name,
        "version": recipe.version,
        "stages": list(recipe.stages),
        "rows": recipe.published_rows,
        "bytes": sum(source.size_bytes or 0 for source in recipe.sources),
        "access": sorted({source.access for source in recipe.sources}),
        "license": recipe.license,
        "title": recipe.title,
        "groups": list(recipe.groups),
    }
