"""A conversation as all checks see it: who says what, which media there are, and where they are shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gristmill.spec.sample import Json

__all__ = [
    "ASSISTANT",
    "DOCUMENT",
    "KINDS",
    "SYSTEM",
    "TAGS",
    "TOOL",
    "USER",
    "ConversationRecord",
    "MediumFact",
    "MediumPath",
    "Utterance",
    "key_of",
]

USER, ASSISTANT, SYSTEM, TOOL, DOCUMENT = "user", "assistant", "system", "tool", "document"
"""Roles as checks see them; any other is one that trainers do not know. A document is a text without speakers."""

KINDS = ("image", "video", "audio")
TAGS: Mapping[str, str] = {kind: f"<{kind}>" for kind in KINDS}
"""What stands in a text for the place of a medium (LLaVA, ShareGPT, Qwen-VL, LLaMA-Factory, swift)."""


@dataclass(slots=True)
class Utterance:
    """One turn, which checks may change.

    Attributes:
        role: One of the roles above, or as the record has it.
        texts: Its texts in order; one where media are shown by tags.
        shown: Kinds of the media that are parts of it, in order.
        raw: What the texts stand in: a JSON object, or the parts of a sample's turn. Whoever put it here writes the
            texts back.
        text_key, role_key: Where in ``raw``; empty where the shape has none. Of a sample's turn ``role_key`` is its
            role.
    """

    role: str
    texts: list[str]
    shown: tuple[str, ...] = ()
    raw: Any = None
    text_key: str = ""
    role_key: str = ""

    @property
    def empty(self) -> bool:
        """It says and shows nothing."""
        return not self.shown and not "".join(self.texts).strip()

    def _held(self) -> Any:
        return self.raw[self.text_key] if isinstance(self.raw, dict) else self.raw

    def joins(self, other: Utterance) -> bool:
        """Both hold their texts in the same way."""
        return type(self._held()) is type(other._held()) and self.raw is not other.raw

    def join(self, other: Utterance) -> None:
        """Take in what another turn says."""
        if isinstance(held := self._held(), list):
            held += other._held()
            self.texts += other.texts
            self.shown += other.shown
        else:
            self.texts = ["\n".join(self.texts + other.texts)]


class MediumPath(NamedTuple):
    """Says where a record says that a medium is.

    Attributes:
        kind: One of ``KINDS``.
        path: As the record has it; empty where there is none to look for.
        embedded: The bytes are within the record.
        holder, place: What holds the path, and under which key or number, so that it can be changed.
        own: It stands in the part that shows it, and in no list beside the turns.
        frames: Further pictures, of a video that is given as its frames.
    """

    kind: str
    path: str
    embedded: bool = False
    holder: Any = None
    place: Any = None
    own: bool = False
    frames: tuple[str, ...] = ()


class MediumFact(NamedTuple):
    """Holds what was found behind a path.

    Attributes:
        code: Of the check that it fails; empty for a good one.
        detail: What was seen.
        width_px, height_px: As the file's head says; 0 where that was not read.
        digest: Of its bytes.
        fps, frames: Of a video: as measured; 0 where it was not.
        name: What it is called in truth, where the path differs by case or Unicode form alone.
    """

    code: str = ""
    detail: str = ""
    width_px: int = 0
    height_px: int = 0
    digest: int = 0
    name: str = ""
    fps: float = 0.0
    frames: int = 0


@dataclass(slots=True)
class ConversationRecord:
    """One record, which checks may change.

    Attributes:
        turns: Who says what.
        media: In the order in which they are shown.
        id: As the record has it; None where it has none.
        number: Its place in the file, from 0.
        tagged: Tags in texts show the media; else parts of turns do.
        fixed_turns: Its shape has places for just these turns, so that none can be taken out.
        odd_media: Values in the place of a path that are none.
        size_px: Width and height that the record says its one picture has.
        fps, frames: What it says of its one video: frames a second, and how many, as it stands there; None where it
            says nothing.
        boxes: Boxes beside the texts: left, top, right, bottom.
        facts: What is behind each path, by :func:`key_of`; None where nobody looked.
        raw: The JSON object; None for a sample.
        shape: How it holds its turns, in a word or two.
        turns_key: Under which key of ``raw`` they are; empty where it has none.
    """

    turns: list[Utterance]
    media: list[MediumPath] = field(default_factory=list)
    id: Json = None
    number: int = 0
    tagged: bool = True
    fixed_turns: bool = False
    odd_media: list[tuple[str, Json]] = field(default_factory=list)
    size_px: tuple[int, int] | None = None
    fps: Json = None
    frames: Json = None
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    facts: Mapping[int, MediumFact] | None = None
    raw: Any = None
    shape: str = ""
    turns_key: str = ""

    def whole(self) -> str:
        """All texts, joined by newlines: most checks need to look no further."""
        return "\n".join([text for turn in self.turns for text in turn.texts])

    def places(self) -> Iterator[tuple[Utterance, int, str]]:
        """Each text with its turn and its number there."""
        for turn in self.turns:
            for number, text in enumerate(turn.texts):
                yield turn, number, text


def key_of(path: str) -> int:
    """A path in eight bytes: millions of them are kept."""
    return int.from_bytes(
        hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )
