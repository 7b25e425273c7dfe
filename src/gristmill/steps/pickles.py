"""Taking the items of VILA's pickles, without running anything in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from gristmill.shards.far_texts import FAR_COLUMN, FarText, far_column
from gristmill.shards.pickle_bytes import DamagedPickle, Far
from gristmill.shards.pickle_items import ItemRow, pickled_rows
from gristmill.shards.rows import JSON_ROW
from gristmill.spec.errors import UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Json
from gristmill.spec.step import TableContext, TableStep, permission

__all__ = ["FORMS", "TakePickles"]

FORMS: Mapping[str, tuple[frozenset[str], ...]] = {
    "mmc4": (frozenset({"text_list"}), frozenset({"image_info"})),
    "vflan": (frozenset({"question"}), frozenset({"answer", "answer:"})),
    "coyo": (frozenset({"text", "caption"}), frozenset({"image", "rawbytes"})),
}
"""The forms that VILA's loaders read, and the keys by which an item is known: one of each set."""

_AUTO = "auto"
_BATCH_ROWS = 512
_MOST_DETAILS = 1000
_DROPPED_AT_ONCE = 1 << 16
_PATH_END = ".jpg"  # by which LazyVFlanDataset tells a path from Base64


@dataclass(frozen=True, slots=True, kw_only=True)
class TakePickles(TableStep):
    """Every item of a pickled list of dicts, in its order; its pictures are read later, from where they lie.

    A pickle that names a class or a function is refused whole.

    Attributes:
        form: ``coyo``, ``mmc4`` or ``vflan``; ``auto`` tells by the keys of each file's first known item. Items
            without the form's keys are dropped under ``bad_row``.
        damaged: What becomes of a pickle that is cut off or damaged: ``refuse`` it, or ``keep`` the items before that
            place and count one more as dropped under ``truncated``.
        max_item_bytes: An item whose pictures together are larger is dropped under ``row_too_long``.
        part_bytes: Most bytes of pictures that one task is given, so that memory is bounded however large they are.
        images: Folder of the picture files that items name instead of holding them; such items are dropped under
            ``no_file`` without it, and if the file is not there, or outside of it.
    """

    form: str = _AUTO
    damaged: str = "refuse"
    max_item_bytes: int = 128 << 20
    part_rows: int = 2500
    part_bytes: int = 24 << 20
    images: str | None = permission(None)

    name = "pickles"
    revision = 2
    keeps_source = True
    drops = frozenset(
        {Reason.BAD_ROW, Reason.ROW_TOO_LONG, Reason.NOT_CHOSEN, Reason.TRUNCATED, Reason.NO_FILE}
    )

    def __post_init__(self) -> None:
        if self.form not in {_AUTO, *FORMS}:
            raise UsageError(f"pickles.form={self.form}: expected auto, {', '.join(FORMS)}")
        if self.damaged not in {"refuse", "keep"}:
            raise UsageError(f"pickles.damaged={self.damaged}: expected refuse or keep")
        if min(self.max_item_bytes, self.part_rows, self.part_bytes) < 1:
            raise UsageError("pickles: max_item_bytes, part_rows and part_bytes must be at least 1")

    @property
    def media_folder(self) -> Path | None:
        """See :class:`TableStep`."""
        return None if self.images is None else Path(self.images)

    def apply(self, table: Path, box: TableContext) -> None:
        """See :class:`TableStep`.

        Raises:
            SourceError: It would run something, is damaged, or holds no list of dicts.
        """
        drops = _Drops(box)
        part = _Part(self, box, drops)
        number = -1
        named = 0
        try:
            for row in self._rows(table, box):
                number = row.number
                if row.reason is not None:
                    drops.add(number, row.reason, row.detail)
                    named += row.reason is Reason.NO_FILE and self.images is None
                else:
                    part.add(row)
                if number % _BATCH_ROWS == 0:
                    box.progress(number, None)
        except DamagedPickle as err:
            if self.damaged == "refuse":
                raise DamagedPickle(
                    f"{err} Or import into another folder with --keep-damaged, which takes the items before that."
                ) from err
            number += 1
            drops.add(number, Reason.TRUNCATED, str(err)[-150:])
            box.note(f"{err} The {number:,} items before were kept.")
        part.flush()
        drops.flush()
        if named:
            box.note(f"{named:,} items name picture files: --images FOLDER, with another --out, takes them")
        _compare_count(table, number + 1, box)

    def _rows(self, table: Path, box: TableContext) -> Iterator[ItemRow]:
        """The items, each either of the file's form, its picture files found, or with the reason why not."""
        form = None if self.form == _AUTO else self.form
        for row in pickled_rows(table, max_item_bytes=self.max_item_bytes, tell=box.note):
            if row.value is not None:
                form = form or _form_of(row.value)
                fault = _not_of(row.value, form)
                if fault:
                    row.reason, row.detail = Reason.BAD_ROW, f"from byte {row.offset}: {fault}"
                elif form == "vflan":
                    self._find_files(row)
            yield row

    def _find_files(self, row: ItemRow) -> None:
        """Pictures that are paths become pointers at these files."""
        name, pictures = _pictures(row.value or {})
        for place, text in enumerate(pictures):
            if not isinstance(text, str) or not text.endswith(_PATH_END):
                continue
            found = self._file(text)
            if found is None:
                shown = text[:200].encode("utf-8", "backslashreplace").decode()
                row.reason, row.detail = Reason.NO_FILE, shown
                return
            way = (name, place) if isinstance((row.value or {})[name], list) else (name,)
            row.far.append(replace(found, path=way))

    def _file(self, text: str) -> FarText | None:
        if self.images is None:
            return None
        try:
            root = Path(self.images).resolve()
            path = (root / text).resolve()
            if not path.is_relative_to(root) or not path.is_file():
                return None
            size = path.stat().st_size
        except (OSError, RuntimeError, ValueError):  # too long, a loop of links, no text that a path can be
            return None
        return FarText((), Far(0, size, text=False), str(path)) if size <= self.max_item_bytes else None


