"""Parses records in LLaVA's form, ``{id, image, conversations: [{from, value}]}``, into samples.

The form is that of https://github.com/haotian-liu/LLaVA, docs/Finetune_Custom_Data.md. ``image`` is a path, or a list
of paths, below a folder in which pictures of many other datasets lie; a record without it is text alone. Roles are
``human`` and ``gpt`` in turn, perhaps after a ``system``. In the text the token ``<image>`` is a picture's place, and
blanks and line breaks around it belong to it, as trainers strip them. What VILA's loaders do with records that are
otherwise (https://github.com/NVlabs/VILA, llava/data/dataset.py at 143c773) decides what is done here:

=======================================  ===========================================================================
record                                   becomes
=======================================  ===========================================================================
pictures, and no token in a question     all pictures before the first question; ``changes`` says ``token_added``
as many tokens in questions as pictures  each picture in its place
another number of tokens                 dropped, ``tag_mismatch``: the loader stops at such a record
no picture, a token where one would be   dropped, ``no_image``
a token within other text, or an answer  left in the text, for :class:`gristmill.steps.check.CheckConversations`
roles out of order, or unknown           left so for the same step, which mends what can be mended
nothing asked, or nothing answered       dropped, ``bad_turns`` or ``empty_answer``
a path that is absolute or leads out     dropped, ``bad_path``
=======================================  ===========================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gristmill.spec.locator import Locator, Member
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import CHANGES, Drop, Json, MediaRef, Outcome, Part, Sample, Show, Text, Turn

__all__ = ["Family", "InFamilies", "LlavaRecords", "Place", "dialogue"]

Place: TypeAlias = Callable[[str], Locator | MediaRef | Drop]
"""Says where the medium is that a record names by a path, and what of it is meant; or why it can be nowhere."""

TOKEN_ADDED = "token_added"
"""The word in the column ``changes`` of a sample whose record had no token for its pictures."""

_ROLES = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant"}
_OUTSIDE = re.compile(r"/|[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]*://|(?:.*/)?\.\.(?:/|$)")
_MOST_MEDIA = 1000
"""Parts are numbered with three digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Pictures of one source, as the paths of records name them.

    Attributes:
        prefix: What such a path begins with; a folder ends with a slash, and the empty text is any path.
        source: Key of the media source.
        lead: What stands in the source in place of the prefix.
    """

    prefix: str
    source: str
    lead: str = ""


@dataclass(frozen=True, slots=True)
class InFamilies:
    """A :data:`Place` for records whose paths begin with the name of the dataset that the picture comes from.

    Attributes:
        families: Of several that fit, the one with the longest prefix holds.
    """

    families: Sequence[Family]

    def __call__(self, path: str) -> Locator | Drop:
        """See :data:`Place`."""
        fitting = [family for family in self.families if path.startswith(family.prefix)]
        if not fitting:
            known = ", ".join(family.prefix for family in self.families)
            return Drop(reason=Reason.NO_FILE, detail=f"{path!r} begins with none of {known}"[:200])
        family = max(fitting, key=lambda family: len(family.prefix))
        return Member(family.source, family.lead + path.removeprefix(family.prefix))


@dataclass(frozen=True, slots=True, kw_only=True)
class LlavaRecords:
    """A ``parse`` for records of LLaVA's form; media are named ``000``, ``001`` and so on.

    Attributes:
        place: Where a medium is.
        kind: ``image`` or ``video``: the name of the field, and what the token says.
    """

    place: Place
    kind: Literal["image", "video"] = "image"

    def __call__(self, row: Mapping[str, Json]) -> Outcome:
        """See :data:`gristmill.spec.recipe.Parse`; the table at this module's head says what is dropped."""
        media = self._media(row.get(self.kind))
        return media if isinstance(media, Drop) else dialogue(row.get("conversations"), media)

    def _media(self, named: Json) -> list[MediaRef] | Drop:
        paths = [named] if isinstance(named, str) else [] if named is None else named
        if not isinstance(paths, list) or not all(isinstance(path, str) and path for path in paths):
            return Drop(reason=Reason.BAD_ROW, detail=f"{self.kind} is no path: {named!r}"[:200])
        if len(paths) > _MOST_MEDIA:
            return Drop(reason=Reason.BAD_ROW, detail=f"{len(paths):,} media")
        media = []
        for path in paths:
            plain = path.replace("\\", "/").removeprefix("./")
            if _OUTSIDE.match(plain) or "\0" in plain:
                return Drop(reason=Reason.BAD_PATH, detail=f"{path!r} is no path within a dataset"[:200])
            at = self.place(plain)
            if isinstance(at, Drop):
                return at
            media.append(at if isinstance(at, MediaRef) else MediaRef(kind=self.kind, at=at))
        return media


