"""The ledger: what was done, as task records in append-only journals.

Each process that commits has a journal of its own, durable after each line (where a store cannot append, a file for
each line); a line is a record, and its presence means done. A line cut off by a kill does not count. A line that
takes something back names the very record it speaks of, so that the order in which journals are read does not matter.
What is held of records in memory is rebuilt from the journals and can be refreshed while others append to theirs.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from typing import BinaryIO

import msgspec

from gristmill.ledger.records import Records, decode
from gristmill.ledger.totals import Totals, fold
from gristmill.spec.errors import DamagedOutput
from gristmill.spec.sample import Json
from gristmill.spec.task import RECORD_FORMAT, Account, LostSamples, ShardInfo, TaskRecord
from gristmill.storage.segments import BUNDLE, FEW, bundle, is_small, segment_of, within
from gristmill.storage.store import Place, store_at

__all__ = ["LAGS_S", "RECORDS", "STATE", "Ledger"]

STATE = ".gristmill"
"""The folder within a dataset's folder for what a trainer never reads."""
RECORDS = f"{STATE}/records"
"""Its folder of journals."""

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PLACES: Mapping[str, tuple[str, ...]] = {
    "part": (f"{STATE}/parts",),
    "index": (f"{STATE}/crawled", f"{STATE}/scattered"),
    "spool": (f"{STATE}/crawled", f"{STATE}/scattered"),
    "blocklist": (f"{STATE}/decisions",),
    "keys": (f"{STATE}/decisions",),
    "fates": ("fates",),
    "shard": ("shards", "references"),
    "sidecar": ("shards",),
}
"""Folders below the dataset's, by the role of the outputs that lie in them."""
_LATEST_S = 2.5e11
_MOST = 2.0**53
LAGS_S = (0.0, 0.0, 0.0, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0)
"""Pauses before each further look at a listing: a line may be merged by another process between its listing and its
reading, and some object stores list what was put or removed some seconds later."""
_LINE_BYTES = 256 << 20
"""More than that no record has: statistics of the worst list has some kilobytes."""
_NOT_A_RECORD = (b'{"released"', b'{"void"', BUNDLE)
_NO_RECORD = (
    msgspec.DecodeError,
    RecursionError,
    LostSamples,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
)
"""What a line raises that no run wrote."""


def _check_format(number: object, path: str) -> None:
    if number != RECORD_FORMAT:
        raise DamagedOutput(
            f"{path} holds a record of format {number}, and this version of Gristmill knows format {RECORD_FORMAT} "
            "alone. Go on with the version that wrote it, or begin another folder."
        )


def _format_of(line: bytes) -> object:
    """The format of a line that could not be read as a record, as far as it says one."""
    with suppress(msgspec.DecodeError, RecursionError):
        value = msgspec.json.decode(line)
        return value.get("format", RECORD_FORMAT) if isinstance(value, dict) else RECORD_FORMAT
    return RECORD_FORMAT


def _in_place(shard: ShardInfo) -> bool:
    folder, _, name = shard.path.rpartition("/")
    named = folder in _PLACES.get(shard.role, ()) and _NAME.fullmatch(name) is not None
    return named and _DIGEST.fullmatch(shard.digest) is not None


def _check_places(record: TaskRecord, path: str) -> None:
    """Refuse a record that no run wrote: a folder may be a stranger's, and what it names is read, and removed."""
    strange = next((shard.path for shard in record.outputs if not _in_place(shard)), None)
    numbers = (
        *record.number,
        record.samples_in,
        record.kept,
        *record.dropped.values(),
        *(size for shard in record.outputs for size in (shard.samples, shard.size_bytes)),
    )
    right = min(numbers) >= 0 and max(numbers) < _MOST and 0 <= record.finished_at < _LATEST_S
    right = right and all(abs(number) < _MOST for number in (record.seconds, *record.facts.values()))
    if strange is not None or not right or not _is_found(record):
        what = "numbers that cannot be" if not right else "a finding that cannot be"
        what = what if strange is None else f"an output {strange[:200]!r}"
        raise DamagedOutput(
            f"{path}: the record of task {record.task_id[:40]!r} has {what}, which no run writes. Nothing in this "
            "folder was changed; if it came from somebody else, do not trust it."
        )


def _is_found(record: TaskRecord) -> bool:
    """Whether ``found`` is what tasks of the stage find."""
    try:
        if record.account == "packing" and record.found is not None:
            msgspec.convert(record.found, list[tuple[str, int]])
        elif record.account == "counting" and record.found:
            msgspec.convert(record.found, _SamePictures)
    except msgspec.ValidationError:
        return False
    return True


class _Merged(Exception):
    """A line that was listed is in a segment by now, and no file any more."""


