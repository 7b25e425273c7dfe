"""Options that say how a list's file is framed, as settings of the step ``rows`` under friendlier names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from gristmill.shards.framing import DELIMITERS, QUOTING

__all__ = ["framing_options", "framing_settings"]

F = TypeVar("F", bound=Callable[..., Any])

_NAMES = {
    "header": "header",
    "columns": "names",
    "delimiter": "delimiter",
    "quoting": "quoting",
    "encoding": "encoding",
    "array": "array",
}


def framing_options(function: F) -> F:
    """Say what a list's file does not say of itself."""
    for option in reversed(
        [
            click.option(
                "--header/--no-header",
                default=None,
                help="csv, tsv: the first line names the columns, or is a row.",
            ),
            click.option("--columns", metavar="A,B,...", help="Names, for --no-header."),
            click.option(
                "--delimiter",
                metavar="CHAR",
                help=f"csv, tsv: one character, or {', '.join(list(DELIMITERS)[:4])}.",
            ),
            click.option(
                "--quoting",
                type=click.Choice(QUOTING),
                help="csv, tsv: whether quotes hold fields together (auto: csv does, tsv as its beginning shows).",
            ),
            click.option("--encoding", metavar="NAME", help="Of a text list: cp1252, utf-16, ... (utf-8)."),
            click.option(
                "--rows", "array", metavar="KEY.KEY", help="json: the way to the rows in one object."
            ),
        ]
    ):
        function = option(function)
    return function


def framing_settings(given: Mapping[str, Any]) -> dict[str, str]:
    """Those that were given, as ``STEP.FIELD`` settings."""
    return {
        f"rows.{name}": str(given[option]).lower() if option == "header" else given[option]
        for option, name in _NAMES.items()
        if given[option] is not None
    }
