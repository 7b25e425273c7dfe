"""Boxes beside the texts and in them: such pictures are never mirrored, cropped or padded."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gristmill.spec.reasons import Reason
from gristmill.steps.conversations.conversation import ConversationRecord
from gristmill.steps.conversations.findings import DROP, KEEP, Actions, Check, Finding

ORDER = 40
CHECKS = (
    Check(
        code="boxes",
        action=KEEP,
        reason=Reason.BAD_BOX,
        says="boxes in the texts or beside them",
        why="The picture must not be mirrored, cropped or padded, nor be replaced by a mirrored one as a duplicate.",
    ),
    Check(
        code="box_bad",
        action=DROP,
        reason=Reason.BAD_BOX,
        says="a box beside the texts whose sides are in the wrong order, or that lies outside the picture",
        why="It points at nothing. The picture's size is what the record says.",
    ),
    Check(
        code="box_reversed",
        action=KEEP,
        reason=Reason.BAD_BOX,
        says="four fractions in a text, in the manner of a box, with sides in the wrong order",
        why="If it is a box it points at nothing; it may be another list of four numbers.",
    ),
)

_NUMBER = r"\s*(\d+(?:\.\d+)?|\.\d+)\s*"
_FOUR = re.compile(rf"\[{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}\]")
_MARKED = ("<box>", "<bbox>", "<|box_start|>", "<loc_")


def look(record: ConversationRecord, actions: Actions) -> Iterator[Finding]:
    """See :class:`CheckFamily`."""
    if not record.media:
        return
    whole = record.whole()
    in_text = _FOUR.search(whole) if "[" in whole else None
    marked = "<" in whole and any(mark in whole for mark in _MARKED)
    if in_text or marked or record.boxes:
        yield actions.on("boxes", in_text[0] if in_text else f"{len(record.boxes)} beside the texts")
    if in_text:
        for found in _FOUR.finditer(whole):
            left, top, right, bottom = map(float, found.groups())
            if max(left, top, right, bottom) <= 1 and (left > right or top > bottom):
                yield actions.on("box_reversed", found[0])
                break
    width, height = record.size_px or (float("inf"), float("inf"))
    for left, top, right, bottom in record.boxes:
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            yield actions.on("box_bad", f"[{left}, {top}, {right}, {bottom}]")
            break
