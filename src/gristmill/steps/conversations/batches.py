"""Some records of a file looked at together: what is sent to a process, and what comes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from gristmill.shards.json_row import json_object
from gristmill.spec.sample import Json
from gristmill.steps.conversations.conversation import ConversationRecord, MediumFact, key_of
from gristmill.steps.conversations.findings import DROP, FIX, Actions, Finding, found_in
from gristmill.steps.conversations.records import RawRecord, line_of
from gristmill.steps.conversations.shapes import conversation_of, row_of

__all__ = ["DROPPED", "FIXED", "GOOD", "Looked", "Looker", "RecordBatch"]

GOOD, FIXED, DROPPED = 0, 1, 2


@dataclass(slots=True)
class RecordBatch:
    """Records in a row.

    Attributes:
        first: Number of the first of them in the file.
        records: The records.
    """

    first: int
    records: list[RawRecord]


@dataclass(slots=True)
class Looked:
    """Holds what was found of a batch.

    Attributes:
        first: As in the batch.
        outcomes: For each record, whether it is good, mended or dropped.
        findings: By record number.
        shapes: For each shape how many records have it, and the first of them.
        ids: Record numbers, the hashes of their ids, and these.
        boxed: The same of the paths of pictures in which there are boxes.
        with_media: Number of the first record that has media; None where none has.
        lines: The records as they are to be written, None for one that is dropped; empty where nothing is written.
    """

    first: int
    outcomes: bytearray = field(default_factory=bytearray)
    findings: list[tuple[int, Finding]] = field(default_factory=list)
    shapes: dict[str, tuple[int, int]] = field(default_factory=dict)
    ids: list[tuple[int, int, str]] = field(default_factory=list)
    boxed: list[tuple[int, int, str]] = field(default_factory=list)
    with_media: int | None = None
    lines: list[bytes | None] = field(default_factory=list)


class Looker:
    """Looks at batches.

    Args:
        settings: As of :class:`Actions`.
        facts: What is behind paths; None where nobody looked.
        writing: Records are to be written again.
    """

    def __init__(
        self, settings: Mapping[str, str], facts: Mapping[int, MediumFact] | None, *, writing: bool
    ) -> None:
        self._actions = Actions(settings)
        self._facts, self._writing = facts, writing

    def look(self, batch: RecordBatch) -> Looked:
        """Say what is found of a batch."""
        looked = Looked(batch.first)
        shapes: Counter[str] = Counter()
        for number, raw in enumerate(batch.records, batch.first):
            row = None if raw.text is None else json_object(raw.text)
            record = None
            if row is None:
                found = [self._actions.on(raw.code, raw.fault)]
            else:
                if raw.key is not None and "id" not in row:
                    row = {"id": raw.key, **row}
                made = conversation_of(row)
                if isinstance(made, str):
                    found = [self._actions.on("not_a_conversation", made)]
                else:
                    record = made
                    record.facts, record.number = self._facts, number
                    found = list(found_in(record, self._actions))
                    self._note(looked, number, record, found)
                    shapes[record.shape] += 1
                    looked.shapes.setdefault(record.shape, (0, number))
            outcome = _outcome(found)
            looked.outcomes.append(outcome)
            looked.findings += [(number, one) for one in found]
            if self._writing:
                looked.lines.append(self._line(outcome, row, record))
        for shape, count in shapes.items():
            looked.shapes[shape] = (count, looked.shapes[shape][1])
        return looked

    def _line(
        self, outcome: int, row: dict[str, Json] | None, record: ConversationRecord | None
    ) -> bytes | None:
        if outcome == DROPPED or row is None:
            return None
        return line_of(row_of(record) if record is not None and outcome == FIXED else row)

    def _note(self, looked: Looked, number: int, record: ConversationRecord, found: list[Finding]) -> None:
        """Take down what concerns several records."""
        if record.id is not None and record.id != "":
            said = str(record.id)
            looked.ids.append((number, key_of(said), said[:100]))
        if record.media:
            if looked.with_media is None:
                looked.with_media = number
            if record.media[0].path and any(one.code == "boxes" for one in found):
                path = record.media[0].path
                looked.boxed.append((number, key_of(path), path))


def _outcome(found: list[Finding]) -> int:
    actions = {one.action for one in found}
    return DROPPED if DROP in actions else FIXED if FIX in actions else GOOD
