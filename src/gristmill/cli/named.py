"""The recipe and the sources that a dataset's folder names: a folder may be a stranger's, and permits nothing.

Nothing found in a folder is run. A recipe that comes with Gristmill is found by its name; one that is a file is
named anew by whoever gives the command, and its identity is compared with what the folder was begun with. Likewise
annotation files are read only from within the folder, from where the recipe says, or from where a person says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from gristmill.cli.options import recipe_loader
from gristmill.ledger.ledger import STATE
from gristmill.ledger.run_config import InputFile
from gristmill.run.inputs.local_media import media_here, put_by_hand
from gristmill.run.inputs.media import shared_folder
from gristmill.run.inputs.resolve import Resolved, resolve
from gristmill.run.maintenance.reopen import Dataset, reads_rows
from gristmill.spec.command import to_type
from gristmill.spec.errors import UsageError
from gristmill.spec.locator import without_userinfo
from gristmill.spec.recipe import Recipe
from gristmill.storage.hub import hub_url
from gristmill.storage.store import Place

__all__ = ["check_permissions", "loader_of", "options_of", "settings_of", "sources_of"]

_OPTIONS = {
    "crawl.allow_private_addresses": "--allow-private-addresses",
    "crawl.proxy": "--proxy URL",
    "crawl.verify_tls": "--no-verify-tls",
    "clip.ask_sites": "--set=clip.ask_sites=true",
    "clip.proxy": "--set=clip.proxy=URL",
    "clip.allow_private_addresses": "--set=clip.allow_private_addresses=true",
}


def loader_of(opened: Dataset, settings: Mapping[str, str], named: str | None = None) -> Callable[[], Recipe]:
    """Make the function that builds the recipe of a dataset's folder.

    Args:
        opened: The folder.
        settings: ``STEP.FIELD`` to value.
        named: The recipe as a person names it.

    Raises:
        UsageError: The folder names a file, and nobody else does.
    """
    from gristmill import mixtures, recipes

    reference = opened.reference if named is None else named
    known = {*recipes.commands(), *recipes.names(), *mixtures.names()}
    if named is None and reference not in known:
        raise UsageError(
            f"{opened.folder} was begun with a recipe of somebody's own, {reference}, and nothing that a folder "
            f"names is run. If you know the file, name it: {_again('--recipe')} PATH"
        )
    if reference not in recipes.commands():
        return recipe_loader(reference, None, dict(settings))
    try:
        load = recipe_loader(reference, opened.arguments, dict(settings))
        load()
    except (AttributeError, LookupError, TypeError, ValueError) as err:
        raise UsageError(
            f"{opened.folder} was begun with words that no command takes ({err}). Restore {STATE}/run.json from a "
            "copy, or begin in another folder."
        ) from err
    return load


def settings_of(opened: Dataset, recipe: Recipe) -> dict[str, str]:
    """The settings that a folder was begun with, without those that only a person gives.

    Raises:
        UsageError: They are none of this recipe's.
    """
    settings = {**opened.config.settings, **opened.config.runtime}
    permitted = recipe.permissions(settings)
    return {name: value for name, value in settings.items() if name not in permitted}


def options_of(recipe: Recipe) -> list[str]:
    """The options by which a person allowed what the steps of this recipe do."""
    allowed = {
        f"{step.name}.{field.name}"
        for step in recipe.steps
        for field in fields(step)
        if field.metadata.get("permission") and getattr(step, field.name) != field.default
    }
    return [option for name, option in _OPTIONS.items() if name in allowed]


def check_permissions(opened: Dataset, given: Mapping[str, Any]) -> None:
    """Refuse to go on without what was allowed when the folder was begun: what needed it would be lost for that.

    Args:
        opened: The folder.
        given: Settings of this command.

    Raises:
        UsageError: Something was allowed that is not allowed now.
    """
    missing = [
        option for name, option in _OPTIONS.items() if name in set(opened.config.permitted) - given.keys()
    ]
    if missing:
        raise UsageError(
            f"{opened.folder} was begun with {' and '.join(missing)}, which is stored nowhere and holds for one "
            "command. If the folder and the hosts are your own, give it again: "
            f"{_again(*' '.join(missing).split())}\n"
            f"To ask without it: {_again('--without-permissions')}"
        )


def sources_of(opened: Dataset, recipe: Recipe, replaced: Mapping[str, str]) -> Resolved:
    """The files of a folder's sources, as far as they are still to be read; of those not named, as they were found.

    Nobody is asked for a source that is not named. Where a media source is named, others that lie elsewhere need not
    be: whether one is needed is known when a sample names what lies in it.

    Args:
        opened: The folder.
        recipe: Its recipe.
        replaced: ``--source``: key to where a person says that a source lies.

    Raises:
        UsageError: One is to be read, and it is the folder alone that says where from.
    """
    for key in replaced:
        recipe.source(key)  # raises UnknownName
    named = tuple(one for one in recipe.sources if one.key in replaced or one.beside in replaced)
    now = resolve(replace(recipe, sources=named), replaced, opened.folder) if named else Resolved(inputs=())
    begun = _as_begun(opened, recipe, {one.key for one in named})
    order = {one.key: place for place, one in enumerate(recipe.sources)}

    def both(ours: Sequence[InputFile], theirs: Sequence[InputFile]) -> tuple[InputFile, ...]:
        return tuple(sorted((*ours, *theirs), key=lambda file: order[file.source]))

    return Resolved(
        inputs=both(begun.inputs, now.inputs),
        aux=both(begun.aux, now.aux),
        media=both(begun.media, now.media),
        waiting=now.waiting,
        remotes={**begun.remotes, **now.remotes},
        sources={**begun.sources, **now.sources},
    )


def _as_begun(opened: Dataset, recipe: Recipe, named: Collection[str]) -> Resolved:
    """What a folder was begun with of sources that are not named, without places that it alone vouches for.

    Raises:
        UsageError: One of those is to be read.
    """
    whole = opened.resolved()
    found = replace(
        whole,
        inputs=tuple(file for file in whole.inputs if file.source not in named),
        aux=tuple(file for file in whole.aux if file.source not in named),
        media=_put_since(opened, recipe, [file for file in whole.media if file.source not in named]),
        sources={key: place for key, place in whole.sources.items() if key not in named},
    )
    homes = {source.key: source for source in recipe.sources}
    remotes = {}
    for key, place in found.remotes.items():
        source = homes.get(key)
        if source is not None and (
            place in (source.url, source.home) or (source.hub and place.partition("@")[0] == source.hub)
        ):
            remotes[key] = place
    strange = {
        file.source: _as_given(found, file.source)
        for file in (*found.inputs, *found.aux, *found.media)
        if (file.source not in remotes if file.path is None else not _is_ours(opened.folder, file.path))
    }
    read = {
        *(file.source for file in found.inputs if reads_rows(opened, recipe)),
        *(f.source for f in found.aux),
    }
    if not any(recipe.source(key).role == "media" for key in named):
        read |= {file.source for file in found.media}
    if needed := {key: place for key, place in strange.items() if key in read}:
        raise UsageError(
            f"{opened.folder} names {', '.join(needed.values())} for what is still to be read, and nothing beyond a "
            "folder is read because the folder says so. If it is yours, name it: "
            + _again(*(word for key, place in needed.items() for word in ("--source", f"{key}={place}")))
        )
    inputs, aux, media = (
        tuple(replace(file, path=None) if file.source in strange else file for file in files)
        for files in (found.inputs, found.aux, found.media)
    )
    return replace(found, inputs=inputs, aux=aux, media=media, remotes=remotes)


def _put_since(opened: Dataset, recipe: Recipe, media: Sequence[InputFile]) -> tuple[InputFile, ...]:
    """The files of media sources, those that a person put into ``DIR/sources`` as they lie there now."""
    found: list[InputFile] = []
    shared = shared_folder(opened.folder)
    for key, files in groupby(media, lambda file: file.source):
        own = list(files)
        source = recipe.source(key)
        put = put_by_hand(source, shared) if all(_was_put(key, file.path) for file in own) else None
        found += own if put is None else media_here(source, put)
    return tuple(found)


def _was_put(key: str, path: str | None) -> bool:
    """Whether a path led into ``DIR/sources/KEY``, wherever DIR is by now."""
    return path is not None and ("sources", key) in pairwise(Path(path).parts)


def _is_ours(folder: Place, path: str) -> bool:
    """Whether a file lies in a dataset's folder, or where media sources lie beside it."""
    return _lies_in(folder, path) or _lies_in(shared_folder(folder), path)


def _as_given(found: Resolved, key: str) -> str:
    """Where a source lies, as ``--source`` takes it."""
    place = found.sources.get(key, "PATH")
    return hub_url(place) if place == found.remotes.get(key) and "://" not in place else place


def _again(*more: str) -> str:
    """The command that was given, with more words."""
    return to_type(*map(without_userinfo, sys.argv[1:]), *more)


def _lies_in(place: Place, path: str) -> bool:
    try:
        return isinstance(place, Path) and Path(path).resolve(strict=True).is_relative_to(place.resolve())
    except (OSError, RuntimeError, ValueError):  # gone, a loop, or no path at all
        return False
