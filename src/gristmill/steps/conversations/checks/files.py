"""How the file itself holds its records. Whoever reads it finds these."""

from __future__ import annotations

from gristmill.steps.conversations.conversation import ConversationRecord
from gristmill.steps.conversations.findings import DROP, FIX, KEEP, Actions, Check, Finding

ORDER = 60
CHECKS = (
    Check(
        code="file_cut",
        action=DROP,
        says="the file ends within a record",
        why="Records behind it are missing: fetch it again. A mended copy is written only if `file_cut=fix` is said.",
        mend="the records before it are kept",
        lost=True,
        of_file=True,
    ),
    Check(
        code="bad_json",
        action=DROP,
        says="a record that is no JSON object in UTF-8",
        why="Trainers stop at the whole file.",
        lost=True,
        of_file=True,
    ),
    Check(
        code="record_too_long",
        action=DROP,
        says="a record of more than 16 MiB",
        why="It is passed over unread.",
        lost=True,
        of_file=True,
    ),
    Check(
        code="byte_order_mark",
        action=FIX,
        says="a byte order mark at the file's beginning",
        why="Python's `json` refuses it.",
        mend="it is left out",
        of_file=True,
    ),
    Check(
        code="blank_line",
        action=FIX,
        says="a blank line between JSON lines",
        why="VILA's and LLaVA's loaders parse every line, and stop.",
        mend="it is left out",
        of_file=True,
    ),
    Check(
        code="lines_packed",
        action=KEEP,
        says="lines that are lists of records",
        why="Qwen's finetuning reads them as packed data, others stop. In a mended copy each record has a line.",
        of_file=True,
    ),
    Check(
        code="file_name",
        action=KEEP,
        says="JSON lines under a name that does not end in `jsonl`, or an array under one that does",
        why="VILA's head and InternVL go by the ending.",
        of_file=True,
    ),
    Check(
        code="shape_mixed",
        action=KEEP,
        says="turns in another shape than most records have",
        why="Trainers look at one shape, and most at the first record's.",
        of_file=True,
    ),
    Check(
        code="media_late",
        action=KEEP,
        says="the first record has no medium, later ones have",
        why="`datasets` fixes a column's type by the first 10 MB, and stops at the first medium behind them. Put a "
        "record with one first, or texts into a file of their own.",
        of_file=True,
    ),
)


def look(record: ConversationRecord, actions: Actions) -> tuple[Finding, ...]:
    """See :class:`CheckFamily`: nothing of these is in a record."""
    return ()