def _segments(names: Iterable[str]) -> dict[str, list[range]]:
    """Map each journal's stem to those of its lines that are in segments."""
    found: dict[str, list[range]] = defaultdict(list)
    for name in names:
        if (segment := segment_of(name)) is not None:
            found[segment[0]].append(segment[1])
    return found


class _Host(msgspec.Struct):
    host: str
    media: int
    pictures: int


class _Picture(msgspec.Struct):
    example_url: str
    urls: int
    files: int
    hosts: int


class _SamePictures(msgspec.Struct):
    """What a count over all media finds; see ``gristmill.steps.same_tally``."""

    pictures: int
    media: int
    urls: int
    hosts: list[_Host]
    more_hosts: int
    largest: list[_Picture]


def _made(record: TaskRecord) -> set[tuple[str, str]]:
    """Give what a task made, without the files that say when or how."""
    return {(one.path, one.digest) for one in record.outputs if one.role not in ("sidecar", "fates")}


class Ledger:
    """The records of one dataset.

    Args:
        place: The dataset's folder (``DIR/NAME``), or store.

    Attributes:
        records: The last of each task.
        differing: Tasks that two commands did, with outputs that are not the same: when each was done.
    """

    def __init__(self, place: Place) -> None:
        self.store = store_at(place)
        self._journal = self.store.journal(RECORDS)
        self._read_to: dict[str, int] = {}
        self._segments: Mapping[str, Sequence[range]] = {}
        self._listed_at = float("-inf")
        self.records = Records()
        self.differing: dict[str, set[float]] = {}
        self._totals: tuple[int, Totals] | None = None
        self._void: set[tuple[str, float]] = set()
        self._released: dict[str, float] = {}  # path to finished_at of the record whose output it is
        for _ in self._new():  # none of them is held
            pass

    @property
    def read_to(self) -> Mapping[str, int]:
        """Journal's place to how many of its bytes are known: whole lines."""
        return self._read_to

    def refresh(self, *, now: bool = False) -> list[TaskRecord]:
        """Read what was appended since the last time, by any process; returns the new records.

        Args:
            now: Look even if that was done a moment ago, whatever a listing costs.
        """
        soon = time.monotonic() - self._listed_at < self.store.listed_every_s
        return [] if soon and not now else list(self._new())

    def _new(self) -> Iterator[TaskRecord]:
        self._listed_at = time.monotonic()
        for pause_s in LAGS_S:
            time.sleep(pause_s)
            with suppress(_Merged):
                yield from self._read_listed()
                return
        raise DamagedOutput(
            f"{self.store}/{RECORDS}: files of records are listed and not there. Give the same command again when "
            "nothing else works there."
        )

    def _read_listed(self) -> Iterator[TaskRecord]:
        """Read what is new in all journals.

        Raises:
            _Merged: Another process has put a line into a segment since the listing.
        """
        journals = [one for one in self.store.list(RECORDS) if one.name.endswith(".jsonl")]
        self._segments = _segments(one.name for one in journals)
        for name in [name for name in self._read_to if within(name, self._segments)]:
            del self._read_to[name]
        for journal in journals:
            start = self._read_to.get(journal.name, 0)
            if journal.size_bytes <= start or within(journal.name, self._segments):
                continue
            path = f"{self.store}/{journal.name}"
            try:
                for line in self._lines(journal.name, path, start):
                    record = self._apply(line, path)
                    if record is not None:
                        yield record
            except FileNotFoundError as err:
                raise _Merged from err

    def merge_left(self, working: Callable[[], Collection[str]] = tuple, fewest: int = FEW) -> None:
        """Merge small files of records that processes left which are gone, where a store cannot append.

        Args:
            working: Says how the names of files begin that commands at work write, and merge themselves.
            fewest: Below so many small files nothing is done.
        """
        if not self._read_to:
            return
        left = []
        for one in self.store.list(RECORDS):
            if within(one.name, self._segments):
                self.store.delete(one.name)
            elif is_small(one):
                left.append(one)
        if len(left) >= fewest:
            theirs = tuple(working())
            bundle(self.store, [one for one in left if not one.name.startswith(theirs)])

    def _lines(self, name: str, path: str, start: int) -> Iterator[bytes]:
        with self._opened(name, start) as stream:
            while line := stream.readline(_LINE_BYTES):
                if len(line) == _LINE_BYTES:
                    raise DamagedOutput(
                        f"{path}: from byte {start} on there is no record. Restore it from a copy."
                    )
                if not line.endswith(b"\n"):
                    break  # cut off by a kill, or still being written: not a record
                start += len(line)
                self._read_to[name] = start
                yield line

    def _opened(self, name: str, start: int) -> BinaryIO:
        """A journal from ``start`` on; out of a store that is no folder, in one request and not through the disk."""
        return self.store.open(name, start) if self.store.local else BytesIO(self.store.read(name, start))

    def _apply(self, line: bytes, path: str) -> TaskRecord | None:
        try:
            if not line.startswith(_NOT_A_RECORD):
                record = decode(line)
                _check_format(record.format, path)
                _check_places(record, path)
                return record if self._take(record, line) else None
            value = msgspec.json.decode(line)
            if "void" in value:
                self._forget(str(value["void"]), float(value["finished_at"]))
            for name in value.get("bundle", ()):  # it may have been read by itself
                self._read_to.pop(f"{RECORDS}/{name}", None)
            for released, finished_at in value.get("released", {}).items():
                self._released[released] = max(finished_at, self._released.get(released, finished_at))
        except _NO_RECORD as err:
            _check_format(_format_of(line), path)
            err = ValueError("its numbers do not add up") if isinstance(err, LostSamples) else err
            raise DamagedOutput(
                f"{path}: the line {line[:60]!r}... is not a record ({err}). Remove that line and give the command "
                "again: its task alone is done anew."
            ) from err
        return None

    def _take(self, record: TaskRecord, line: bytes) -> bool:
        """Add a record; False of one that does not count, or is known."""
        if (record.task_id, record.finished_at) in self._void:
            return False
        known_at = self.records.finished_at(record.task_id)
        if known_at not in (None, record.finished_at):
            self._compare(self.records[record.task_id], record)
        if known_at is not None and known_at > record.finished_at:
            return False  # it was taken back and done anew; the line that says so is in a journal still to be read
        if known_at == record.finished_at and self.records[record.task_id] == record:
            return False  # its line has been merged into a segment
        self.records.keep(record, line)
        return True

    def _compare(self, one: TaskRecord, other: TaskRecord) -> None:
        """Take note of a task that was done twice; a line that says it was to be may come later."""
        if _made(one) != _made(other):
            self.differing.setdefault(one.task_id, set()).update((one.finished_at, other.finished_at))

    def _forget(self, task_id: str, finished_at: float) -> None:
        self._void.add((task_id, finished_at))
        left = self.differing.get(task_id, set()) - {finished_at}
        if len(left) < 2:
            self.differing.pop(task_id, None)
        else:
            self.differing[task_id] = left
        if self.records.finished_at(task_id) == finished_at:
            del self.records[task_id]

    def commit(self, record: TaskRecord) -> None:
        """Make a task done: append its record and sync.

        Raises:
            OSError: As the system says; the task is then not done.
        """
        self._take(record, self._append(record))

    def void(self, task_id: str) -> None:
        """Take a record back, because its outputs are damaged or gone; the task will be done anew.

        Of one of :attr:`differing` all records are.
        """
        known_at = self.records.finished_at(task_id)
        known = set() if known_at is None else {known_at}
        for finished_at in sorted(known | self.differing.get(task_id, set())):
            self._append({"void": task_id, "finished_at": finished_at})
            self._forget(task_id, finished_at)

    def release(self, paths: list[str]) -> None:
        """Note that intermediate files are no longer needed, before they are removed."""
        released = dict.fromkeys(paths, 0.0)
        for record in self.records.values():
            released |= {out.path: record.finished_at for out in record.outputs if out.path in released}
        self._append({"released": released})
        self._released.update(released)

    def is_released(self, record: TaskRecord, shard: ShardInfo) -> bool:
        """True if this output of this record may be gone."""
        return self._released.get(shard.path) == record.finished_at

    def _append(self, value: TaskRecord | dict[str, Json]) -> bytes:
        line = msgspec.json.encode(value) + b"\n"
        name, end = self._journal.append(line)
        self._read_to[name] = end
        return line

    def totals(self) -> Totals:
        """Sum all records, as :func:`gristmill.ledger.totals.total` does; once for as long as none is added."""
        if self._totals is None or self._totals[0] != self.records.changes:
            self._totals = self.records.changes, fold(self.records.in_order())
        return self._totals[1]

    def stage(self, stage: str) -> Sequence[TaskRecord]:
        """Records of one stage, in the dataset's order; each is made when it is reached."""
        return self.records.in_order(stage=stage)

    def of(self, account: Account) -> Sequence[TaskRecord]:
        """Records that count for this, in the dataset's order; each is made when it is reached."""
        return self.records.in_order(account=account)

    def shards(self) -> Sequence[TaskRecord]:
        """Records of the tasks that make shards, by the shards' numbers; their names sort so only up to 99,999."""
        return self.records.in_order(account="packing", by_part=True)

    def close(self) -> None:
        """Close this process's journal."""
        self._journal.close()
