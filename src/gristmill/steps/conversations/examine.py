"""A whole file of conversations: each record looked at, each medium once, and a mended copy where one is wanted.

The file is read once, and once more before that where media are looked at. In memory are a few batches of records,
and for each record and each medium some bytes: a hash of its id, and what was found. Large files are looked at in
several processes; what comes out does not depend on their number.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from gristmill.shards.json_row import json_object
from gristmill.spec.errors import MachineError, SourceError, UsageError
from gristmill.spec.sample import Json
from gristmill.steps.conversations.batches import DROPPED, FIXED, GOOD, Looked, Looker, RecordBatch
from gristmill.steps.conversations.conversation import ConversationRecord, MediumFact, key_of
from gristmill.steps.conversations.findings import DROP, FIX, Actions, Finding
from gristmill.steps.conversations.pictures import MediaFacts
from gristmill.steps.conversations.records import RecordFile, line_of
from gristmill.steps.conversations.shapes import conversation_of
from gristmill.storage.files import machine_error, sweep_temporaries, whole_file

__all__ = ["CHANGES_SUFFIX", "Examination", "Found", "examine"]

CHANGES_SUFFIX = ".changes.jsonl"
"""Behind the mended copy's name: what was mended in each record, and which were left out, a line each."""
MOST_EXAMPLES = 5
"""Of a finding, the first ones."""
_BATCH_BYTES, _BATCH_RECORDS = 1 << 20, 1000
_ALONE_BYTES = 16 << 20
"""A smaller file is looked at by this process: others would take longer to start."""
_WAITING = 3
"""Batches for each process that are sent before the first comes back."""


@dataclass(slots=True)
class Found:
    """One code with one action, over all records.

    Attributes:
        code: Of the check.
        action: What is done.
        count: Records that have it.
        examples: The first records, each with what was seen; None is the file itself.
        latest: The record counted last.
    """

    code: str
    action: str
    count: int = 0
    examples: list[tuple[int | None, str]] = field(default_factory=list)
    latest: int | None = None


@dataclass(slots=True)
class Examination:
    """A file, looked at.

    Attributes:
        form: How it holds its records.
        shapes: How many records have their turns in each shape.
        records: How many there are.
        good: Records that are kept as they are.
        fixed, dropped: The others.
        media: Media that were looked at.
        undecoded: Videos among them that were only seen to be there: nothing here decodes them.
        unused: Media folders and archives in which no medium was found, each with the name of one thing in it.
        found: All findings: those that drop, then those that mend, by falling number.
    """

    form: str
    shapes: dict[str, int] = field(default_factory=dict)
    records: int = 0
    good: int = 0
    fixed: int = 0
    dropped: int = 0
    media: int = 0
    undecoded: int = 0
    unused: list[tuple[str, str]] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)

    def as_json(self) -> dict[str, Json]:
        """As ``--json`` prints it."""
        return {
            "records": self.records,
            "good": self.good,
            "findings": [
                {
                    "code": one.code,
                    "count": one.count,
                    "action": one.action,
                    "examples": [{"record": record, "detail": detail} for record, detail in one.examples],
                }
                for one in self.found
            ],
        }


def examine(
    path: Path,
    *,
    rows: str = "",
    settings: Mapping[str, str] | None = None,
    media: Sequence[Path] = (),
    min_side_px: int = 14,
    out: Path | None = None,
    processes: int = 1,
    tell: Callable[[str, int], None] = lambda what, number: None,
) -> Examination:
    """Look at all records of a file.

    Args:
        path: The file.
        rows: Where in it the records are; see :class:`RecordFile`.
        settings: ``keep``, ``fix`` or ``drop`` by code.
        media: Folders and archives that its paths are looked for in; empty to look at none.
        min_side_px: Of pictures.
        out: Where the mended copy goes, JSON lines if its name ends in ``jsonl``, else one array; its changes are
            written beside it.
        processes: That look at a large file, or decode pictures.
        tell: Called now and then with what is counted, and how many so far.

    Raises:
        SourceError: There are no records in it, or it is cut and a mended copy is wanted.
        UnknownName: A code that there is not.
        UsageError: An action that there is not, or a copy in the place of the file itself.
        MachineError: The system refuses, or ended a process.
    """
    given = dict(settings or {})
    actions = Actions(given)
    if out is not None and out.exists() and path.exists() and out.samefile(path):
        raise UsageError(f"{out} is the file that is checked. Give another name: --fix FILE")
    file = RecordFile(path, rows)
    result = Examination(file.form)
    facts = _facts(file, media, min_side_px, processes, result, tell) if media else None
    file = RecordFile(path, rows)
    tally = _Tally(actions, result)
    try:
        with _copy(out) as copy, _looked(file, (given, facts, out is not None), processes) as batches:
            for looked in batches:
                tally.add(looked, copy)
                tell("records", result.records)
            tally.finish(file.notes)
            _refuse(path, result, writing=copy is not None)
    except OSError as err:
        raise machine_error(err, out or path) from err
    return result


