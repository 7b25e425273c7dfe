"""A recipe: one dataset, as words. It may hold data and one function, ``parse``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Literal, Protocol, TypeAlias

from gristmill.spec.errors import RecipeError, UnknownName, UsageError
from gristmill.spec.media_source import Download, MemberLayout
from gristmill.spec.registry import typed
from gristmill.spec.sample import Json, Outcome
from gristmill.spec.step import Step

__all__ = [
    "Access",
    "Built",
    "Column",
    "ColumnKind",
    "Expect",
    "OptionalStep",
    "Parse",
    "Recipe",
    "Source",
    "SourceRole",
    "Variant",
]

Access: TypeAlias = Literal["open", "terms", "form", "login", "withdrawn"]
SourceRole: TypeAlias = Literal["rows", "aux", "media"]
ColumnKind: TypeAlias = Literal["string", "string or binary", "string or list of strings", "integer", "float"]
Parse: TypeAlias = Callable[[Mapping[str, Json]], Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of Parquet files that ``parse`` reads.

    Attributes:
        name: Of the column, or a path into it as :func:`gristmill.spec.columns.value_at` reads it.
        kind: What its values are.
        needed: A file without it is refused.
    """

    name: str
    kind: ColumnKind
    needed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of several files that upstream has for the same rows.

    Attributes:
        patterns: Which files it is.
        size_bytes, rows: As published.
        hub: Repository of these files; all versions of a source name theirs, or none does.
        settings: Of steps, as typed, where it is read otherwise than the one that the recipe's own are for.
    """

    patterns: tuple[str, ...]
    size_bytes: int | None = None
    rows: int | None = None
    hub: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


MEDIA_FORMATS = ("archives", "folder", "parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Says where files come from.

    Attributes:
        key: What ``--source KEY=PATH`` replaces; of a media source also what :class:`gristmill.spec.locator.Member`
            names, and the name of its folder in ``DIR/sources``.
        folder: Of a media source, where in ``DIR/sources`` a person puts it, if not into the folder named by its key:
            recipes that have a key in common may mean different media.
        role: What its files are: ``rows``, annotations whose rows become samples; ``aux``, something small that
            steps are given whole and that need not be there; ``media``, pictures or videos that samples name.
        hub: Repository on the Hugging Face hub: ``OWNER/NAME`` of datasets, ``models/OWNER/NAME`` of models.
        revision: Commit of that repository. A source is pinned or it is a person's own copy.
        patterns: Which files.
        leave_out: Of a folder of one's own, which files are passed over though they are like ``patterns``: by the
            name in lower case. A note names them.
        url: Address of a single file; it is pinned by its checksum.
        sha256: Checksum of that file, hex.
        path: A local file or folder, when it is somebody's own list.
        by_hand: The sentence that tells a person what to do, when no client can fetch it; of a media source with a
            ``hub``, when that lists none of its files.
        number: Pattern of a file's name whose group is its number upstream. Keys of samples are then made from it.
        order: ``published`` is by name as text, as published scripts sort; ``numeric`` is by number.
        gaps: Numbers that upstream does not have.
        in_place: In a folder of one's own, ``patterns`` are whole paths below it, at most without their first
            folders; else a file's name is enough, wherever it lies.
        beside: The source whose copy an ``aux`` source is looked for in, unless it is given itself.
        variants: Files that upstream has in several versions, by name; ``variant`` is the one that is read.
        columns: What ``parse`` reads of Parquet files: one where they are otherwise is refused before any of its rows
            is worked on.
        format: Of rows, that of their files: ``parquet``, ``jsonl``, ``json`` (one array, or an object of rows by
            their names), ``csv``, ``tsv``. Of media ``archives`` (zip, tar, tar.gz, parts of one, or a folder of
            files), ``folder`` (the files of a hub repository are the members), or ``parquet`` (bytes in a column).
        files, size_bytes, rows: As published, for ``plan`` before anything is asked.
        title: Of a media source, what it holds, in a few words.
        downloads: Files of a media source at addresses of their own.
        layouts: Of a media source, the ways in which its members may be named, of which one holds for all of them.
            Without any, records name members as the archive does.
        unless: Annotation files, by a pattern of their names, beside which this media source is not needed: they hold
            the media themselves.
        stems: A medium that is not found under its own extension is found under another: ``1.jpg`` as ``1.gif``.
        address: Page on which a person finds what only a person can fetch.
        terms: What somebody who takes it agrees to, in a sentence or as an address.
    """

    key: str
    folder: str = ""
    role: SourceRole = "rows"
    hub: str | None = None
    revision: str | None = None
    patterns: tuple[str, ...] = ("*",)
    leave_out: tuple[str, ...] = ()
    url: str | None = None
    sha256: str | None = None
    path: str | None = None
    by_hand: str | None = None
    in_place: bool = False
    beside: str | None = None
    variants: Mapping[str, Variant] = field(default_factory=dict)
    variant: str | None = None
    format: str = "parquet"
    license: str = "unknown"
    access: Access = "open"
    number: str | None = None
    order: Literal["published", "numeric"] = "published"
    gaps: tuple[int, ...] = ()
    columns: tuple[Column, ...] = ()
    files: int | None = None
    size_bytes: int | None = None
    rows: int | None = None
    title: str = ""
    downloads: tuple[Download, ...] = ()
    layouts: tuple[MemberLayout, ...] = ()
    unless: str = ""
    stems: bool = False
    address: str = ""
    terms: str = ""

    def __post_init__(self) -> None:
        if self.role == "media":
            self._check_media()
        elif self.downloads or self.layouts or self.stems or self.unless:
            raise RecipeError(f"source {self.key!r}: only a media source has downloads, layouts or stems")
        if self.hub and not self.revision:
            raise RecipeError(f"source {self.key!r}: {self.hub} has no pinned revision")
        if self.url and not re.fullmatch(r"[0-9a-f]{64}", self.sha256 or ""):
            raise RecipeError(f"source {self.key!r}: {self.url} has no SHA-256 to be known by")
        if len({one.hub is None for one in self.variants.values()}) > 1:
            raise RecipeError(f"source {self.key!r}: some of its variants name a hub, and some do not")
        if self.order not in {"published", "numeric"}:
            raise UsageError(f"{self.key}.order={self.order}: expected published or numeric")
        if self.order == "numeric" and self.number is None:
            raise UsageError(f"{self.key}.order=numeric: the names of its files have no number")

    def _check_media(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_-]*", self.key):
            raise RecipeError(
                f"source {self.key!r}: the key of a media source is a folder's name: a-z, 0-9, _, -"
            )
        if self.format not in MEDIA_FORMATS:
            raise RecipeError(f"source {self.key!r}: a media source's format is {' or '.join(MEDIA_FORMATS)}")
        if self.url or not (self.hub or self.downloads or self.by_hand or self.path):
            raise RecipeError(
                f"source {self.key!r}: a media source has a hub, downloads, or a sentence in by_hand"
            )
        if len({layout.name for layout in self.layouts}) < len(self.layouts):
            raise RecipeError(f"source {self.key!r}: two of its layouts have one name")

    @property
    def settable(self) -> tuple[str, ...]:
        """Say what ``--set SOURCE.FIELD=VALUE`` may name."""
        return ("order", "variant") if self.variants else ("order",)

    def with_variant(self, name: str) -> Source:
        """The same source, read from another version of its files.

        Raises:
            UsageError: It has no such version.
        """
        if name not in self.variants:
            raise UsageError(f"{self.key}.variant={name}: expected one of {', '.join(self.variants)}")
        chosen = self.variants[name]
        return replace(
            self,
            variant=name,
            hub=chosen.hub or self.hub,
            patterns=chosen.patterns,
            size_bytes=chosen.size_bytes,
            rows=chosen.rows,
        )

    @property
    def home(self) -> str | None:
        """Say where it is fetched from: ``REPO@REVISION``, a URL or several; None where nothing fetches it."""
        if self.hub:
            return f"{self.hub}@{self.revision}"
        return " ".join(one.url for one in self.downloads) or self.url

    def identity(self) -> Json:
        """Of a media source, what decides which bytes stand behind a path, beside the files themselves."""
        layouts = [[layout.name, layout.member, layout.path] for layout in self.layouts]
        return {"format": self.format, "layouts": layouts, "stems": self.stems}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """Holds what the author promises; ``run`` ends with exit code 3 below it.

    Attributes:
        kept_share: Least share of the requested media that should survive the crawl, 0 to 1.
        usual_share: Share of them that usually survives, for ``plan``; ``kept_share`` if None.
        media_per_row: Usual number of media of one row, for ``plan``.
        stored_bytes: Usual size of one stored sample, for ``plan``.
        received_bytes: Usual size of one answer, for ``plan``.
    """

    kept_share: float = 0.0
    usual_share: float | None = None
    selected_share: float = 1.0
    media_per_row: float = 1.0
    stored_bytes: int | None = None
    received_bytes: int | None = None
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """Says that a recipe is built from the arguments of a command of its own.

    Attributes:
        command: How that command is typed, its options left out.
        source: Key of the source that a person gives: its place is the argument ``path``.
        input: What one of its files is called.
        item: What one of the things in such a file is called.
    """

    command: tuple[str, ...]
    source: str
    input: str = "annotation file"
    item: str = "row"

    @property
    def place(self) -> str:
        """The word that stands for the place in the command."""
        return self.command[1]


