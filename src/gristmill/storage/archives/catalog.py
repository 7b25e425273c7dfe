"""The catalog of a media source: one index over all its archives, by the paths that records use.

Which of the source's layouts holds is decided here, by counting what the archives' own indexes name. The entry of a
member then has the path for its name, and its archive's number: it is found at once among any number of archives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gristmill.spec.errors import DamagedSource, UsageError
from gristmill.spec.media_source import MemberLayout
from gristmill.storage.archives.entries import Entry, Scan, Summary
from gristmill.storage.archives.index import IndexWriter, MemberIndex
from gristmill.storage.archives.source import Indexed
from gristmill.storage.files import machine_error

__all__ = ["CATALOG", "CATALOG_REVISION", "Catalogued", "read_catalog", "write_catalog"]

CATALOG = "catalog"
"""In the place of a kind, in the summary of such an index."""
CATALOG_REVISION = 1
"""Raised when the same archives and layouts give another catalog."""

_EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogued:
    """Holds what a catalog holds, in numbers.

    Attributes:
        layout: The name of the one that holds; empty where the source has none.
        members: How many can be read.
        refused: How many of that layout cannot, by reason.
        passed_over: How many are of no layout.
        examples: Names of some of those.
    """

    layout: str
    members: int
    refused: dict[str, int]
    passed_over: int = 0
    examples: tuple[str, ...] = ()


@dataclass(slots=True)
class _Count:
    members: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        self.members += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(name)

    def __str__(self) -> str:
        return f"{self.members:,} ({', '.join(self.examples)}{', ...' if self.members > _EXAMPLES else ''})"


def write_catalog(
    source: str,
    archives: Sequence[Indexed],
    layouts: Sequence[MemberLayout],
    path: Path,
    *,
    stems: bool = False,
    tell: Callable[[int], None] = lambda members: None,
) -> Catalogued:
    """Decide which layout holds, and write the index of all members by the paths that records use.

    Where several archives have a path, the first of them counts; the others' members are refused as duplicates.

    Args:
        source: Its key, for messages.
        archives: With their indexes.
        layouts: In order; none if records name members as the archives do.
        path: Of the catalog.
        stems: A path is also found under another extension.
        tell: Called with the number of members so far, now and then; what it raises ends the pass.

    Raises:
        DamagedSource: No member is of any layout, or some are of one and some of another.
        MachineError: The system refuses.
    """
    layout, others = _holding(source, archives, layouts, tell) if layouts else (None, _Count())
    try:
        with IndexWriter(path, tell, stems=stems) as writer:
            for number, indexed in reversed(
                list(enumerate(archives))
            ):  # of one name, the last that is added counts
                writer.add(_renamed(indexed, layout, number))
            told = {
                "layout": layout.name if layout else "",
                "passed_over": others.members,
                "examples": others.examples,
            }
            return _catalogued(writer.finish(CATALOG, CATALOG_REVISION, (), Scan(), told))
    except OSError as err:
        raise machine_error(err, path) from err


def read_catalog(path: Path) -> Catalogued | None:
    """Say what a catalog holds; None if it is not there, or no whole one of this version."""
    try:
        summary = MemberIndex(path).summary
        return (
            _catalogued(summary) if (summary.kind, summary.revision) == (CATALOG, CATALOG_REVISION) else None
        )
    except (DamagedSource, UsageError, KeyError, TypeError):
        return None


def _catalogued(summary: Summary) -> Catalogued:
    """What its writer said of it.

    Raises:
        KeyError, TypeError: It said something else.
    """
    told = summary.told
    if not (isinstance(told["layout"], str) and isinstance(told["passed_over"], int)):
        raise TypeError("a value of another type")
    return Catalogued(
        layout=told["layout"],
        members=summary.members,
        refused=dict(summary.refused),
        passed_over=told["passed_over"],
        examples=tuple(map(str, told["examples"])),
    )


def _renamed(indexed: Indexed, layout: MemberLayout | None, number: int) -> Iterator[Entry]:
    for entry in indexed.index.entries():
        path = entry.name if layout is None else layout.path_of(entry.name)
        if path is not None:
            yield entry._replace(name=path, raw=entry.raw_name, archive=number)


def _holding(
    source: str, archives: Sequence[Indexed], layouts: Sequence[MemberLayout], tell: Callable[[int], None]
) -> tuple[MemberLayout, _Count]:
    """The layout that holds, and what is of none.

    Raises:
        DamagedSource: There is none, or more than one.
    """
    counts: dict[str, _Count] = {layout.name: _Count() for layout in layouts}
    others, seen = _Count(), Counter[str]()
    for indexed in archives:
        for entry in indexed.index.entries():
            seen["members"] += 1
            if seen["members"] % 4096 == 0:
                tell(seen["members"])
            if entry.refused is None:
                name = next((one.name for one in layouts if one.fits(entry.name)), None)
                (others if name is None else counts[name]).add(entry.name)
    found = [layout for layout in layouts if counts[layout.name].members]
    if len(found) == 1:
        return found[0], others
    where = str(archives[0].archive) + (f" and {len(archives) - 1} more" if len(archives) > 1 else "")
    if not found:
        said = f"of {others}, no member is" if others.members else "no member can be read that is"
        raise DamagedSource(
            f"{source}: {where} is not what is expected there: {said} as in {_listed(layouts)}. Give the right "
            f"archive or folder with --source {source}=PATH."
        )
    forms = "; ".join(f"{layout.name}: {counts[layout.name]}" for layout in found)
    raise DamagedSource(
        f"{source}: {where} holds members under several layouts, and which of them a record means cannot be told: "
        f"{forms}. Keep those of one, or give the place of one with --source {source}=PATH."
    )


def _listed(layouts: Sequence[MemberLayout]) -> str:
    return "; ".join(f"the layout {layout.name} ({layout.member})" for layout in layouts)
