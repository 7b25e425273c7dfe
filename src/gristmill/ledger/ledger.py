"""The ledger: what was done, as task records in append-only journals.

Each process that commits has a journal of its own, durable after each line (where a store cannot append, a file for
each line); a line is a record, and its presence means done. A line cut off by a kill does not count. A line that
takes something back names the very record it speaks of, so that the order in which journals are read does not matter.
The index in memory is rebuilt from the journals and can be refreshed while other processes append to theirs.
"""

from __future__ import annotations

import gc
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import BinaryIO

import msgspec

from gristmill.spec.errors import DamagedOutput
from gristmill.spec.sample import Json
from gristmill.spec.task import RECORD_FORMAT, Account, LostSamples, ShardInfo, TaskRecord
from gristmill.storage.store import (
    SEGMENT_LINES,
    Place,
    line_name,
    line_of,
    merge,
    segment_of,
    store_at,
    within,
)

__all__ = ["LAGS_S", "RECORDS", "STATE", "Ledger", "uncollected"]

STATE = ".gristmill"
"""The folder within a dataset's folder for what a trainer never reads."""
RECORDS = f"{STATE}/records"
"""Its folder of journals."""

_DECODER = msgspec.json.Decoder(TaskRecord)
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
_NOT_A_RECORD = (b'{"released"', b'{"void"')
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


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the cyclic garbage collector from walking through records again and again while they are made.

    None of them is part of a cycle; with a hundred thousand the walks cost more than the reading. What was made is
    then frozen, so that the first walk afterwards passes it over, too.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.freeze()
            gc.enable()


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


def _runs(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    """Cut numbers in ascending order into runs without a gap, no more than a segment holds; short ones are left out.

    A process at work merges them itself, and what one that was killed left costs a request for each.
    """
    start = 0
    for end in range(1, len(numbers) + 1):
        if end == len(numbers) or numbers[end] != numbers[end - 1] + 1 or end - start == SEGMENT_LINES:
            if end - start >= max(2, SEGMENT_LINES // 10):
                yield numbers[start:end]
            start = end


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


class Ledger:
    """The records of one dataset.

    Args:
        place: The dataset's folder (``DIR/NAME``), or store.
    """

    def __init__(self, place: Place) -> None:
        self.store = store_at(place)
        self._journal = self.store.journal(RECORDS)
        self._read_to: dict[str, int] = {}
        self._segments: Mapping[str, Sequence[range]] = {}
        self._listed_at = float("-inf")
        self.records: dict[str, TaskRecord] = {}
        self._void: set[tuple[str, float]] = set()
        self._released: dict[str, float] = {}  # path to finished_at of the record whose output it is
        with uncollected():
            self.refresh()

    @property
    def read_to(self) -> Mapping[str, int]:
        """Journal's place to how many of its bytes are known: whole lines."""
        return self._read_to

    def refresh(self, *, now: bool = False) -> list[TaskRecord]:
        """Read what was appended since the last time, by any process; returns the new records.

        Args:
            now: Look even if that was done a moment ago, whatever a listing costs.
        """
        new: list[TaskRecord] = []
        if not now and time.monotonic() - self._listed_at < self.store.listed_every_s:
            return new
        self._listed_at = time.monotonic()
        for pause_s in LAGS_S:
            time.sleep(pause_s)
            with suppress(_Merged):
                for record in self._read_listed():
                    new.append(record)
                return new
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

    def merge_left(self) -> None:
        """Merge lines that processes killed earlier left in files of their own, where a store cannot append.

        What another process is at may be among it: then some lines are in two segments, and count once.
        """
        apart: dict[str, list[int]] = defaultdict(list)
        for name in map(lambda one: one.name, self.store.list(RECORDS)):
            if within(name, self._segments):
                self.store.delete(name)
            elif (one := line_of(name)) is not None:
                apart[one[0]].append(one[1])
        for stem, numbers in apart.items():
            for some in _runs(sorted(numbers)):
                with suppress(FileNotFoundError):  # its own process was quicker
                    merge(self.store, stem, some[0], [self.store.read(line_name(stem, n)) for n in some])

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
                record = _DECODER.decode(line)
                _check_format(record.format, path)
                _check_places(record, path)
                return self._take(record)
            value = msgspec.json.decode(line)
            if "void" in value:
                self._forget(str(value["void"]), float(value["finished_at"]))
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

    def _take(self, record: TaskRecord) -> TaskRecord | None:
        if (record.task_id, record.finished_at) in self._void:
            return None
        known = self.records.get(record.task_id)
        if known is not None and known.finished_at > record.finished_at:
            return None  # it was taken back and done anew; the line that says so is in a journal still to be read
        if known == record:
            return None  # its line has been merged into a segment
        if record.shape:  # most shards of a dataset say the same
            object.__setattr__(record, "shape", sys.intern(record.shape))
        self.records[record.task_id] = record
        return record

    def _forget(self, task_id: str, finished_at: float) -> None:
        self._void.add((task_id, finished_at))
        if task_id in self.records and self.records[task_id].finished_at == finished_at:
            del self.records[task_id]

    def commit(self, record: TaskRecord) -> None:
        """Make a task done: append its record and sync.

        Raises:
            OSError: As the system says; the task is then not done.
        """
        self._append(record)
        self._take(record)

    def void(self, task_id: str) -> None:
        """Take a record back, because its outputs are damaged or gone; the task will be done anew."""
        record = self.records.get(task_id)
        if record is not None:
            self._append({"void": task_id, "finished_at": record.finished_at})
            self._forget(task_id, record.finished_at)

    def release(self, paths: list[str]) -> None:
        """Note that intermediate files are no longer needed, before they are removed."""
        made = {shard.path: r.finished_at for r in self.records.values() for shard in r.outputs}
        released = {path: made.get(path, 0.0) for path in paths}
        self._append({"released": released})
        self._released.update(released)

    def is_released(self, record: TaskRecord, shard: ShardInfo) -> bool:
        """True if this output of this record may be gone."""
        return self._released.get(shard.path) == record.finished_at

    def _append(self, value: TaskRecord | dict[str, Json]) -> None:
        name, end = self._journal.append(msgspec.json.encode(value) + b"\n")
        self._read_to[name] = end

    def stage(self, stage: str) -> list[TaskRecord]:
        """Records of one stage, in the dataset's order."""
        return sorted((r for r in self.records.values() if r.stage == stage), key=lambda r: r.number)

    def of(self, account: Account) -> list[TaskRecord]:
        """Records that count for this, in the dataset's order."""
        return sorted((r for r in self.records.values() if r.account == account), key=lambda r: r.number)

    def shards(self) -> list[TaskRecord]:
        """Records of the tasks that make shards, by the shards' numbers; their names sort so only up to 99,999."""
        return sorted(self.of("packing"), key=lambda record: record.number[2])

    def close(self) -> None:
        """Close this process's journal."""
        self._journal.close()
