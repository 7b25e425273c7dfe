"""Videos, decoded to the last frame, and what the record says of them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gristmill.spec.sample import Json
from gristmill.steps.conversations.conversation import ConversationRecord, MediumFact, key_of
from gristmill.steps.conversations.findings import DROP, FIX, Actions, Check, Finding

ORDER = 16
CHECKS = (
    Check(
        code="video_missing",
        action=DROP,
        says="no such video in the media folder or archives",
        why="VILA's release trains on black frames, without a word; its head and others draw another record.",
        of_file=True,
    ),
    Check(
        code="video_unreadable",
        action=DROP,
        says="a video that no frame can be decoded of, or that is beyond all limits",
        why="VILA's release trains on black frames, without a word; its head and others draw another record.",
        of_file=True,
    ),
    Check(
        code="no_video_stream",
        action=DROP,
        says="a file of sound alone, or with a cover picture",
        why="VILA's release trains on black frames; LLaMA-Factory stops.",
        of_file=True,
    ),
    Check(
        code="broken_tail",
        action=DROP,
        says="a video that ends before its container says, or whose last frames do not decode",
        why="VILA's head stops at frames that are not there; decord never comes back from asking for them.",
        of_file=True,
    ),
    Check(
        code="too_few_frames",
        action=DROP,
        says="a video of 8 frames or fewer",
        why="Of exactly 8 VILA's release trains on nothing, fewer it fills up with black.",
        of_file=True,
    ),
    Check(
        code="frame_count_differs",
        action=FIX,
        says="another number of frames than the record's `frame_count`",
        why="VILA's release believes the record: too many and the sample is masked, too few and only the beginning "
        "is seen, 0 or 1 and it trains on black frames.",
        mend="the record says what was counted",
        of_file=True,
    ),
    Check(
        code="fps_differs",
        action=FIX,
        says="another rate than the record's `fps`, by more than 0.05 %",
        why="VILA's release believes the record; with 0 it trains on black frames.",
        mend="the record says what was measured",
        of_file=True,
    ),
)

FEW_FRAMES = 8
_FPS_TOLERANCE = 0.0005


def look(record: ConversationRecord, actions: Actions) -> Iterator[Finding]:
    """See :class:`CheckFamily`."""
    if record.facts is None:
        return
    for medium in record.media:
        if medium.kind != "video" or medium.frames:
            continue
        fact = record.facts.get(key_of(medium.path))
        if fact is not None and fact.frames and not fact.code:
            if fact.fps and fact.frames <= FEW_FRAMES:  # the release reads no folders of frames
                yield actions.on("too_few_frames", f"{medium.path}: {fact.frames} frames")
            yield from _said(record, medium.path, fact, actions)


def _said(record: ConversationRecord, path: str, fact: MediumFact, actions: Actions) -> Iterator[Finding]:
    """What the record says of its one video, against what was measured."""
    if record.frames is not None and record.frames != fact.frames:
        yield from _differs(record, "frame_count", record.frames, fact.frames, path, actions)
        record.frames = fact.frames
    if record.fps is not None and fact.fps and not _is_about(record.fps, fact.fps):
        yield from _differs(record, "fps", record.fps, fact.fps, path, actions)
        record.fps = fact.fps


def _differs(
    record: ConversationRecord, key: str, said: Json, found: float, path: str, actions: Actions
) -> Iterator[Finding]:
    finding = actions.on(
        f"{key}_differs", f"{path}: {said!r} said, {found:g} found", mendable=record.raw is not None
    )
    yield finding
    if finding.action == FIX:
        record.raw[key] = found


def _is_about(said: Json, found: float) -> bool:
    return isinstance(said, int | float) and math.isclose(said, found, rel_tol=_FPS_TOLERANCE)
