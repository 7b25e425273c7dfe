"""Reads a sample of a shard as a conversation: who says what, and the media in their places.

All exporters of conversations start from this, so that each says only how its trainer writes one down.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

from gristmill.exports._unfit import PICTURE_ENDINGS, VIDEO_ENDINGS, Unfit
from gristmill.shards.lossless import utf8
from gristmill.shards.not_finite import put_back
from gristmill.shards.webdataset import ShardSample
from gristmill.spec.body import Body
from gristmill.spec.part_names import FRAMES
from gristmill.spec.sample import Json, is_numbered

__all__ = ["MARKS", "Conversation", "Kind", "Medium", "Turn", "conversation_of", "tagged", "without_marks"]

Kind: TypeAlias = Literal["image", "video", "frames"]
"""Frames are a video that is stored as a picture for each frame."""
Part: TypeAlias = "str | Medium"

MARKS = (
    "<image>",
    "<video>",
    "<audio>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image|>",
    "<|video|>",
    "<IMG_CONTEXT>",
    "<start_of_image>",
    "<image_soft_token>",
)
"""What readers or models' processors take for the place of a medium, wherever it stands."""

_ROLES = frozenset({"user", "assistant", "system"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """A picture or a video of a conversation.

    Attributes:
        part: Its name in the shard; of frames that of the first.
        body: Its bytes; of frames those of the first.
        original: Its path upstream, as the annotations have it; empty where they have none.
        as_upstream: Its bytes are those that came from there.
        fps, frame_count: Of a video: frames a second, and how many; None where nobody measured them.
        frames: Bytes of each of its frames, in order, if it is stored so.
    """

    kind: Kind
    part: str
    body: Body
    original: str
    as_upstream: bool
    fps: float | None = None
    frame_count: int | None = None
    frames: tuple[Body, ...] = ()

    @property
    def is_video(self) -> bool:
        """It is one, in one file or as its frames."""
        return self.kind != "image"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Holds what ``user``, ``assistant`` or ``system`` says: texts and media in the order in which they are read."""

    role: str
    parts: tuple[Part, ...]

    @cached_property
    def media(self) -> list[Medium]:
        """Its media, in order."""
        return [part for part in self.parts if isinstance(part, Medium)]

    @cached_property
    def text(self) -> str:
        """Its texts, joined."""
        return "".join(part for part in self.parts if isinstance(part, str))

    @property
    def media_within_text(self) -> bool:
        """A medium has text on both sides."""
        shown = [isinstance(part, Medium) for part in self.parts if isinstance(part, Medium) or part.strip()]
        while shown and shown[0]:
            shown.pop(0)
        while shown and shown[-1]:
            shown.pop()
        return any(shown)

    @property
    def media_after_text(self) -> bool:
        """A medium has text before it."""
        shown = [isinstance(part, Medium) for part in self.parts if isinstance(part, Medium) or part.strip()]
        return shown != sorted(shown, reverse=True)


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """Questions of a user and answers of an assistant, in turn; a system's turn may stand before them.

    Attributes:
        key: Of the sample.
    """

    key: str
    turns: tuple[Turn, ...]

    @cached_property
    def media(self) -> list[Medium]:
        """Media of all turns, in the order in which they are read."""
        return [medium for turn in self.turns for medium in turn.media]

    def of_kind(self, kind: Kind) -> list[Medium]:
        """Its pictures, its videos, or those that are stored as frames."""
        return [medium for medium in self.media if medium.kind == kind]

    @property
    def videos(self) -> list[Medium]:
        """Its videos, those that are stored as frames too."""
        return [medium for medium in self.media if medium.is_video]

    @property
    def media_in_front(self) -> bool:
        """All media, if there are any, stand before the first words."""
        first = self.turns[0]
        return len(first.media) == len(self.media) and not first.media_after_text

    @property
    def has_system(self) -> bool:
        """A system speaks first."""
        return self.turns[0].role == "system"


def conversation_of(sample: ShardSample, *, question: str | None = None) -> Conversation:
    """Read a sample as a conversation.

    Args:
        sample: As it lies in a shard.
        question: What is asked of a caption; without it captions do not fit.

    Raises:
        Unfit: It is none, or something in it has no place in one.
    """
    key, record = sample.key, put_back(sample.parts["json"])
    media = _media_of(key, record, {**sample.parts, **sample.large})
    plain = record.get("turns")
    if plain is None or {turn["role"] for turn in plain} == {"caption"}:
        turns = _of_caption(key, record, media, question)
    else:
        turns = tuple(_turn(key, turn, media) for turn in plain)
        turns = _with_context(record, turns)
    _check(key, turns, media)
    return Conversation(key=key, turns=turns)


def _media_of(key: str, record: Mapping[str, Json], parts: Mapping[str, Body]) -> dict[str, Medium]:
    names = [name for name in parts if name not in {"json", "txt"}]
    known = record.get("media") or dict.fromkeys(names, record)
    if names and all(map(is_numbered, names)) and not set(names) & set(record.get("media", ())):
        name, facts = next(iter(record.get("media", {FRAMES: record}).items()))
        return {name: _frames(record, name, facts, {part: parts[part] for part in sorted(names)})}
    names.sort(key=[*known].index if set(names) <= set(known) else names.index)  # as they lie in the shard
    originals = _originals(record, names, known)
    found = {}
    for name in names:
        ending = name.rpartition(".")[2]
        kind: Kind = "video" if ending in VIDEO_ENDINGS else "image"
        if kind == "image" and ending not in PICTURE_ENDINGS:
            raise Unfit("other_medium", f"sample {key} has {name}, which is no picture and no video")
        facts = known.get(name) or {}
        upstream_bytes = facts.get("bytes")
        found[name] = Medium(
            kind=kind,
            part=name,
            body=parts[name],
            original=originals.get(name, ""),
            as_upstream=upstream_bytes is None or upstream_bytes == facts.get("stored_bytes"),
            fps=facts.get("fps"),
            frame_count=facts.get("frames"),
        )
    return found


def _frames(
    record: Mapping[str, Json], name: str, facts: Mapping[str, Json], bodies: Mapping[str, Body]
) -> Medium:
    """The one video of a sample whose numbered parts are not media of their own: they are its frames."""
    first, *_ = bodies
    return Medium(
        kind="frames",
        part=first,
        body=bodies[first],
        original=_originals(record, [name], {name: facts})[name],
        as_upstream=False,
        fps=facts.get("fps"),
        frame_count=len(bodies),
        frames=tuple(bodies.values()),
    )


def _originals(
    record: Mapping[str, Json], names: Sequence[str], known: Mapping[str, Mapping[str, Json]]
) -> dict[str, str]:
    """Paths of a sample's media: as published copies or its row have them, or else in their source, below its key.

    A name without a folder is not all of a path where the source has folders: in ScienceQA all are ``image.png``.
    """
    named = _named_in_row(record, names)
    found = {}
    for name in names:
        facts = known.get(name) or {}
        at = facts.get("at")
        source, inner = _place_of(at) if isinstance(at, dict) else ("", "")
        path = named.get(name, "")
        whole = path and ("/" in path or "/" not in inner)
        found[name] = facts.get("name") or (path if whole or not inner else f"{source}{inner}")
    return found


def _place_of(at: Mapping[str, Json]) -> tuple[str, str]:
    """What stands before a path in a source, and the path; a video is called by its id alone."""
    if video := at.get("name") or at.get("folder"):
        return "", video
    return (f"{at['source']}/", at["path"]) if "path" in at else ("", "")


def _named_in_row(record: Mapping[str, Json], names: Sequence[str]) -> dict[str, str]:
    """Paths under the keys where LLaVA's kind of annotations have them."""
    upstream = record.get("upstream") or {}
    paths: list[Json] = []
    for name in ("image", "images", "video", "videos"):
        value = upstream.get(name) if isinstance(upstream, dict) else None
        paths += value if isinstance(value, list) else [value] if value else []
    if not paths or not all(isinstance(path, str) for path in paths):
        return {}
    if len(paths) == len(names):
        return dict(zip(names, paths, strict=True))
    stems = [name.partition(".")[0] for name in names]  # some did not come; the others are named by position
    if all(stem.isdecimal() and int(stem) < len(paths) for stem in stems):
        return {name: paths[int(stem)] for name, stem in zip(names, stems, strict=True)}
    return {}


def _of_caption(
    key: str, record: Mapping[str, Json], media: Mapping[str, Medium], question: str | None
) -> tuple[Turn, ...]:
    if question is None:
        raise Unfit(
            "caption",
            f"sample {key} is a caption, and nobody asks for it. Ask with --question, for example "
            "'Describe the picture.' for all of them",
        )
    texts = [part["text"] for turn in record.get("turns") or () for part in turn["parts"] if "text" in part]
    answer = "\n".join(texts) or record.get("caption") or ""
    return (
        Turn(role="user", parts=(*media.values(), question)),
        Turn(role="assistant", parts=(_unicode(answer),)),
    )


def _turn(key: str, plain: Mapping[str, Any], media: Mapping[str, Medium]) -> Turn:
    role = plain["role"]
    if role == "document":
        raise Unfit("document", f"sample {key} is a document: nobody asks and nobody answers in it")
    if role not in _ROLES:
        raise Unfit("other_role", f"sample {key} has a turn of {role}")
    parts: list[Part] = []
    for part in plain["parts"]:
        if "text" in part:
            parts.append(_unicode(part["text"]))
        elif part.keys() != {"media"}:
            raise Unfit("piece_of_medium", f"sample {key} shows a piece of {part['media']}, not the whole")
        elif part["media"] not in media:
            raise Unfit("no_medium", f"sample {key} shows {part['media']}, which is not in the shard")
        else:
            parts.append(media[part["media"]])
    return Turn(role=role, parts=tuple(parts))


def _with_context(record: Mapping[str, Json], turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """What a visual dialogue is about, a column of the sample, goes before its first question."""
    context = record.get("dialogue_context", (record.get("columns") or {}).get("dialogue_context"))
    if not isinstance(context, str) or not turns:
        return turns
    first = turns[0].parts
    at = next((n for n, part in enumerate(first) if isinstance(part, str)), len(first))
    parts = (*first[:at], f"{_unicode(context)}\n", *first[at:])
    return (Turn(role=turns[0].role, parts=parts), *turns[1:])


def _check(key: str, turns: Sequence[Turn], media: Mapping[str, Medium]) -> None:
    roles = [turn.role for turn in turns]
    asked = roles[1:] if roles[:1] == ["system"] else roles
    if not asked or asked != ["user", "assistant"] * (len(asked) // 2):
        raise Unfit("turns_do_not_alternate", f"sample {key} has turns of {', '.join(roles)}, in this order")
    for turn in turns:
        if not turn.text.strip() and not turn.media:
            raise Unfit("empty_turn", f"sample {key} has a turn of {turn.role} without a word")
        if turn.role != "user" and turn.media:
            raise Unfit("medium_in_answer", f"sample {key} has a medium in a turn of {turn.role}")
    shown = {medium.part for turn in turns for medium in turn.media}
    if missing := [medium.part for medium in media.values() if medium.part not in shown]:
        raise Unfit("medium_not_shown", f"sample {key} has {missing[0]}, and no turn shows it")


def _unicode(text: str) -> str:
    return text if text.isascii() else utf8(text).decode()


def without_marks(conversation: Conversation, marks: re.Pattern[str], *, escape: bool) -> Conversation:
    """The conversation with marks in its texts escaped, ``< image>`` for ``<image>``; itself, if there is none.

    Raises:
        Unfit: There is one, and it is not to be escaped.
    """
    spoken = [(turn, part) for turn in conversation.turns for part in turn.parts if isinstance(part, str)]
    found = next(((turn, mark) for turn, part in spoken if (mark := marks.search(part))), None)
    if found is None:
        return conversation
    if not escape:
        turn, mark = found
        raise Unfit(
            "literal_tag",
            f"sample {conversation.key} has {mark[0]} in a text of {turn.role}, which would be taken for the place "
            "of a medium. Write it as '< image>' with --escape-tags",
        )

    def spaced(mark: re.Match[str]) -> str:
        return f"{mark[0][0]} {mark[0][1:]}"

    def escaped(turn: Turn) -> Turn:
        parts = (marks.sub(spaced, part) if isinstance(part, str) else part for part in turn.parts)
        return Turn(role=turn.role, parts=tuple(parts))

    return Conversation(key=conversation.key, turns=tuple(map(escaped, conversation.turns)))


def tagged(turn: Turn, tags: Mapping[Kind, str], glue: str = "\n") -> str:
    """A turn as one text with a tag in the place of each medium.

    Args:
        turn: Any.
        tags: A tag for each kind of medium.
        glue: Stands between tags and between them and text, unless white space does; but for tags between words,
            where it is a blank.
    """
    texts = [n for n, part in enumerate(turn.parts) if isinstance(part, str) and part]
    first, last = (texts[0], texts[-1]) if texts else (len(turn.parts), -1)
    said = ""
    for n, part in enumerate(turn.parts):
        piece = part if isinstance(part, str) else tags[part.kind]
        at_a_tag = n > 0 and (isinstance(part, Medium) or isinstance(turn.parts[n - 1], Medium))
        if at_a_tag and said and piece and not (said[-1].isspace() or piece[0].isspace()):
            said += " " if first < n <= last else glue
        said += piece
    return said
