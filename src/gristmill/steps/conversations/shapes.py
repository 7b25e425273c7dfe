"""Conversations in JSON: the shapes that trainers read, turned into what checks see, and written back.

=========================  ==================================================================================
``conversations``          ``from`` and ``value``: LLaVA, ShareGPT, Qwen-VL, InternVL, VILA
``messages``               ``role`` and ``content``, text or parts: OpenAI, TRL, LLaMA-Factory, swift, xtuner
``prompt, completion``     texts, or messages: TRL
two columns                ``query, response`` (swift), ``instruction, input, output`` (Alpaca), ``question, answer``,
                           ``q, a``; a list ``QA`` of the latter
=========================  ==================================================================================

Either list may be called ``conversation``, and its turns may be of the other kind. Media are in ``image``, ``video``,
``audio``, or these with an ``s``: a path, a list of them, or objects with ``path``, ``url`` or ``bytes``; a list
within a list is a video as its frames (swift). ``video_id`` is the name of an MP4 without its ending (Video-ChatGPT).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gristmill.spec.sample import Json
from gristmill.steps.conversations.conversation import (
    ASSISTANT,
    DOCUMENT,
    KINDS,
    SYSTEM,
    TOOL,
    USER,
    ConversationRecord,
    MediumPath,
    Utterance,
)

__all__ = ["TURNS_KEYS", "conversation_of", "row_of"]

TURNS_KEYS = ("conversations", "messages", "conversation")
_PAIRS = (
    ("query", "response"),
    ("question", "answer"),
    ("instruction", "output"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("q", "a"),
)
_ROLES = {
    "human": USER,
    "user": USER,
    "gpt": ASSISTANT,
    "assistant": ASSISTANT,
    "system": SYSTEM,
    "tool": TOOL,
    "tool_call": TOOL,
    "tool_response": TOOL,
    "function": TOOL,
    "function_call": TOOL,
    "observation": TOOL,
    "caption": DOCUMENT,
    "document": DOCUMENT,
    "pretrain": DOCUMENT,
}
_SPOKEN = (("from", "value"), ("role", "content"))
_BOXES = ("bbox", "bboxs", "bboxes", "boxes")
_MEDIA = tuple((kind, key) for kind in KINDS for key in (kind, f"{kind}s"))
_PATHS = ("path", "url", "image", "video", "audio")


def conversation_of(row: dict[str, Json]) -> ConversationRecord | str:
    """A record as checks see it, or why it is no conversation."""
    for key in TURNS_KEYS:
        listed = row.get(key)
        if listed is not None:
            return _of_list(row, key, listed)
    if isinstance(pairs := row.get("QA"), list):
        return _of_pairs(row, pairs)
    for first, second in _PAIRS:
        if first in row and second in row:
            return _of_columns(row, first, second)
    return f"no conversation among its keys: {', '.join(row)[:150] or 'it has none'}"


def role_of(said: Json) -> str:
    """A role as checks see it."""
    return _ROLES.get(said, str(said)) if isinstance(said, str) else repr(said)


def _of_list(row: dict[str, Json], key: str, listed: Json) -> ConversationRecord | str:
    if not isinstance(listed, list):
        return f"{key} is no list"
    record = ConversationRecord([], id=row.get("id"), raw=row, turns_key=key)
    if fault := _add_turns(record, listed, key):
        return fault
    _add_media(record, row)
    return record


def _of_pairs(row: dict[str, Json], pairs: list[Json]) -> ConversationRecord | str:
    turns = []
    for number, pair in enumerate(pairs):
        if (
            not isinstance(pair, dict)
            or not isinstance(pair.get("q"), str)
            or not isinstance(pair.get("a"), str)
        ):
            return f"QA[{number}] has no texts q and a"
        turns += [
            Utterance(USER, [pair["q"]], raw=pair, text_key="q"),
            Utterance(ASSISTANT, [pair["a"]], raw=pair, text_key="a"),
        ]
    record = ConversationRecord(turns, id=row.get("id"), raw=row, shape="QA: q/a", fixed_turns=True)
    _add_media(record, row)
    return record


def _of_columns(row: dict[str, Json], first: str, second: str) -> ConversationRecord | str:
    record = ConversationRecord([], id=row.get("id"), raw=row, shape=f"{first}/{second}", fixed_turns=True)
    for key, role in ((first, USER), (second, ASSISTANT)):
        value = row[key]
        if isinstance(value, list) and first == "prompt":
            if fault := _add_turns(record, value, key):
                return fault
        elif isinstance(value, str):
            record.turns.append(Utterance(role, [value], raw=row, text_key=key))
        else:
            return f"{key} is no text"
        if key == "instruction" and isinstance(row.get("input"), str) and row["input"]:
            record.turns[-1].texts.append(row["input"])
    _add_media(record, row)
    return record


def _add_turns(record: ConversationRecord, listed: list[Json], name: str) -> str:
    """Add the turns of a list; returns what is wrong with it, if anything is."""
    for number, raw in enumerate(listed):
        if type(raw) is not dict:
            return f"{name}[{number}] is no object"
        for role_key, text_key in _SPOKEN:
            if role_key in raw and text_key in raw:
                break
        else:
            if raw.get("tool_calls") is None:
                return f"{name}[{number}] has neither from and value nor role and content"
            raw.setdefault("content", None)
        if not record.shape:
            record.shape = f"{name}: {role_key}/{text_key}"
        value = raw[text_key]
        role = role_of(raw[role_key])
        if type(value) is str:
            record.turns.append(Utterance(role, [value], (), raw, text_key, role_key))
            continue
        turn = Utterance(role, [], (), raw, text_key, role_key)
        if isinstance(value, list):
            record.tagged = False
            if fault := _add_parts(record, turn, value):
                return f"{name}[{number}]: {fault}"
        elif value is not None or turn.role not in (ASSISTANT, TOOL):
            return f"{name}[{number}].{text_key} is neither text nor a list of parts"
        else:
            turn.role = TOOL  # an assistant's call, whose content is null
        record.turns.append(turn)
    return ""


def _add_parts(record: ConversationRecord, turn: Utterance, parts: list[Json]) -> str:
    """Add the parts of a turn: texts, and media with or without a path of their own."""
    for number, part in enumerate(parts):
        of = part.get("type") if isinstance(part, dict) else None
        if not isinstance(of, str):
            return f"part {number} has no type"
        kind = next((kind for kind in KINDS if kind in of), None)
        if kind is not None:
            turn.shown += (kind,)
            found = _own_path(kind, of, part)
            if found is not None:
                record.media.append(found)
        elif isinstance(part.get("text"), str):
            turn.texts.append(part["text"])
        elif of == "text" and isinstance(part.get("value"), str):  # LLaMA-Factory v1
            turn.texts.append(part["value"])
        elif of == "text":
            return f"part {number} has no text"
    return ""


def _own_path(kind: str, of: str, part: dict[str, Json]) -> MediumPath | None:
    """Where a part itself says that its medium is; None where it is the next of those beside the turns."""
    for key in (of, "value", *_PATHS):
        held = part.get(key)
        if isinstance(held, str) and held:
            return _medium(kind, held, part, key, own=True)
        if isinstance(held, dict):
            inner = next((name for name in _PATHS if isinstance(held.get(name), str)), None)
            if inner is not None:
                return _medium(kind, held[inner], held, inner, own=True)
            return MediumPath(kind, "", embedded=True, own=True)
    return MediumPath(kind, "", embedded=True, own=True) if "bytes" in part or "base64" in part else None


def _add_media(record: ConversationRecord, row: dict[str, Json]) -> None:
    for kind, key in _MEDIA:
        if key in row:
            for medium in _media_in(record, kind, key, row):
                record.media.append(medium)
    if isinstance(name := row.get("video_id"), str) and name and not record.media:
        record.media.append(MediumPath("video", f"{name}.mp4", own=True))
        record.tagged = False  # VILA's release puts it in front
    width, height = row.get("width"), row.get("height")
    if isinstance(width, int) and isinstance(height, int) and len(record.media) == 1:
        record.size_px = (width, height)
    if [medium.kind for medium in record.media] == ["video"]:
        record.fps, record.frames = row.get("fps"), row.get("frame_count")
    objects = row.get("objects")
    for holder in (row, objects) if isinstance(objects, dict) else (row,):
        for key in _BOXES:
            boxes = holder.get(key)
            if isinstance(boxes, list):
                record.boxes += _boxes_in([boxes] if boxes and not isinstance(boxes[0], list) else boxes)


def _media_in(record: ConversationRecord, kind: str, key: str, row: dict[str, Json]) -> Iterator[MediumPath]:
    value = row[key]
    if value == [] and key.endswith("s"):
        return
    listed = isinstance(value, list) and bool(value)
    for place, one in enumerate(value) if listed else ((key, value),):
        holder: Any = value if listed else row
        if isinstance(one, str) and one:
            yield _medium(kind, one, holder, place)
        elif isinstance(one, dict):
            inner = next((name for name in _PATHS if isinstance(one.get(name), str) and one[name]), None)
            if one.get("bytes") is not None or inner is None:
                yield MediumPath(kind, "", embedded=True)
            else:
                yield _medium(kind, one[inner], one, inner)
        elif isinstance(one, list) and one and kind == "video" and all(isinstance(f, str) for f in one):
            yield MediumPath(kind, one[0], holder=one, place=0, frames=tuple(one[1:]))
        else:
            record.odd_media.append((key, one))


def _medium(kind: str, path: str, holder: Any, place: Any, *, own: bool = False) -> MediumPath:
    return MediumPath(kind, path, path.startswith("data:"), holder, place, own)


def _boxes_in(boxes: list[Json]) -> Iterator[tuple[float, float, float, float]]:
    for box in boxes:
        if isinstance(box, list) and len(box) == 4 and all(isinstance(side, int | float) for side in box):
            yield (box[0], box[1], box[2], box[3])


def row_of(record: ConversationRecord) -> dict[str, Json]:
    """The record's JSON object with all that was mended in it."""
    row: dict[str, Json] = record.raw
    for turn in record.turns:
        _write(turn)
    if record.turns_key:
        row[record.turns_key] = [turn.raw for turn in record.turns]
    return row


def _write(turn: Utterance) -> None:
    """Put a turn's texts, and its role where it was renamed, back where they stood."""
    raw, key = turn.raw, turn.text_key
    if isinstance(raw[key], list):
        texts = iter(turn.texts)
        for part in raw[key]:
            name = "text" if isinstance(part.get("text"), str) else "value"
            if isinstance(part.get(name), str) and not any(kind in part["type"] for kind in KINDS):
                part[name] = next(texts)
    elif turn.texts:
        raw[key] = turn.texts[0]
        if key == "instruction" and len(turn.texts) > 1:
            raw["input"] = turn.texts[1]
    if turn.role_key and role_of(raw[turn.role_key]) != turn.role and turn.role in (USER, ASSISTANT):
        names = {"from": {USER: "human", ASSISTANT: "gpt"}}.get(turn.role_key, {})
        raw[turn.role_key] = names.get(turn.role, turn.role)