def _refuse(path: Path, result: Examination, *, writing: bool) -> None:
    """See that it is a file of conversations, and that what is written of it is all there was.

    Raises:
        SourceError: It is not.
    """
    by_code = {one.code: one.examples[0][1] for one in result.found if one.action == DROP}
    if result.records and not result.shapes:
        said = by_code.get("not_a_conversation") or next(iter(by_code.values()), "")
        raise SourceError(
            f"{path}: none of its {result.records:,} records is a conversation; the first: {said}. Give another "
            "file, or say where in it the records are: --rows NAME"
        )
    if writing and "file_cut" in by_code:
        raise SourceError(
            f"{path} is cut: {by_code['file_cut']}. Fetch it again; or, to write what is whole, give --set "
            "file_cut=fix as well."
        )


def _facts(
    file: RecordFile,
    roots: Sequence[Path],
    min_side_px: int,
    processes: int,
    result: Examination,
    tell: Callable[[str, int], None],
) -> Mapping[int, MediumFact]:
    """What is behind the paths of all records."""
    with MediaFacts(roots, min_side_px=min_side_px, processes=processes) as pictures:
        for batch in _batches(file):
            pictures.look(_media_of(batch))
            tell("media", len(pictures.facts))
        pictures.finish()
        result.media, result.unused = len(pictures.facts), pictures.unused
        result.undecoded = pictures.undecoded
        return pictures.facts


def _media_of(batch: RecordBatch) -> Iterator[tuple[str, str]]:
    """Kinds and paths of the media of some records."""
    for raw in batch.records:
        record = None if raw.text is None else conversation_of(json_object(raw.text))
        if isinstance(record, ConversationRecord):
            for medium in record.media:
                if medium.path and not medium.embedded and "://" not in medium.path:
                    yield "image" if medium.frames else medium.kind, medium.path
                    yield from (("image", frame) for frame in medium.frames)


def _batches(file: RecordFile) -> Iterator[RecordBatch]:
    batch, size, number = RecordBatch(0, []), 0, 0
    for number, raw in enumerate(file, 1):
        batch.records.append(raw)
        size += len(raw.text or b"")
        if size >= _BATCH_BYTES or len(batch.records) == _BATCH_RECORDS:
            yield batch
            batch, size = RecordBatch(number, []), 0
    if batch.records:
        yield batch


_LookerArgs: TypeAlias = tuple[Mapping[str, str], Mapping[int, MediumFact] | None, bool]
_looker: Looker | None = None
"""Of a process that looks at batches of others."""


@contextmanager
def _looked(file: RecordFile, given: _LookerArgs, processes: int) -> Iterator[Iterator[Looked]]:
    """Batches looked at, in order; in processes where the file is large.

    Raises:
        MachineError: A process was ended.
    """
    packed = file.path.suffix.lower() in {".gz", ".zip"}
    if processes < 2 or (file.path.stat().st_size < _ALONE_BYTES and not packed):
        settings, facts, writing = given
        looker = Looker(settings, facts, writing=writing)
        yield (looker.look(batch) for batch in _batches(file))
        return
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_begin, initargs=given)
    try:
        yield _in_order(pool, _batches(file), _WAITING * processes)
    except BrokenProcessPool as err:
        raise MachineError(
            "A process that looked at records was ended, perhaps for want of memory. Nothing was written; give the "
            "command again."
        ) from err
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(settings: Mapping[str, str], facts: Mapping[int, MediumFact] | None, writing: bool) -> None:
    """Begin a process that looks at batches; the one that sends them decides when it ends."""
    global _looker
    threading.Thread(target=_end_with, args=(parent_process(),), daemon=True).start()
    gc.set_threshold(200_000, 20, 100)  # of millions of small objects none is garbage in a ring
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _looker = Looker(settings, facts, writing=writing)


def _end_with(parent: Any) -> None:
    """End where the process that sends batches has ended: a killed one tells nobody."""
    parent.join()
    os._exit(1)


def _look(batch: RecordBatch) -> Looked:
    assert _looker is not None
    return _looker.look(batch)


def _in_order(pool: ProcessPoolExecutor, batches: Iterable[RecordBatch], most: int) -> Iterator[Looked]:
    waiting: deque[Future[Looked]] = deque()
    for batch in batches:
        waiting.append(pool.submit(_look, batch))
        if len(waiting) >= most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


