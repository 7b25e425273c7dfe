"""Options that several commands share, and what they mean."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from functools import partial
from math import isfinite
from pathlib import Path
from textwrap import wrap
from typing import Any, TypeVar

import click

from gristmill.cli.share_option import share_option
from gristmill.ledger.words import count_text
from gristmill.spec.command import to_type
from gristmill.spec.errors import UnknownName, UsageError
from gristmill.spec.mixture import STAGES
from gristmill.spec.place import is_address, path_here, path_of
from gristmill.spec.recipe import Recipe
from gristmill.spec.step import Step
from gristmill.storage.bucket import is_stored
from gristmill.storage.files import check_name
from gristmill.storage.store import Store, store_at

__all__ = [
    "MOST_ROWS",
    "DatasetPlace",
    "Finite",
    "InputPlace",
    "LocalPath",
    "circumstances_of",
    "copies_of",
    "default_workers",
    "grace_option",
    "grace_s",
    "json_option",
    "of_part",
    "on_option",
    "pairs",
    "parse_span",
    "politeness_options",
    "recipe_loader",
    "recipes_of",
    "run_options",
    "runtime_options",
    "setting_lines",
    "source_keys",
    "stage_option",
    "store_option",
    "workers_option",
]

F = TypeVar("F", bound=Callable[..., Any])

MOST_ROWS = 2**63 - 1
"""What a record and a table can count to."""
_READS_STORE = "gristmill.reads_store"
_STORE_OPTIONS = "gristmill.store_options"
_GRACE = "gristmill.grace_s"
_OF_PYTHON = re.compile(r":[a-z]+:`(?:[\w.]*\.)?(\w+)`")
"""A name of code as docstrings refer to it; people are shown the name."""
_FEWEST_ALLOWED, _WORKERS_PER_CORE = 64, 4


class LocalPath(click.Path):
    """A path on this machine. A URL would be taken for a folder of that name, and be made."""

    def __init__(self, **kinds: bool) -> None:
        super().__init__(path_type=Path, **kinds)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See ``click.ParamType``."""
        try:
            value = path_here(value) if isinstance(value, str) else value
        except UsageError as err:
            self.fail(str(err), param, ctx)
        check_name(value)
        path: Any = super().convert(value, param, ctx)
        # Arrow takes a relative path whose first name holds a colon for a URI
        return path.absolute() if ":" in str(path) else path


class DatasetPlace(LocalPath):
    """A path on this machine, or the address of an object store: where datasets lie.

    Args:
        beside: The same command has another such place, which ``--store-option`` is for as well.
    """

    def __init__(self, *, beside: bool = False, **kinds: bool) -> None:
        super().__init__(**kinds)
        self._beside = beside

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See ``click.ParamType``."""
        options = ctx.meta.get(_STORE_OPTIONS, {}) if ctx else {}
        text = str(value)
        if not isinstance(value, Store) and not is_stored(text):
            if options and ctx and not (self._beside or ctx.meta.get(_READS_STORE)):
                self.fail(f"{value} is a folder, and --store-option is for an object store.", param, ctx)
            return super().convert(text, param, ctx)
        try:
            return store_at(value, options)
        except UsageError as err:
            self.fail(str(err), param, ctx)


class InputPlace(LocalPath):
    """A path on this machine, or an address in an object store, which stays a text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See ``click.ParamType``."""
        return value if is_stored(str(value)) else super().convert(value, param, ctx)


def _store_options(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> None:
    """Keep what is typed for the place of the same command."""
    ctx.meta[_STORE_OPTIONS] = pairs("--store-option", values)


def reads_store(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Note, of an eager argument, that it is in an object store: ``--store-option`` is for that one then, too."""
    if is_stored(value):
        ctx.meta[_READS_STORE] = True
    return value


def typed_store_options() -> dict[str, str]:
    """Give what is typed as ``--store-option``, for another place than the dataset's in the same command."""
    context = click.get_current_context(silent=True)
    return dict(context.meta.get(_STORE_OPTIONS, {})) if context else {}


