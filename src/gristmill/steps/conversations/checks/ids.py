"""Ids of records, and how records of one file agree with each other."""

from __future__ import annotations

from collections.abc import Iterator

from gristmill.steps.conversations.conversation import ConversationRecord
from gristmill.steps.conversations.findings import FIX, KEEP, Actions, Check, Finding

ORDER = 50
CHECKS = (
    Check(
        code="id_missing",
        action=KEEP,
        says="no id",
        why="Most trainers need none; without one a loss cannot be traced to its record.",
        mend="the record's number in the file becomes its id",
        of_file=True,
    ),
    Check(
        code="id_number",
        action=FIX,
        says="an id that is no text",
        why="Readers by `datasets` stop where a column is a number here and a text there, as in mix665k.",
        mend="it becomes a text",
        of_file=True,
    ),
    Check(
        code="id_doubled",
        action=KEEP,
        says="an id that an earlier record has",
        why="In LLaVA's files it is the picture's, and repeats. What keys records by it keeps one of them.",
        mend="`-2`, `-3`, ... is put behind it",
        of_file=True,
    ),
    Check(
        code="boxes_shared",
        action=KEEP,
        says="boxes in a picture that earlier records with boxes show, too",
        why="Whoever drops duplicate pictures must keep these records, or drops other boxes.",
        of_file=True,
    ),
)


def look(record: ConversationRecord, actions: Actions) -> Iterator[Finding]:
    """See :class:`CheckFamily`. What concerns several records is found where all of them are known."""
    if record.raw is None:
        return
    if record.id is None or record.id == "":
        found = actions.on("id_missing")
        yield found
        if found.action == FIX:
            record.id = record.raw["id"] = str(record.number)
    elif not isinstance(record.id, str):
        found = actions.on("id_number", repr(record.id))
        yield found
        if found.action == FIX:
            record.id = record.raw["id"] = str(record.id)
