"""``.gristmill/run.json``: what a dataset's folder was begun with, and the check that it still holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import orjson

from gristmill.ledger.ledger import STATE
from gristmill.spec.errors import DamagedOutput, DriftError, UsageError
from gristmill.spec.recipe import Built, Source
from gristmill.spec.sample import Json
from gristmill.storage.inside import is_below
from gristmill.storage.store import Place, Store, store_at

__all__ = ["RUN_CONFIG", "InputFile", "RunConfig", "datasets_in", "refuse_older"]

RUN_CONFIG = f"{STATE}/run.json"
_OLDER = "begun.json"
"""What folders of versions before 0.2 have in the place of ``run.json``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """One annotation file.

    Attributes:
        source: Key of its source.
        name: Within the source.
        digest: SHA-256 where the hub states it, else the fingerprint of the content.
        path: Where it lies, for a local copy; None if it must be fetched.
        number: Its number upstream, where its name has one.
        note: What its user should know, to be recorded when it is read.
        samples: How many it holds, where that is known: a finished shard of a mixture's part.
        spare: Of a mixture's part, samples of the shard that are left out, whatever share is taken of the others.
        since: Of a media source, the round of asking again from which on it is read; 0 is the first run.
    """

    source: str
    name: str
    size_bytes: int
    digest: str
    path: str | None = None
    number: int | None = None
    note: str = ""
    samples: int | None = None
    spare: int = 0
    since: int = 0


LEFT_OUT = "left-out"
"""Source of the list of a mixture's samples that are left out: they do not meet their part's conditions, or an
earlier part has their media. Parquet, a row for each: ``input``, ``place`` in it, ``reason``."""

_WORDS = {"title", "license", "description"}
"""Arguments that are words about a dataset and change nothing in it: they may differ from run to run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Holds what defines the dataset in a folder.

    Attributes:
        recipe: Name or path by which the recipe is found again.
        arguments: What else the recipe is built from (a list's column names); bears identity, but for its words.
        settings: ``--set`` values as typed.
        identity: The recipe's identity at the beginning.
        only: Rows per annotation file of a small run, or None.
        sources: Source key to where it was read from.
        inputs: All annotation files, in the dataset's order.
        aux: Files of aux sources: given whole to steps, no rows in them.
        media: Files of media sources.
        rounds: Reasons asked for again, one tuple for each ``retry``.
        runtime: Settings that say how, not what, as first given: what ``retry`` goes on with.
        permitted: Settings that were allowed for the command that began it, by name alone: the values are stored
            nowhere, and whoever needs one gives it again.
        asks: A step asks the network for media.
        built: How the recipe is built, where it is not a file of its own.
        published_as: Name, without ending, of the one file that VILA's own scripts make of it.
        parts: For a mixture: part to its version, weight, prefix, samples and the checksum of its shards.
    """

    recipe: str
    name: str
    version: str
    identity: Mapping[str, Json]
    inputs: tuple[InputFile, ...]
    arguments: Mapping[str, Json] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    only: int | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    aux: tuple[InputFile, ...] = ()
    media: tuple[InputFile, ...] = ()
    rounds: tuple[tuple[str, ...], ...] = ()
    runtime: Mapping[str, str] = field(default_factory=dict)
    permitted: tuple[str, ...] = ()
    asks: bool = False
    built: Built | None = None
    published_as: str = ""
    parts: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)

    @property
    def files(self) -> tuple[InputFile, ...]:
        """Of all sources."""
        return (*self.inputs, *self.aux, *self.media)

    @property
    def input_noun(self) -> str:
        """Say what one of its inputs is called."""
        return "input shard" if self.parts else self.built.input if self.built else "annotation file"

    @staticmethod
    def lies_in(place: Place) -> bool:
        """Say whether a dataset was begun there; also where what says so is no file, which reading it tells."""
        return store_at(place).size(RUN_CONFIG) is not None

    @classmethod
    def read(cls, place: Place) -> RunConfig:
        """Say what ``place`` was begun with.

        Raises:
            UsageError: The folder holds no dataset.
            DamagedOutput: The file is not what was written.
        """
        store = store_at(place)
        path = f"{store}/{RUN_CONFIG}"
        try:
            config = _DECODER.decode(store.read(RUN_CONFIG))
        except FileNotFoundError:
            refuse_older(store)
            raise UsageError(
                f"{store} holds no dataset. Name the folder that was given to --out, or one dataset in it."
            ) from None
        except msgspec.ValidationError as err:
            raise DamagedOutput(
                f"{path} is not what a run writes ({err}). Restore it, or start in another folder."
            ) from err
        except (msgspec.DecodeError, RecursionError) as err:
            raise DamagedOutput(
                f"{path} is damaged ({err}). Restore it, or start in another folder."
            ) from err
        if (fault := config._fault()) is not None:
            raise DamagedOutput(
                f"{path} is not what a run writes: {fault}. Restore it, or start in another folder."
            )
        return config

    def _fault(self) -> str | None:
        """What no run writes, beyond wrong types: a folder may be a stranger's, and its files are found by these."""
        steps = self.identity.get("steps")
        if not isinstance(steps, list) or not all(
            isinstance(step, dict) and isinstance(step.get("step"), str) for step in steps
        ):
            return "its identity names no steps"
        if not all(isinstance(self.identity.get(key), str) for key in ("recipe", "version")):
            return "its identity names no recipe"
        if self.built and (self.built.source not in self.sources or len(self.built.command) < 2):
            return "it does not say what its recipe was built from"
        for name, value in self.arguments.items():
            words = value if isinstance(value, list) else [value]
            if not all(word is None or isinstance(word, str) for word in words):
                return f"its argument {name[:200]!r} is no text"
        for file in self.files:
            for name in (file.source, file.digest):
                if not name or "/" in name or "\0" in name or name in (".", ".."):
                    return f"{name[:200]!r} names no source, or no content"
            if not is_below(file.name) or file.size_bytes < 0:
                return f"{file.name[:200]!r} names no annotation file"
        for part, said in self.parts.items():
            if not all(isinstance(said.get(key), kind) for key, kind in _OF_PART.items()):
                return f"it lacks something of the part {part[:200]!r}"
        return None

    def revision_of(self, source: Source) -> str | None:
        """The commit of a hub source that the folder was begun with; else the one the recipe names."""
        repo, _, commit = self.sources.get(source.key, "").partition("@")
        return commit if commit and repo == source.hub else source.revision

    def write(self, place: Place) -> None:
        """Write it, whole or not at all."""
        store_at(place).put(RUN_CONFIG, self._bytes())

    def write_first(self, place: Place) -> bool:
        """Write it unless one is there; False if one is."""
        return store_at(place).put_if_absent(RUN_CONFIG, self._bytes())

    def _bytes(self) -> bytes:
        return orjson.dumps(self, default=_listed, option=orjson.OPT_INDENT_2)

    def check(self, wanted: RunConfig, place: Place) -> None:
        """Refuse to continue with anything that defines the dataset changed.

        Raises:
            DriftError: With each field that differs.
        """
        if differences := self.differences(wanted):
            raise DriftError(self.name, str(place), differences[:20])

    def differences(self, wanted: RunConfig) -> tuple[tuple[str, str, str], ...]:
        """Name what defines the dataset and differs, each with what it was and what is wanted."""
        was, now = _flat(self._defining()), _flat(wanted._defining())
        return tuple(
            (key, was.get(key, "absent"), now.get(key, "absent"))
            for key in dict.fromkeys([*was, *now])
            if was.get(key) != now.get(key)
        )

    def _defining(self) -> dict[str, Json]:
        files = {f"{i.source}/{i.name}": i.digest[:16] for i in self.files}
        return {
            "recipe": self.identity["recipe"],
            "version": self.identity["version"],
            "steps": [step["step"] for step in self.identity["steps"]],
            **dict(_settings(self.identity["steps"])),
            "arguments": {name: value for name, value in self.arguments.items() if name not in _WORDS},
            "only": self.only,
            "order": self.identity.get("order", {}),
            "variant": self.identity.get("variant", {}),
            "media": self.identity.get("media", {}),
            "parts": dict(self.parts),
            "input": files,
        }

    def with_round(self, reasons: tuple[str, ...], media: Sequence[InputFile] = ()) -> RunConfig:
        """The same with one more round of asking again.

        Args:
            reasons: Of the losses that are asked for again.
            media: Files of media sources as they are now: those that came since are read from this round on.
        """
        rounds = (*self.rounds, reasons)
        known = {(file.source, file.name, file.digest) for file in self.media}
        new = [file for file in media if (file.source, file.name, file.digest) not in known]
        return replace(
            self, rounds=rounds, media=(*self.media, *(replace(f, since=len(rounds)) for f in new))
        )

    def media_in(self, round_: int) -> tuple[InputFile, ...]:
        """Files of media sources as they are in a round: of one name the one that came last."""
        return tuple({(f.source, f.name): f for f in self.media if f.since <= round_}.values())


