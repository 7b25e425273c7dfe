"""Doing the same for each recipe of a group: one that fails does not stop the others."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Sequence

import click

from gristmill.spec.errors import GristmillError, Interrupted, MachineError, OursNotTheirs

__all__ = ["SomeFailed", "for_each"]

_WORST_FIRST = (1, 2, 75, 3)


class SomeFailed(GristmillError):
    """Something went wrong with some of the recipes of a group; its exit code is the worst of theirs."""

    def __init__(self, sentences: tuple[str, ...], of: int, exit_code: int) -> None:
        super().__init__(sentences, of, exit_code)
        self.sentences, self.of = sentences, of
        self.exit_code = exit_code

    def __str__(self) -> str:
        head = f"{len(self.sentences)} of {self.of} did not end as they should (more is said above):"
        return "\n".join([head, *(f"  {sentence}" for sentence in self.sentences)])


def for_each(names: Sequence[str], work: Callable[[str], None], *, as_json: bool) -> None:
    """Call ``work`` with each name, in order; a machine at its end or a signal ends all at once.

    Args:
        names: Recipes of the group.
        work: Prints its result on stdout, raises what goes wrong.
        as_json: Its results are JSON: put them into one array with each recipe's name and exit code.

    Raises:
        SomeFailed: At the end, if any failed.
        GristmillError: As ``work``, where there is only one name.
    """
    if len(names) == 1:
        work(names[0])
        return
    failed: list[tuple[str, GristmillError]] = []
    results: list[dict[str, object]] = []
    for name in names:
        caught = io.BytesIO()
        printed = io.TextIOWrapper(caught, "utf-8", write_through=True)  # some results are printed as bytes
        said: GristmillError | None = None
        if not as_json:
            click.echo(f"== {name}")
        try:
            with contextlib.redirect_stdout(printed) if as_json else contextlib.nullcontext():
                work(name)
        except (Interrupted, MachineError, OursNotTheirs):
            raise
        except GristmillError as err:
            said = err
            failed.append((name, err))
            if not err.told:
                click.echo(f"{name}: {err}", err=True)
        if as_json:
            results.append(_result(name, caught.getvalue(), said))
    if as_json:
        click.echo(json.dumps(results, indent=2))
    if failed:
        codes = {err.exit_code for _, err in failed}
        worst = next((code for code in _WORST_FIRST if code in codes), 1)
        sentences = tuple(f"{name}: {_first_sentence(name, err)}" for name, err in failed)
        raise SomeFailed(sentences, len(names), worst)


def _first_sentence(name: str, err: GristmillError) -> str:
    lines = str(err).splitlines()
    said = next((line.strip() for line in lines if not line.endswith(":")), lines[0])
    return said.removeprefix(f"{name}: ").partition(". ")[0].removesuffix(".")


def _result(name: str, printed: bytes, err: GristmillError | None) -> dict[str, object]:
    return {
        "name": name,
        "exit_code": err.exit_code if err else 0,
        "error": str(err) if err else None,
        "result": json.loads(printed) if printed.strip() else None,
    }