def dialogue(conversations: Json, media: Sequence[MediaRef]) -> Outcome:
    """A sample of a list ``[{from, value}, ...]``, with the media in the places that its tokens say.

    Args:
        conversations: As the record has it; whatever it is.
        media: Of one kind, in their order.
    """
    turns = _turns(conversations)
    if isinstance(turns, Drop):
        return turns
    token = f"<{media[0].kind if media else 'image'}>"
    names = [f"{n:03d}" for n in range(len(media))]
    tokens = sum(text.count(token) for role, text in turns if role == "user")
    if not media and (fault := _wants_picture(turns)):
        return fault
    if media and tokens not in (0, len(media)):
        return Drop(reason=Reason.TAG_MISMATCH, detail=f"{tokens} {token} for {len(media)} media")
    left = iter(names)
    shown = [
        (role, list(_parts(text, token, left) if media and role == "user" else [Text(text=text)]))
        for role, text in turns
    ]
    if added := media and not tokens:
        first = next(parts for role, parts in shown if role == "user")
        first[:0] = [Show(media=name) for name in names]
    return Sample(
        key="",
        media=dict(zip(names, media, strict=True)),
        turns=tuple(Turn(role=role, parts=tuple(parts)) for role, parts in shown),
        columns={CHANGES: [TOKEN_ADDED]} if added else {},
    )


def _turns(conversations: Json) -> list[tuple[str, str]] | Drop:
    """Roles and texts, in whatever order."""
    if not isinstance(conversations, list) or not conversations:
        return Drop(reason=Reason.BAD_ROW, detail="conversations is no list of turns")
    turns: list[tuple[str, str]] = []
    for number, turn in enumerate(conversations):
        who, text = (turn.get("from"), turn.get("value")) if isinstance(turn, dict) else (None, None)
        if not isinstance(who, str) or not isinstance(text, str):
            return Drop(reason=Reason.BAD_ROW, detail=f"turn {number} has no from and value of text")
        turns.append((_ROLES.get(who, who), text))
    if not any(role == "user" for role, _ in turns):
        return Drop(reason=Reason.BAD_TURNS, detail=f"no human speaks; the first is {turns[0][0]!r}"[:200])
    if all(role in ("system", "user") for role, _ in turns):
        return Drop(reason=Reason.EMPTY_ANSWER, detail="the last question has no answer")
    return turns


def _wants_picture(turns: Sequence[tuple[str, str]]) -> Drop | None:
    """The drop of a record without media in which a question begins or ends with the place of one."""
    for role, text in turns:
        bare = text.strip()
        for token in ("<image>", "<video>"):
            if role == "user" and (bare.startswith(token) or bare.endswith(token)):
                return Drop(reason=Reason.NO_IMAGE, detail=f"{token}, and the record names none")
    return None


def _parts(text: str, token: str, left: Iterator[str]) -> Iterator[Part]:
    """A question cut at its tokens, each the next medium; blanks around a token are its own."""
    pieces = text.split(token)
    for number, piece in enumerate(pieces):
        if number:
            yield Show(media=next(left))
        bare = piece.strip() if len(pieces) > 1 else piece
        if bare:
            yield Text(text=bare)
