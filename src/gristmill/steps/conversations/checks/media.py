"""Paths of media, and what is behind them where somebody has looked."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gristmill.spec.reasons import Reason
from gristmill.steps.conversations.conversation import TAGS, ConversationRecord, key_of
from gristmill.steps.conversations.findings import DROP, FIX, KEEP, Actions, Check, Finding

ORDER = 15
CHECKS = (
    Check(
        code="media_value",
        action=FIX,
        reason=Reason.BAD_PATH,
        says="null, an empty text or something else in the place of a path",
        why="VILA's loader at 143c773 stops; AutoModel reads a text in the place of a list as its first letter.",
        mend="the key is taken out, if no tag and no other medium needs it",
    ),
    Check(
        code="path_escapes",
        action=DROP,
        reason=Reason.BAD_PATH,
        says="a path that leads out of the media folder (`..`), or holds NUL",
        why="It names another file on every machine.",
    ),
    Check(
        code="path_absolute",
        action=KEEP,
        reason=Reason.BAD_PATH,
        says="an absolute path",
        why="It is right on one machine. Axolotl, Unsloth and Bridge want it; others join it to their media folder.",
    ),
    Check(
        code="path_backslash",
        action=FIX,
        reason=Reason.BAD_PATH,
        says="a path with backslashes",
        why="Off Windows it is one odd name.",
        mend="they become slashes",
    ),
    Check(
        code="path_box",
        action=DROP,
        reason=Reason.BAD_PATH,
        says="a box behind the path (`###[x1, y1, x2, y2]`, as in Visual-CoT)",
        why="No file is called so; only the dataset's own loader cuts the picture.",
    ),
    Check(
        code="path_remote",
        action=KEEP,
        reason=Reason.BAD_PATH,
        says="an address on the web in the place of a path",
        why="Most trainers join it to their media folder and find nothing. It is not asked for here.",
    ),
    Check(
        code="media_missing",
        action=DROP,
        says="no such picture or sound in the media folder or archives",
        why="LLaVA's loaders stop; VILA's head, InternVL and Qwen draw another record silently.",
        of_file=True,
    ),
    Check(
        code="media_name",
        action=FIX,
        says="a file whose name differs by case or Unicode form alone",
        why="On most file systems it is not found.",
        mend="the path becomes the file's own name",
        of_file=True,
    ),
    Check(
        code="media_empty",
        action=DROP,
        says="a file of no bytes",
        why="Trainers stop or draw another record.",
        of_file=True,
    ),
    Check(
        code="media_other",
        action=DROP,
        says="a file that is no picture or video, or of a format that trainers do not open",
        why="A page in the place of a picture is what quotas and logins leave behind.",
        of_file=True,
    ),
    Check(
        code="media_undecodable",
        action=DROP,
        says="a picture that is cut off or damaged",
        why="Trainers stop, draw another record, or train on a picture that is grey below.",
        of_file=True,
    ),
    Check(
        code="media_tiny",
        action=DROP,
        says="a picture whose shorter side is below --min-side",
        why="It is smaller than one patch of a vision tower; Qwen's processor refuses it.",
        of_file=True,
    ),
    Check(
        code="media_placeholder",
        action=KEEP,
        says="the same bytes under ten or more names",
        why="That is what sites send in place of a picture that is gone.",
        of_file=True,
    ),
    Check(
        code="size_differs",
        action=KEEP,
        says="another width or height than the record says",
        why="Boxes in pixels point elsewhere if the picture was resized. In a run, see `media.size_differs`.",
        mend="the record says what the file has",
        of_file=True,
    ),
)

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BOX = re.compile(r"###\s*\[[^\]]*\]\s*$")


def look(record: ConversationRecord, actions: Actions) -> Iterator[Finding]:
    """See :class:`CheckFamily`."""
    if record.odd_media:
        yield from _odd(record, actions)
    for number, medium in enumerate(record.media):
        path = medium.path
        if medium.embedded or not path:
            continue
        if ".." in path or "\0" in path or "\\" in path or "#" in path or ":" in path or path[0] in "/~":
            if _REMOTE.match(path):
                yield actions.on("path_remote", path)
                continue
            yield from _path(record, number, actions)
            path = record.media[number].path
        if record.facts is not None:
            for name in (path, *medium.frames):
                yield from _fact(record, number, name, actions)


def _odd(record: ConversationRecord, actions: Actions) -> Iterator[Finding]:
    """A key without a medium: a record of text alone may do without it."""
    key, value = record.odd_media[0]
    whole = record.whole()
    shown = any(tag in whole for tag in TAGS.values()) or any(turn.shown for turn in record.turns)
    mendable = record.raw is not None and not shown and not record.media
    found = actions.on("media_value", f"{key}: {value!r}", mendable=mendable)
    yield found
    if found.action == FIX:
        for key, _ in record.odd_media:
            record.raw.pop(key, None)
        record.odd_media = []


def _path(record: ConversationRecord, number: int, actions: Actions) -> Iterator[Finding]:
    medium = record.media[number]
    path = medium.path
    if _BOX.search(path):
        yield actions.on("path_box", path)
    if "\\" in path and not _DRIVE.match(path):
        found = actions.on("path_backslash", path, mendable=medium.holder is not None)
        yield found
        path = path.replace("\\", "/")
        if found.action == FIX:
            _rename(record, number, path)
    if "\0" in path or ".." in path.replace("\\", "/").split("/"):
        yield actions.on("path_escapes", path)
    elif path[0] in "/~" or _DRIVE.match(path):
        yield actions.on("path_absolute", path)


def _rename(record: ConversationRecord, number: int, path: str) -> None:
    medium = record.media[number]
    medium.holder[medium.place] = path
    record.media[number] = medium._replace(path=path)


def _fact(record: ConversationRecord, number: int, path: str, actions: Actions) -> Iterator[Finding]:
    """What was found behind a path."""
    assert record.facts is not None
    fact = record.facts.get(key_of(path))
    if fact is None:
        return
    if fact.code:
        yield actions.on(fact.code, f"{path}: {fact.detail}" if fact.detail else path)
    if fact.name:
        found = actions.on("media_name", f"{path} is {fact.name}", mendable=not record.media[number].frames)
        yield found
        if found.action == FIX:
            _rename(record, number, fact.name)
    if record.size_px and fact.width_px and record.size_px != (fact.width_px, fact.height_px):
        said = f"{record.size_px[0]} x {record.size_px[1]} said, {fact.width_px} x {fact.height_px} found"
        found = actions.on("size_differs", f"{path}: {said}", mendable=record.raw is not None)
        yield found
        if found.action == FIX:
            record.raw["width"], record.raw["height"] = fact.width_px, fact.height_px