_DECODER = msgspec.json.Decoder(RunConfig)
_OF_PART: Mapping[str, type | tuple[type, ...]] = {
    "version": str,
    "weight": (int, float),
    "prefix": str,
    "samples": int,
    "taken": int,
    "checksum": str,
}


def _settings(steps: Sequence[Mapping[str, Json]]) -> Iterator[tuple[str, Json]]:
    """The settings of each step under its name; a name's second step is called ``name-2``."""
    seen: Counter[str] = Counter()
    for step in steps:
        name = step["step"]
        seen[name] += 1
        yield (
            name if seen[name] == 1 else f"{name}-{seen[name]}",
            {k: v for k, v in step.items() if k != "step"},
        )


def _flat(value: Json, prefix: str = "") -> dict[str, str]:
    return dict(_pairs(value, prefix))


def _pairs(value: Json, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _pairs(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, orjson.dumps(_listed(value)).decode()


def _listed(value: Json) -> Json:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value


def refuse_older(place: Place) -> None:
    """Refuse a folder that an older version of Gristmill began.

    Raises:
        UsageError: It is one.
    """
    store = store_at(place)
    if store.size(f"{STATE}/{_OLDER}") is not None and not RunConfig.lies_in(store):
        raise UsageError(
            f"{store} was begun by an older version of Gristmill, and this one cannot read its records. Go on "
            "with the version that began it, or begin another folder. Its shards stay readable to trainers."
        )


def datasets_in(folder: Place) -> Sequence[Place]:
    """The datasets that ``folder`` is or holds, by their places.

    Raises:
        UsageError: There is none.
    """
    if RunConfig.lies_in(folder):
        return [folder]
    if isinstance(folder, Store):
        if within := folder.below(RUN_CONFIG):
            return [folder / name for name in within]
        raise UsageError(
            f"{folder} holds no dataset. Name the place that was given to --out, or one dataset in it."
        )
    found = sorted(p.parent.parent for p in folder.glob(f"*/{STATE}/run.json")) if folder.is_dir() else []
    for path in found:
        if path.is_symlink():
            raise UsageError(f"{path} is a link. Name the folder that it leads to, if that is meant.")
    if not found:
        for each in (folder, *(p.parent.parent for p in folder.glob(f"*/{STATE}/{_OLDER}"))):
            refuse_older(each)
        raise UsageError(
            f"{folder} holds no dataset. Name the folder that was given to --out, or one dataset in it."
        )
    return found
