"""The option ``--share``: which part of the work a command does, as it is typed or as Slurm says."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["no_share_option", "share_option"]

F = TypeVar("F", bound=Callable[..., Any])

_WHOLE = "Submit the whole array, `sbatch --array=1-N`, or name the share yourself, as 3/16."


def share_option(function: F) -> F:
    """``--share``."""
    said = "Of N commands on one DIR this is the Ith: it does its share. `slurm`: as the job array says."
    return click.option("--share", callback=_share, metavar="I/N", help=said)(function)


def no_share_option(function: F) -> F:
    """``--share``, of a command that is not divided, for whoever gives it to a job array."""
    return click.option("--share", callback=_no_share, hidden=True, expose_value=False)(function)


def _no_share(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.BadParameter(
            f"{ctx.info_name} is not divided: it is one command, in a job of its own, without --share."
        )


def _share(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """``I/N``, or what Slurm says of a job in an array, as a pair of numbers, from 1 on."""
    if value is None:
        return None
    text = _slurm_share() if value == "slurm" else value
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        given = value or "an empty text"
        raise click.BadParameter(
            f"{given}: expected I/N, this command's number and of how many, as 1/16 to 16/16."
        )
    return int(number), int(of)


def _slurm_share() -> str:
    """Say the share of a job in an array of Slurm's (sbatch(1), output environment variables).

    Raises:
        BadParameter: Outside of an array. In one with gaps, as ``--array=1,7``: nobody would do the shares between.
            In one that begins elsewhere than at 0 or 1, as ``--array=5-8``: that is a piece of a larger one, of which
            Slurm does not say how many jobs it had.
    """
    given = {name: os.environ.get(f"SLURM_ARRAY_TASK_{name}", "") for name in ("ID", "MIN", "MAX", "COUNT")}
    if not given["ID"]:
        raise click.BadParameter(
            f"slurm: this command is not in a job array: SLURM_ARRAY_TASK_ID is not set. {_WHOLE}"
        )
    step = os.environ.get("SLURM_ARRAY_TASK_STEP", "1")
    whole = all(text.isdecimal() for text in (*given.values(), step)) and step != "0"
    task, least, most, count = map(int, given.values()) if whole else (0, 0, 0, 0)
    if not whole or (most - least) // int(step) + 1 != count:
        raise click.BadParameter(
            "slurm: the variables SLURM_ARRAY_TASK_... do not say which of an array without gaps this job is. "
            f"{_WHOLE}"
        )
    if least > 1:
        raise click.BadParameter(
            f"slurm: this array begins at {least}, and nothing says of how many shares its jobs are. To do some "
            f"again, name each with their whole number, as --share {task}/16. A whole array begins at 0 or 1."
        )
    return f"{(task - least) // int(step) + 1}/{count}"