class OptionalStep(Protocol):
    """A step that any recipe may have, and has once a person gives one of its settings."""

    @property
    def name(self) -> str:
        """Of the step."""

    def added_to(self, recipe: Recipe, settings: Mapping[str, str]) -> Recipe:
        """The recipe with the step in its place, its settings not applied yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One dataset: its card, its pinned sources, its steps.

    Attributes:
        name: That of its module: a-z, 0-9 and ``_``. It is typed, and found on disk, as
            :func:`gristmill.spec.registry.typed` says.
        version: YEAR.MONTH.NUMBER; raised when the same annotations come out otherwise.
        title, description, homepage, license, citation: For the card. A licence is an SPDX name, or words.
        redistribution: What may be passed on: the pictures, their URLs, or nothing.
        stages: Of training, that it is usually used in.
        traps: What is odd about it, a sentence each, for the card and ``gristmill show``.
        sources: Where its annotations and media come from.
        parse: From a row to a sample, or to a drop.
        writes: What ``parse`` provides for steps, such as ``media.url``.
        steps: In order: one over the table, any over samples, one that packs or shuffles.
        expect: What is promised of a run.
        key: Of samples to which ``parse`` gives none, by their place upstream: ``row``, and ``file``, which is the
            file's position or the number in its name.
        groups: Names under which it is run together with others.
        published_as: Name, without ending, of the one file that VILA's own scripts make of it, if they do.
        built: How it is built, where it is not a file of its own.
        optional: Steps that are part of it once one of their settings is given.
    """

    name: str
    version: str
    title: str
    description: str
    homepage: str
    license: str
    sources: tuple[Source, ...]
    parse: Parse
    steps: tuple[Step, ...]
    citation: str = ""
    redistribution: Literal["media", "urls", "nothing"] = "urls"
    stages: tuple[Literal["align", "pretrain", "sft"], ...] = ()
    traps: tuple[str, ...] = ()
    writes: frozenset[str] = field(default_factory=frozenset)  # what parse provides
    key: str = "{file:05d}{row:010d}"
    groups: tuple[str, ...] = ()
    expect: Expect = field(default_factory=Expect)
    published_as: str = ""
    built: Built | None = None
    optional: tuple[OptionalStep, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise RecipeError(f"{self.name!r}: a recipe's name is its module's name: a-z, 0-9, _")
        if not re.fullmatch(r"\d{4}\.\d{1,2}\.\d+", self.version):
            raise RecipeError(f"{self.name}: version {self.version!r} is not YEAR.MONTH.NUMBER")
        self._check_reads()

    def _check_reads(self) -> None:
        known = set(self.writes)
        earlier = ["parse"]
        for step in self.steps:
            missing = sorted(step.reads - known)
            if missing:
                raise RecipeError(
                    f"{self.name}: {step.name} reads {missing}, which no earlier step writes.\n"
                    f"Earlier steps: {', '.join(earlier)}. Put a step that writes it before {step.name}; or, where "
                    f"parse gives it, writes=frozenset({{{', '.join(map(repr, missing))}}}) into the recipe."
                )
            known |= step.writes
            earlier.append(step.name)

    @property
    def public_name(self) -> str:
        """The name as typed and as found on disk; one that a person gave to a command has no dots."""
        return self.name.replace("_", "-") if self.built else typed(self.name)

    def source(self, key: str) -> Source:
        """The source with this key.

        Raises:
            UnknownName: No source has it.
        """
        for source in self.sources:
            if source.key == key:
                return source
        raise UnknownName("source", key, tuple(s.key for s in self.sources))

    def of_role(self, role: SourceRole) -> tuple[Source, ...]:
        """Its sources of one role."""
        return tuple(source for source in self.sources if source.role == role)

    @property
    def input_noun(self) -> str:
        """Say what one of its annotation files is called."""
        return self.built.input if self.built else "annotation file"

    @property
    def asks_elsewhere(self) -> bool:
        """A step asks elsewhere for what lies in no media source."""
        return any(step.asks_elsewhere for step in self.steps)

    @property
    def elsewhere(self) -> str:
        """Say what to type so that a step asks elsewhere; empty where none can."""
        return next((step.elsewhere for step in self.steps if step.elsewhere), "")

    @property
    def published_rows(self) -> int | None:
        """Rows of all sources as published; None where the number of some is not known."""
        known = [source.rows for source in self.sources if source.role == "rows"]
        return None if None in known else sum(rows or 0 for rows in known)

    @property
    def missing(self) -> str:
        """Say what a person must give or install before it can run, and how; empty where nothing is missing."""
        return next(filter(None, (step.missing() for step in self.steps)), "")

    @property
    def asks(self) -> bool:
        """A step asks the network for media."""
        return any(step.needs.network for step in self.steps)

    def identity(self) -> dict[str, Json]:
        """All that decides what comes out, for comparison field by field."""
        return {
            "recipe": self.public_name,
            "version": self.version,
            "steps": [step.identity() for step in self.steps],
            **({"order": orders} if (orders := {s.key: s.order for s in self.sources if s.number}) else {}),
            **({"variant": chosen} if (chosen := self._variants()) else {}),
            **({"media": media} if (media := {s.key: s.identity() for s in self.of_role("media")}) else {}),
        }

    def permissions(self, settings: Mapping[str, str]) -> frozenset[str]:
        """Those of ``STEP.FIELD`` settings, as typed, that only a person gives; see :func:`permission`.

        Raises:
            UnknownName, UsageError: As :meth:`with_settings`.
        """
        allowed = {
            f"{step.name}.{f.name}"
            for step in self.with_settings(settings).steps
            for f in fields(step)
            if f.metadata.get("permission") and _is_beyond(getattr(step, f.name), f.default)
        }
        return frozenset(allowed & settings.keys())

    def _variants(self) -> dict[str, Json]:
        return {source.key: source.variant for source in self.sources if source.variants}

    def _of_variants(self, settings: Mapping[str, str]) -> dict[str, str]:
        """The settings that chosen variants bring with them."""
        found: dict[str, str] = {}
        for source in self.sources:
            chosen = settings.get(f"{source.key}.variant")
            if source.variants and chosen is not None:
                found.update(source.with_variant(chosen).variants[chosen].settings)
        return found

    def with_settings(self, settings: Mapping[str, str]) -> Recipe:
        """The recipe with ``STEP.FIELD`` settings replaced by values as typed on the command line.

        ``expect.kept_share`` sets the share below which a run ends with exit code 3.
        Of a source ``SOURCE.order`` can be set, the order of its annotation files, and where upstream has several
        versions of them ``SOURCE.variant``, which may bring settings of its own: those that are typed hold.

        Raises:
            UnknownName: No such step or field.
            UsageError: The text does not fit the field's type.
        """
        for option in self.optional:
            if any(dotted.partition(".")[0] == option.name for dotted in settings):
                left = tuple(one for one in self.optional if one is not option)
                return replace(option.added_to(self, settings), optional=left).with_settings(settings)
        steps, sources, expect = list(self.steps), list(self.sources), self.expect
        for dotted, text in {**self._of_variants(settings), **settings}.items():
            name, _, field_name = dotted.partition(".")
            if dotted == "expect.kept_share":
                expect = replace(expect, kept_share=_share(dotted, text))
                continue
            places = [i for i, step in enumerate(steps) if step.name == name]
            own = [i for i, s in enumerate(sources) if s.key == name and field_name in s.settable]
            if not places and not own:
                raise UnknownName("step", name, (*(s.name for s in steps), *(s.name for s in self.optional)))
            for place in places:
                steps[place] = _set_field(steps[place], field_name, text)
            for place in () if places else own:
                if field_name == "variant":
                    sources[place] = sources[place].with_variant(text)
                else:
                    sources[place] = replace(sources[place], order=text)  # type: ignore[arg-type]  # it is checked
        return replace(self, steps=tuple(steps), sources=tuple(sources), expect=expect)


def _share(where: str, text: str) -> float:
    share = _convert(text, 0.5, "float", where)
    if not isinstance(share, float) or not 0 <= share <= 1:
        raise UsageError(f"{where}={text}: expected a share between 0 and 1")
    return share


def _is_beyond(value: object, default: object) -> bool:
    if isinstance(value, (int, float)) and isinstance(default, (int, float)) and not isinstance(value, bool):
        return value > default
    return value != default


def _set_field(step: Step, name: str, text: str) -> Step:
    if not is_dataclass(step):
        raise RecipeError(f"step {step.name} is not a dataclass")
    known = {f.name: f for f in fields(step) if not f.name.startswith("_")}
    if name not in known:
        raise UnknownName(f"setting of {step.name}", name, tuple(known))
    value = _convert(text, getattr(step, name), str(known[name].type), f"{step.name}.{name}")
    try:
        return replace(step, **{name: value})
    except (ValueError, TypeError) as err:
        raise UsageError(f"--set {step.name}.{name}={text}: {err}") from err


_NO_INT = 2**63
"""Whole numbers from here on do not fit what is written with them: records, tables, manifests."""


def _convert(text: str, current: object, declared: str, where: str) -> object:
    """A typed value from text: the declared type decides, spelled as in the dataclass."""
    base = declared.replace("| None", "").strip()
    if "None" in declared and text.lower() in {"none", "null", ""}:
        return None
    try:
        if base == "bool":
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
                text.lower()
            ]
        if base == "int":
            if abs(number := int(text.replace("_", ""))) >= _NO_INT:
                raise ValueError("not a number that a record holds")
            return number
        if base == "float":
            if not math.isfinite(share := float(text)):
                raise ValueError("not a number that bounds anything")
            return share
        if base.startswith("tuple[str"):
            return tuple(part.strip() for part in text.split(",") if part.strip())
    except (KeyError, ValueError) as err:
        raise UsageError(f"--set {where}={text}: expected {base}, for example {where}={current}") from err
    return text