class _Copy:
    """The mended copy and its changes."""

    def __init__(self, stream: BinaryIO, changes: BinaryIO, *, lines: bool) -> None:
        self._stream, self._changes, self._lines = stream, changes, lines
        self._between = b"" if lines else b"[\n"

    def add(self, line: bytes) -> None:
        """Write a record."""
        self._stream.write(self._between + line)
        self._between = b""
        if self._lines:
            self._stream.write(b"\n")
        else:
            self._between = b",\n"

    def note(self, number: int, finding: Finding) -> None:
        """Write what was done with a record."""
        said = {"record": number, "code": finding.code, "action": finding.action, "detail": finding.detail}
        self._changes.write(line_of(said) + b"\n")

    def finish(self) -> None:
        """All records were written."""
        if not self._lines:
            self._stream.write(b"[]\n" if self._between == b"[\n" else b"\n]\n")


@contextmanager
def _copy(out: Path | None) -> Iterator[_Copy | None]:
    """The copy, which appears whole where the block ends well, after its changes."""
    if out is None:
        yield None
        return
    beside = out.with_name(out.name + CHANGES_SUFFIX)
    for path in (out, beside):
        sweep_temporaries(path.parent, of=path.name)
    with whole_file(out) as stream, whole_file(beside) as changes:
        copy = _Copy(stream, changes, lines=out.name.endswith("jsonl"))
        yield copy
        copy.finish()


class _Tally:
    """Adds up what was found of batches, and finds what concerns several records."""

    def __init__(self, actions: Actions, result: Examination) -> None:
        self._actions, self._result = actions, result
        self._found: dict[tuple[str, str], Found] = {}
        self._shapes: dict[str, int] = {}
        self._ids: set[int] = set()
        self._boxed: set[int] = set()
        self._with_media: int | None = None

    def add(self, looked: Looked, copy: _Copy | None) -> None:
        """Take in a batch."""
        self._compare(looked)
        for number, finding in looked.findings:
            self._count(number, finding)
            done = {FIXED: FIX, DROPPED: DROP}.get(looked.outcomes[number - looked.first])
            if copy is not None and finding.action == done:
                copy.note(number, finding)
        for shape, (count, first) in looked.shapes.items():
            self._shapes.setdefault(shape, first)
            self._result.shapes[shape] = self._result.shapes.get(shape, 0) + count
        if self._with_media is None:
            self._with_media = looked.with_media
        self._result.records += len(looked.outcomes)
        self._result.good += looked.outcomes.count(GOOD)
        self._result.fixed += looked.outcomes.count(FIXED)
        self._result.dropped += looked.outcomes.count(DROPPED)
        if copy is not None:
            for line in looked.lines:
                if line is not None:
                    copy.add(line)

    def _compare(self, looked: Looked) -> None:
        """Compare the records of a batch with those before them."""
        for number, key, said in looked.ids:
            if key in self._ids:
                finding = self._actions.on("id_doubled", said)
                place = number - looked.first
                self._settle(looked, number, finding)
                if finding.action == FIX and looked.lines and (line := looked.lines[place]) is not None:
                    looked.lines[place] = self._with_new_id(line)
            self._ids.add(key)
        for number, key, said in looked.boxed:
            if key in self._boxed:
                self._settle(looked, number, self._actions.on("boxes_shared", said))
            self._boxed.add(key)

    def _settle(self, looked: Looked, number: int, finding: Finding) -> None:
        place = number - looked.first
        looked.findings.append((number, finding))
        looked.outcomes[place] = max(
            looked.outcomes[place], {FIX: FIXED, DROP: DROPPED}.get(finding.action, GOOD)
        )
        if finding.action == DROP and looked.lines:
            looked.lines[place] = None

    def _with_new_id(self, line: bytes) -> bytes:
        row = json_object(line)
        number = 2
        while key_of(f"{row['id']}-{number}") in self._ids:
            number += 1
        row["id"] = f"{row['id']}-{number}"
        self._ids.add(key_of(row["id"]))
        return line_of(row)

    def _count(self, number: int | None, finding: Finding, count: int = 1) -> None:
        one = self._found.setdefault((finding.code, finding.action), Found(finding.code, finding.action))
        if number is not None and one.latest == number:
            return  # once a record
        one.latest = number
        one.count += count
        if len(one.examples) < MOST_EXAMPLES:
            one.examples.append((number, finding.detail))

    def finish(self, notes: Iterable[tuple[str, str]]) -> None:
        """All records were taken in: find what concerns the file."""
        for code, detail in notes:
            self._count(None, self._actions.on(code, detail))
        if self._with_media:
            said = f"the first one with media is record {self._with_media:,}"
            self._count(0, self._actions.on("media_late", said))
        shapes = self._result.shapes
        most = max(shapes, key=lambda shape: shapes[shape], default="")
        for shape, first in self._shapes.items():
            if shape != most:
                finding = self._actions.on("shape_mixed", f"{shape}; most have {most}")
                self._count(first, finding, shapes[shape])
        order = [DROP, FIX]
        self._result.found = sorted(
            self._found.values(),
            key=lambda one: (
                order.index(one.action) if one.action in order else len(order),
                -one.count,
                one.code,
            ),
        )
