"""Reads a mixture of somebody's own from a TOML file.

======================  ==============================================================================================
key                     what it says
======================  ==============================================================================================
name                    of the mixture; the file's name without ending if left out
title, description,     for its card
homepage, license
version                 another one makes another mixture of the same parts: ``2026.12.1``
stages                  ``align``, ``pretrain``, ``sft``
decontaminate           evaluation sets that parts are kept clean of as they are prepared: ``decontaminate.against``
shuffle.*               fields of :class:`gristmill.steps.shuffle.Shuffle`: seed, shards, index_only and others
part.recipe             a recipe or mixture by its name, or the file of one
part.folder             a finished dataset
part.list               a list of addresses that is crawled
part.conversations      a file of conversations in LLaVA's form, whose media lie in ``part.media``
part.name               of the part, where the recipe or the folder does not say it
part.weight             how much of it: 0.25 is every fourth sample, 3 each three times
part.cap, subset,       see :class:`gristmill.spec.mixture.Part`
where
part.prefix             what its keys get in front. Keys of lists, and of conversations, are places in their files:
                        of several that say none, all but the first get their name, ``NAME-``
part.options            further options of the command that prepares it, as they are typed
======================  ==============================================================================================

Paths are relative to the file. Nothing in it is run.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from gristmill.mixtures import is_mixture
from gristmill.spec.errors import RecipeError, UnknownName, UsageError
from gristmill.spec.mixture import Mixture, Part
from gristmill.spec.place import is_address, path_of
from gristmill.steps.shuffle import Shuffle

__all__ = ["read_toml"]

_WORDS = ("title", "description", "homepage", "license")
_TOP = {"name", *_WORDS, "version", "stages", "decontaminate", "shuffle", "part"}
_KINDS = ("recipe", "folder", "list", "conversations")
_SHARED = {"name", "weight", "cap", "subset", "where", "prefix", "options"}


def read_toml(path: Path) -> Mixture:
    """The mixture that a file describes.

    Raises:
        UnknownName: There is no such file.
        RecipeError: It is no TOML, or has a key, a type or a value that means nothing; the sentence says where.
    """
    try:
        said = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UnknownName("mixture file", str(path), ()) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as err:
        raise RecipeError(f"{path}: {err}") from err
    try:
        return _mixture(said, path)
    except (TypeError, RecipeError, UsageError) as err:
        raise RecipeError(f"{path}: {err}") from err


def _mixture(said: Mapping[str, Any], path: Path) -> Mixture:
    _known(said, _TOP, "the file")
    parts = said.get("part")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise RecipeError("a mixture has parts: [[part]], each with recipe, folder, list or conversations")
    against = said.get("decontaminate", "")
    if not isinstance(against, str):
        raise RecipeError("decontaminate is a path: of an evaluation set, a hash list, or a folder of them")
    name = said.get("name", re.sub(r"[^A-Za-z0-9_]", "_", path.stem))
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise RecipeError(f"name = {name!r}: a name begins with a letter and has letters, digits, _ and -")
    stages = said.get("stages", [])
    if not isinstance(stages, list) or not all(stage in ("align", "pretrain", "sft") for stage in stages):
        raise RecipeError(f"stages = {stages!r}: a list of align, pretrain and sft")
    words = {word: _text(said, word, "") for word in _WORDS}
    made = _prefixed(
        [_part(part, number, path.parent, against) for number, part in enumerate(parts, 1)],
        said=["prefix" in part for part in parts],
    )
    finished = [part.name for part in made if part.folder and against]
    return Mixture(
        name=name.replace("-", "_"),
        version=_text(said, "version", "2026.1.1"),
        title=words["title"] or name,
        description=words["description"] or f"A mixture of {len(made)} datasets.",
        homepage=words["homepage"] or "https://example.org",
        license=words["license"] or "other",
        redistribution="nothing",
        stages=tuple(stages),
        parts=tuple(made),
        shuffle=_shuffle(said.get("shuffle", {})),
        traps=tuple(
            f"{one} is finished already: what is kept out of other parts may be in it." for one in finished
        ),
    )


def _prefixed(parts: Sequence[Part], *, said: Sequence[bool]) -> list[Part]:
    """Give parts their name as a prefix where an earlier one has the same keys, unless the file says their prefix."""
    taken: set[tuple[str, str]] = set()
    made = []
    for part, has_own in zip(parts, said, strict=True):
        again = part.keyed_by and not has_own and (part.keyed_by, part.prefix) in taken
        prefix = f"{re.sub('[^A-Za-z0-9_-]', '-', part.name)}-" if again else part.prefix
        taken.add((part.keyed_by, prefix))
        made.append(replace(part, prefix=prefix))
    return made


def _shuffle(said: Any) -> Shuffle:
    if not isinstance(said, dict):
        raise RecipeError("[shuffle] is a table")
    _known(said, {field.name for field in fields(Shuffle)}, "[shuffle]")
    for field in fields(Shuffle):
        value, usual = said.get(field.name, field.default), field.default
        kind = int if usual is None else type(usual)
        if value is not usual and type(value) is not kind:
            raise RecipeError(f"[shuffle] {field.name} = {value!r}: expected {kind.__name__}")
    return Shuffle(**said)


def _part(said: Mapping[str, Any], number: int, folder: Path, against: str) -> Part:
    where = f"part {number}"
    kinds = [kind for kind in _KINDS if kind in said]
    if len(kinds) != 1:
        raise RecipeError(
            f"{where}: says {' and '.join(kinds) or 'nothing'}; expected one of {', '.join(_KINDS)}"
        )
    kind = kinds[0]
    _known(said, {*_SHARED, kind, *(("media",) if kind == "conversations" else ())}, where)
    named = _text(said, kind, "")
    place = _place(folder, named)
    options = _texts(said, "options", where)
    if against and kind != "folder":
        every = "*." if kind == "recipe" and is_mixture(named) else ""
        kept_out = _place(folder, against)
        options = [*options, "--set", f"{every}decontaminate.against={kept_out}"]
    common: dict[str, Any] = {
        "name": _text(said, "name", _name(kind, place if kind == "folder" else named)),
        "weight": _weight(said, where),
        "where": tuple(_texts(said, "where", where)),
        **{key: said[key] for key in ("cap", "subset", "prefix") if key in said},
    }
    if "cap" in common and type(common["cap"]) is not int:
        raise RecipeError(f"{where}: cap = {common['cap']!r}: expected a number of samples")
    match kind:
        case "recipe":
            own_file = named.endswith((".py", ".toml"))
            reference = place if own_file else named
            own = own_file or options
            return Part(**common, command=("run", reference, *options) if own else ())
        case "folder":
            return Part(**common, folder=place)
        case "list":
            return Part(**common, command=("crawl", place, "--name", common["name"], *options))
        case _:
            media = _place(folder, _text(said, "media", "."))
            words = ("import", place, "--from", "llava", "--media", media, "--name", common["name"])
            return Part(**common, command=(*words, *options))


def _place(folder: Path, named: str) -> str:
    """What a file names: an address, or a path from where the file lies."""
    path = path_of(named)
    return path if is_address(path) else os.path.normpath(folder.absolute() / path)


def _name(kind: str, named: str) -> str:
    """What a part is called if it does not say so."""
    last = named.rstrip("/").rpartition("/")[2]
    own_file = named.endswith((".py", ".toml"))
    return named if kind == "recipe" and not own_file else last.partition(".")[0].replace("_", "-")


def _weight(said: Mapping[str, Any], where: str) -> float:
    weight = said.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)):
        raise RecipeError(f"{where}: weight = {weight!r}: expected a number")
    return float(weight)


def _text(said: Mapping[str, Any], key: str, usual: str) -> str:
    value = said.get(key, usual)
    if not isinstance(value, str):
        raise RecipeError(f"{key} = {value!r}: expected a text")
    return value


def _texts(said: Mapping[str, Any], key: str, where: str) -> list[str]:
    value = said.get(key, [])
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise RecipeError(f"{where}: {key} = {value!r}: expected a list of texts")
    return value


def _known(said: Mapping[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(said.keys() - known):
        raise RecipeError(
            f"{where} has {', '.join(unknown)}, which means nothing there. Known: {', '.join(sorted(known))}"
        )