def store_option(function: F) -> F:
    """``--store-option``."""
    option = click.option(
        "--store-option",
        multiple=True,
        is_eager=True,
        expose_value=False,
        callback=_store_options,
        metavar="KEY=VALUE",
        help="Of an object store: endpoint, region, ...; else as its variables say (AWS_...). Never stored.",
    )
    return option(function)


def json_option(function: F) -> F:
    """``--json``."""
    option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
    return option(function)


_HERE = ("", "local", "in-process")
"""Executors whose processes are this machine's."""


class Finite(click.FloatRange):
    """A number in a range, which neither ``inf`` nor ``nan`` is in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See ``click.ParamType``."""
        number = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class _Workers(click.IntRange):
    """A number of processes, each with a decoder, memory and requests of its own."""

    def __init__(self) -> None:
        super().__init__(0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See ``click.ParamType``."""
        workers, cores = super().convert(value, param, ctx), default_workers()
        if ctx is not None and ctx.params.get("on", "") not in _HERE:
            return workers
        most = max(_FEWEST_ALLOWED, _WORKERS_PER_CORE * cores)
        if workers > most:
            self.fail(
                f"{workers} is more than this machine's limit, {most}: each worker is a process with a decoder of "
                f"its own, and there {'are' if cores != 1 else 'is'} {count_text(cores, 'core')} for them. Leave it "
                "out for one per core.",
                param,
                ctx,
            )
        return workers


def workers_option(function: F) -> F:
    """``--workers``."""
    said = "Worker processes. Default: one per core, also of a cluster. 0: all in this process."
    return click.option("--workers", type=_Workers(), help=said)(function)


def stage_option(function: F) -> F:
    """``--stage``."""
    said = "Of a training with stages, as vila-v1.5, only this one."
    return click.option("--stage", type=click.Choice(STAGES), help=said)(function)


def _executor(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A name of an executor, which is looked up, and says whether it can work, before anything else is done.

    Raises:
        UnknownName: There is no such executor.
        UsageError, MachineError: It cannot work.
    """
    if value != "local":
        from gristmill.run import executors

        executors.find(value, 1).check()
    return value


def on_option(function: F) -> F:
    """``--on``."""
    return click.option(
        "--on",
        callback=_executor,
        is_eager=True,  # how many workers there may be depends on it
        default="local",
        show_default=True,
        metavar="EXECUTOR",
        help="Where tasks run: local (worker processes here), in-process (in this one), ray (a Ray cluster).",
    )(function)


def _grace(ctx: click.Context, param: click.Parameter, value: float | None) -> None:
    """Keep it for whatever job the same command runs: see :func:`grace_s`."""
    ctx.meta[_GRACE] = value


def grace_option(function: F) -> F:
    """``--grace``."""
    return click.option(
        "--grace",
        type=Finite(0),
        expose_value=False,
        callback=_grace,
        metavar="SECONDS",
        help="After Ctrl-C or SIGTERM, how long what is under way may take to end; then it is killed. "
        "Default: 10.",
    )(function)


def grace_s() -> float | None:
    """Give the seconds of ``--grace``, if it was given."""
    context = click.get_current_context(silent=True)
    value: float | None = context.meta.get(_GRACE) if context else None
    return value


def run_options(function: F) -> F:
    """Add the options that say where, how much and with what."""
    for option in reversed(
        [
            click.option(
                "--only", type=click.IntRange(1, MOST_ROWS), help="A small run: so many rows of each file."
            ),
            click.option("--tasks", metavar="A:B", help="Only annotation files A to B-1, by position."),
            share_option,
            workers_option,
            on_option,
            grace_option,
            click.option(
                "--set",
                "settings",
                multiple=True,
                metavar="STEP.FIELD=VALUE",
                help="A setting of a step; `gristmill show NAME` lists them (of a list: `gristmill show crawl`).",
            ),
        ]
    ):
        function = option(function)
    return function


def politeness_options(function: F) -> F:
    """Add the options for how a crawl behaves; none of them changes what a dataset is."""
    for option in reversed(
        [
            click.option("--contact", help="A mail address or page for those we ask, in the user agent."),
            click.option(
                "--allow-private-addresses",
                is_flag=True,
                help="Also fetch from this machine and its networks, and from any port.",
            ),
            click.option(
                "--proxy",
                metavar="URL",
                help="Ask through this HTTP proxy, which looks names up: only literal addresses, and names "
                "found here as well, are checked. http://USER:PASSWORD@HOST:PORT, or USER:PASSWORD in "
                "GRISTMILL_PROXY_LOGIN; never stored.",
            ),
            click.option("--no-verify-tls", is_flag=True, help="Accept any certificate, for this run."),
            click.option("--in-flight", type=click.IntRange(1), help="Requests at once in each worker."),
            click.option("--per-host", type=click.IntRange(1), help="Of these, to one host."),
            click.option(
                "--min-kept",
                type=Finite(0, 1),
                metavar="SHARE",
                help="Exit code 3 where less is kept. Default: what the recipe expects; of a list, 0.1.",
            ),
        ]
    ):
        function = option(function)
    return function


def runtime_options(
    contact: str | None,
    allow_private_addresses: bool,
    no_verify_tls: bool,
    in_flight: int | None,
    per_host: int | None,
    min_kept: float | None = None,
    proxy: str | None = None,
) -> dict[str, str]:
    """The manner options as settings: of the step ``crawl``, and of what is expected."""
    given = {
        "contact": contact,
        "allow_private_addresses": "true" if allow_private_addresses else None,
        "proxy": proxy,
        "verify_tls": "false" if no_verify_tls else None,
        "in_flight": in_flight,
        "per_host": per_host,
    }
    expected = {"expect.kept_share": str(min_kept)} if min_kept is not None else {}
    return expected | {f"crawl.{name}": str(value) for name, value in given.items() if value is not None}


_RUNTIME_OPTIONS = {
    "crawl.contact": "--contact",
    "crawl.allow_private_addresses": "--allow-private-addresses",
    "crawl.proxy": "--proxy",
    "crawl.verify_tls": "--no-verify-tls",
    "crawl.in_flight": "--in-flight",
    "crawl.per_host": "--per-host",
    "expect.kept_share": "--min-kept",
}


def runtime_words(runtime: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Turn what :func:`runtime_options` gave into options again, as typed, each with its value if it has one."""
    return [
        (_RUNTIME_OPTIONS[key],) if value in ("true", "false") else (_RUNTIME_OPTIONS[key], value)
        for key, value in runtime.items()
    ]


def circumstances_of(recipe: Recipe, runtime: Mapping[str, str]) -> dict[str, str]:
    """Those that one of the recipe's steps has: a recipe that does not crawl has none of them."""
    steps = {"expect", *(step.name for step in recipe.steps)}
    return {key: value for key, value in runtime.items() if key.partition(".")[0] in steps}


def setting_lines(step: Step) -> list[str]:
    """Describe a step: what it does, in a sentence, and its settings, a line each."""
    plain = _OF_PYTHON.sub(r"\1", step.__doc__ or "")
    sentence, stop, _ = " ".join(plain.split()).partition(". ")
    lines = [f"  {step.name}: {sentence}{stop.rstrip()}"]
    if step.drops:
        said = f"drops for: {', '.join(sorted(step.drops))}"
        lines += wrap(said, 110, initial_indent="    ", subsequent_indent="      ", break_on_hyphens=False)
    for f in (f for f in fields(step) if not f.name.startswith("_")):
        mark = "" if f.metadata.get("identity", True) else "   (how, not what: may change between runs)"
        lines.append(f"    {f.name} = {getattr(step, f.name)}{mark}")
    return lines


def pairs(option: str, values: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` words as a mapping.

    Raises:
        UsageError: A word without ``=``, or a source without a place: a variable of the shell that is not set.
    """
    found: dict[str, str] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key or (option == "--source" and not text):
            raise UsageError(f"{option} {value}: expected KEY=VALUE")
        again = option == "--source" and key in found  # a media source may lie in several places
        text = path_of(text) if option == "--source" else text
        if again and is_address(text) != is_address(found[key]):
            raise UsageError(f"{option} {value}: {key} lies on this machine, or at one address, not both.")
        found[key] = f"{found[key]}{os.pathsep}{text}" if again else text
    return found


def of_part(part: str, given: Mapping[str, str], known: Collection[str] | None = None) -> dict[str, str]:
    """Of what is given for a mixture's parts, with their names or patterns in front, what is for this one.

    Args:
        part: Its name.
        given: As typed.
        known: What it has of that kind: by a pattern, anything else is meant for other parts.
    """
    found = {}
    for key, value in given.items():
        pattern, _, rest = key.partition(".")
        others = known is not None and pattern != part and rest not in known
        if rest and fnmatch.fnmatch(part, pattern) and not others:
            found[rest] = value
    return found


def copies_of(
    name: str, members: Sequence[str], replaced: Mapping[str, str]
) -> Mapping[str, Mapping[str, str]]:
    """Say which copies of sources are for which recipe of a group: a media source may be only some recipes'.

    Raises:
        UsageError: A file was given for what each recipe has a file of its own of.
        UnknownName: No recipe of the group has such a source.
    """
    if len(members) == 1:
        return {members[0]: replaced}
    sources = {member: {one.key: one for one in recipe_loader(member)().sources} for member in members}
    known = {key: one.role for own in sources.values() for key, one in own.items()}
    for key, place in replaced.items():
        if key not in known:
            raise UnknownName("source", key, tuple(known))
        if known[key] != "media" and not is_address(place) and Path(place).is_file():
            raise UsageError(
                f"--source {key}={place}: that is one file, and {name} stands for {len(members)} recipes. Give the "
                f"folder that holds all their files, or run one of them: {to_type('run', members[0])} ..."
            )
    return {
        member: {key: place for key, place in replaced.items() if key in own}
        for member, own in sources.items()
    }


def source_keys(name: str) -> frozenset[str] | None:
    """Keys of a recipe's sources; None of what is no recipe, or has none of its own."""
    try:
        recipe: Recipe = recipe_loader(name)()
    except UnknownName:
        return None
    return frozenset(source.key for source in recipe.sources) or None


def parse_span(text: str | None, share: tuple[int, int] | None = None) -> tuple[int, int] | None:
    """``A:B``.

    Raises:
        UsageError: Not two whole numbers; or the work is divided by ``--share`` already.
    """
    if text is not None and share is not None:
        raise UsageError(
            "--tasks and --share both say what part of the work this command does: give one of them."
        )
    if text is None:
        return None
    first, _, end = text.partition(":")
    if not (first.isdecimal() and end.isdecimal()):
        raise UsageError(f"--tasks {text}: expected two positions, for example --tasks 0:8")
    return int(first), int(end)


def recipe_loader(
    reference: str, arguments: dict[str, Any] | None = None, settings: dict[str, str] | None = None
) -> Callable[[], Any]:
    """A picklable function that builds the recipe, or a mixture as one, here and in workers."""
    from gristmill import mixtures, recipes

    if reference.endswith((".py", ".toml")):
        reference = str(Path(path_here(reference)).resolve())
    if mixtures.is_mixture(reference):
        return partial(mixtures.load, reference, settings)
    return partial(recipes.load, reference, arguments, settings)


def recipes_of(name: str) -> tuple[str, ...]:
    """The recipes that a name stands for, which is no mixture's.

    Raises:
        UnknownName: Nothing is called so; mixtures are named among what there is.
    """
    from gristmill import mixtures, recipes

    try:
        return recipes.members(name)
    except UnknownName as err:
        raise UnknownName(err.kind, err.name, (*err.known, *mixtures.names(), *mixtures.groups())) from None


def default_workers(on: str = "") -> int:
    """One per core that this process may use; 0 on an executor of other machines, which knows what is there.

    Args:
        on: The executor.
    """
    if on not in _HERE:
        return 0
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
