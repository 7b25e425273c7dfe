"""Preparing the parts of a mixture, one after another, before they are mixed."""

from __future__ import annotations

import contextlib
import fnmatch
import io
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import click

from gristmill.cli.many import SomeFailed, for_each
from gristmill.cli.mix_command import mix
from gristmill.cli.options import of_part, recipe_loader, runtime_words, source_keys, typed_store_options
from gristmill.spec.command import for_part, to_type
from gristmill.spec.errors import (
    Busy,
    DriftError,
    Incomplete,
    OursNotTheirs,
    SourceError,
    UnknownName,
    UsageError,
)
from gristmill.spec.mixture import Mixture, Part
from gristmill.storage.store import Place, Store

__all__ = ["Typed", "own_settings", "prepare_and_mix"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """Holds what was typed for a mixture and its parts.

    Attributes:
        sources: ``PART`` to the folder of a finished dataset; ``PART.KEY`` to a copy of one of its sources.
            ``PART`` may be a pattern, as ``m3it-*``.
        settings: ``STEP.FIELD`` of the mixture, ``PART.STEP.FIELD`` of a part.
        runtime: Settings of the step ``crawl`` that change nothing in the dataset, for those parts that have one.
        only: So many rows of each annotation file.
        workers: Processes; one per core if None.
        on: The executor.
    """

    sources: Mapping[str, str]
    settings: Mapping[str, str]
    runtime: Mapping[str, str]
    only: int | None = None
    workers: int | None = None
    on: str = ""

    def of_part(self, part: str, known: Collection[str] | None) -> Typed:
        """Leave what is meant for one part, without its name in front.

        Args:
            part: Its name.
            known: Keys of its sources.
        """
        return replace(
            self, sources=of_part(part, self.sources, known), settings=of_part(part, self.settings)
        )


def prepare_and_mix(name: str, out: Place, typed: Typed, *, as_json: bool) -> None:
    """Run the recipe of each part that is not finished, then mix.

    Args:
        name: Of the mixture.
        out: Where the datasets go.
        typed: For it and for its parts.
        as_json: Print the result as JSON.

    Raises:
        Incomplete: All is mixed, and a part kept less than its recipe expects.
        SomeFailed: Parts could not be prepared; the others are, and nothing is mixed.
        GristmillError: Whatever a run raises.
    """
    from gristmill import mixtures
    from gristmill.ledger.run_config import RunConfig
    from gristmill.run.inputs.mixture_parts import check_keys, place_of

    mixture = mixtures.find(name)
    finished = {key: value for key, value in typed.sources.items() if "." not in key}
    own = own_settings(mixture, name, typed.sources, typed.settings)
    _check_finished(mixture, out, finished, name)
    check_keys(mixture, out, finished)
    parts = {part.name: part for part in mixture.parts if part.name not in finished}

    known = {name: None if part.command else source_keys(name) for name, part in parts.items()}
    _check_sources(typed.sources, known)
    for part in parts.values():
        _check_finished_part(part, typed.sources, typed.settings)

    def prepare(name: str) -> None:
        try:
            prepare_or_compare(name)
        except DriftError as err:
            if _is_finished(parts[name], out):
                err.hint = f" To mix the part as it lies: --have {name}={place_of(parts[name], out, {})}"
            raise

    def prepare_or_compare(name: str) -> None:
        part = parts[name]
        if part.command or part.folder or is_own(name):
            finished = _is_finished(part, out)
            if finished and part.command and not RunConfig.lies_in(place_of(part, out, {})):
                click.echo(
                    f"{name} lies there without its records: how it was made is not compared", err=True
                )
            elif part.command:
                _by_command(part, out, _more_words(part, typed), quiet=finished)
            elif not finished:
                refuse_own_part(part, out)
            if finished:
                click.echo(f"{name} is finished", err=True)
            return
        try:
            _prepare(part, out, typed.of_part(name, known[name]))
        except (SourceError, OursNotTheirs) as err:
            if err.told:
                raise
            raise type(err)(for_part(str(err), name)) from err
        except Incomplete:  # of a finished part: what it lacks is said when all is mixed
            if not _is_finished(part, out):
                raise

    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        try:
            for_each(list(parts), prepare, as_json=False)  # one that fails does not stop the others
        except (
            SomeFailed
        ) as err:  # a part that another run held may be finished by now: the last to end mixes
            if err.exit_code != Busy.exit_code or not all(_is_finished(part, out) for part in parts.values()):
                raise
    mix(name, out, replaced=finished, settings=own, workers=typed.workers, on=typed.on, as_json=as_json)


def own_settings(
    mixture: Mixture, name: str, sources: Mapping[str, str], settings: Mapping[str, str]
) -> dict[str, str]:
    """Of what was typed, the settings of the mixture itself; all of it is checked before anything is prepared.

    Raises:
        UsageError: A setting that it has not, or something for a part that it has not.
    """
    own = {key: value for key, value in settings.items() if key.count(".") < 2}
    for key in own:
        if key.partition(".")[0] != mixture.shuffle.name:
            raise UsageError(
                f"--set {key}=...: a mixture's only step is {mixture.shuffle.name}. For a part, its name comes in "
                f"front: --set {mixture.parts[0].name}.STEP.FIELD=VALUE"
            )
    recipe_loader(name, None, own)()
    _check_patterns(mixture, "--source", [key.partition(".")[0] for key in sources])
    _check_patterns(mixture, "--set", [key.partition(".")[0] for key in settings if key not in own])
    return own


def is_own(name: str) -> bool:
    """Say whether a part is of somebody's own recipe or list, of which the name alone does not tell the file."""
    from gristmill import mixtures, recipes

    return name not in recipes.names() and not mixtures.is_mixture(name)


def refuse_own_part(part: Part, out: Place | None) -> NoReturn:
    """Say that a part of somebody's own recipe or list must be finished: it cannot be prepared by its name.

    Raises:
        Incomplete: Always.
    """
    elsewhere = f"If it lies elsewhere: --source {part.name}=FOLDER"
    if part.folder:
        raise Incomplete(f"Part {part.name} is not finished in {part.folder}. Finish it. {elsewhere}")
    raise Incomplete(
        f"Part {part.name} has no recipe that comes with Gristmill, and is not finished in {out or 'DIR'}. "
        f"Prepare it by its own file: {to_type('run', 'FILE.py', '--out', out or 'DIR')}. {elsewhere}"
    )


def _check_patterns(mixture: Mixture, option: str, patterns: list[str]) -> None:
    names = [part.name for part in mixture.parts]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise UsageError(f"{option} {pattern}...: no part is called so. Parts: {', '.join(names)}")


def _check_sources(sources: Mapping[str, str], known: Mapping[str, Collection[str] | None]) -> None:
    """Refuse a copy of a source that no part has; a media source may be only some parts'.

    Raises:
        UnknownName: One is none of any part that is meant.
    """
    for key in sources:
        pattern, _, rest = key.partition(".")
        meant = [own or {rest} for name, own in known.items() if fnmatch.fnmatch(name, pattern)]
        if rest and meant and pattern not in known and not any(rest in own for own in meant):
            raise UnknownName("source", rest, tuple(sorted(set().union(*meant))))


def _check_finished(mixture: Mixture, out: Place, finished: Mapping[str, str], typed: str) -> None:
    """Check that what is given as a finished part is one, before the others are prepared, which takes long."""
    from gristmill.run.inputs.mixture_parts import find_parts

    names = [part.name for part in mixture.parts]
    for name, folder in finished.items():
        if name not in names:
            raise UsageError(
                f"--source {name}={folder}: a finished dataset stands for one part; name it in full. Copies of the "
                f"sources of several parts: --source '{name}.annotations=PATH'"
            )
    if finished:
        given = replace(mixture, parts=tuple(part for part in mixture.parts if part.name in finished))
        find_parts(given, out, finished, typed)


def _is_finished(part: Part, out: Place) -> bool:
    from gristmill.run.inputs.mixture_parts import place_of, read_part

    return bool((read_part(place_of(part, out, {})) or {}).get("complete"))


def _check_finished_part(part: Part, sources: Mapping[str, str], settings: Mapping[str, str]) -> None:
    """Refuse what is typed for a part that is not prepared here.

    Raises:
        UsageError: Its name, and no pattern, stands in front of a source or a setting.
    """
    meant = [*of_part(part.name, sources, ()), *of_part(part.name, settings, ())]
    if meant and not part.command and (part.folder or is_own(part.name)):
        raise UsageError(
            f"{part.name}.{meant[0]}: part {part.name} is not prepared here, but taken as it lies in "
            f"{part.folder or 'DIR'}."
        )


def _more_words(part: Part, typed: Typed) -> list[tuple[str, ...]]:
    """What is typed for all parts or for this one, as options of the command that prepares it.

    Raises:
        UsageError: A source, and its command has none.
    """
    on = None if typed.on in ("", "local") else typed.on
    common = {"--workers": typed.workers, "--only": typed.only, "--on": on}
    words = [(option, str(value)) for option, value in common.items() if value is not None]
    verb = part.command[0]
    own = typed.of_part(part.name, source_keys(part.command[1]) if verb == "run" else ())
    if own.sources and verb != "run":
        key = next(iter(own.sources))
        raise UsageError(
            f"--source {part.name}.{key}=...: gristmill {verb}, by which it is prepared, has none."
        )
    words += [("--source", f"{key}={place}") for key, place in own.sources.items()]
    words += [("--set", f"{key}={value}") for key, value in own.settings.items()]
    return words + (runtime_words(typed.runtime) if verb in ("run", "crawl") else [])


def _by_command(part: Part, out: Place, more: Sequence[tuple[str, ...]], *, quiet: bool) -> None:
    """Give the command that prepares a part, as it would be typed; one that is finished is compared with it.

    Args:
        part: Has the command.
        out: The folder that holds the datasets.
        more: Options and their values, for those that the command does not have already.
        quiet: Nothing is said on standard output.

    Raises:
        GristmillError: As that command.
    """
    from gristmill.cli.main import cli
    from gristmill.run.inputs.mixture_parts import prepared_by

    words = prepared_by(part, out)
    for option in more:
        if option[0] in ("--set", "--source") or option[0] not in words:
            words = (*words, *option)
    if not quiet:
        click.echo(to_type(*words), err=True)
    if isinstance(out, Store):  # which may be secrets, and are not shown
        options = typed_store_options().items()
        words = (*words, *(word for key, value in options for word in ("--store-option", f"{key}={value}")))
    with contextlib.redirect_stdout(io.StringIO()) if quiet else contextlib.nullcontext():
        cli.main(list(words), prog_name="gristmill", standalone_mode=False)


def _prepare(part: Part, out: Place, typed: Typed) -> None:
    """Run one recipe, unless its dataset is finished and was made by the same recipe and settings; or one mixture."""
    from gristmill import mixtures
    from gristmill.cli.finish import run_and_tell
    from gristmill.cli.jobs import recipe_job
    from gristmill.run.inputs.mixture_parts import read_part

    if mixtures.is_mixture(part.name):
        prepare_and_mix(part.name, out, typed, as_json=False)
        return
    job = recipe_job(
        part.name,
        out,
        sources=typed.sources,
        settings=typed.settings,
        runtime=typed.runtime,
        only=typed.only,
        workers=typed.workers,
        on=typed.on,
    )
    recipe = job.load()
    done = read_part(job.folder)
    wanted = (recipe.version, dict(job.settings), typed.only)
    if done and done["complete"] and (done["version"], done["settings"], done["only"]) == wanted:
        click.echo(
            f"{part.name} {recipe.version} is finished: {done['counts']['packed']:,} samples", err=True
        )
        return
    run_and_tell(job, as_json=False, part=part.name)