def _form_of(item: Mapping[str, Json]) -> str | None:
    return next((form for form, needs in FORMS.items() if all(item.keys() & names for names in needs)), None)


def _not_of(item: Mapping[str, Json], form: str | None) -> str | None:
    """Why an item is not of a form; None if it is."""
    keys = ", ".join(map(repr, item))[:100]
    if form is None:
        return f"of no known form: its keys are {keys}"
    missing = [names for names in FORMS[form] if not item.keys() & names]
    if not missing:
        return None
    return f"no {' or '.join(repr(name) for name in sorted(missing[0]))}, as {form} has; its keys are {keys}"


def _pictures(item: Mapping[str, Json]) -> tuple[str, list[Json]]:
    name = "image:" if "image:" in item else "image"
    value = item.get(name)
    return name, value if isinstance(value, list) else [value]


class _Drops:
    """Items that are no rows, or not wanted: the first of them with what was seen, the others many at a time."""

    def __init__(self, box: TableContext) -> None:
        self._box = box
        self._told = 0
        self._waiting: dict[Reason, list[int]] = {}

    def add(self, number: int, reason: Reason, detail: str = "") -> None:
        """One more."""
        if detail and self._told < _MOST_DETAILS:
            self._told += 1
            self._box.drop(pa.array([number], pa.int64()), reason, detail)
            return
        waiting = self._waiting.setdefault(reason, [])
        waiting.append(number)
        if len(waiting) == _DROPPED_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Give all of them to the box."""
        for reason, numbers in self._waiting.items():
            self._box.drop(pa.array(numbers, pa.int64()), reason)
        self._waiting.clear()


class _Part:
    """Rows on their way to one task."""

    def __init__(self, step: TakePickles, box: TableContext, drops: _Drops) -> None:
        self._step, self._box, self._drops = step, box, drops
        self._rows: list[tuple[ItemRow, bytes]] = []
        self._bytes = 0
        self._left = box.only

    def add(self, row: ItemRow) -> None:
        """One more row; a full part ends before it."""
        if self._left is not None:
            if not self._left:
                self._drops.add(row.number, Reason.NOT_CHOSEN)
                return
            self._left -= 1
        text = row.json()
        size = sum(found.far.size for found in row.far) + len(text)
        full = self._bytes + size > self._step.part_bytes or len(self._rows) == self._step.part_rows
        if full and self._rows:
            self.flush()
        self._rows.append((row, text))
        self._bytes += size

    def flush(self) -> None:
        """End the part."""
        if self._rows:
            table = pa.table(
                {
                    JSON_ROW: pa.array([text for _, text in self._rows], pa.binary()),
                    FAR_COLUMN: far_column(row.far for row, _ in self._rows),
                }
            )
            self._box.keep(table, pa.array([row.number for row, _ in self._rows], pa.int64()))
            self._box.cut()
        self._rows, self._bytes = [], 0


def _compare_count(table: Path, items: int, box: TableContext) -> None:
    """Say so where the file beside a pickle, by which VILA's loaders deal out shards, has another number."""
    beside = table.with_suffix(".count")
    if beside.is_file():
        text = beside.read_bytes()[:40].decode("ascii", "replace").strip()
        if text != str(items):
            box.note(f"{beside.name} says {text!r}, the pickle holds {items:,} items")
