"""Between a sample of a run and a conversation as checks see it."""

from __future__ import annotations

from dataclasses import replace

from gristmill.spec.locator import File, Member
from gristmill.spec.sample import MediaRef, Part, Sample, Show, Text, Turn
from gristmill.steps.conversations.conversation import ConversationRecord, MediumPath, Utterance
from gristmill.steps.conversations.shapes import role_of

__all__ = ["conversation_in", "with_conversation"]


def conversation_in(sample: Sample) -> ConversationRecord:
    """A sample's turns and media, to be looked at and mended."""
    record = ConversationRecord([], tagged=False)
    for turn in sample.turns:
        shows = [part for part in turn.parts if isinstance(part, Show)]
        record.media += [_medium(sample.media[show.media], own=True) for show in shows]
        record.boxes += [show.box_px for show in shows if show.box_px is not None]
        record.turns.append(
            Utterance(
                role_of(turn.role),
                [part.text for part in turn.parts if isinstance(part, Text)],
                tuple(sample.media[show.media].kind for show in shows),
                list(turn.parts),
                role_key=turn.role,
            )
        )
    shown = {part.media for turn in sample.turns for part in turn.parts if isinstance(part, Show)}
    record.media += [_medium(ref, own=False) for name, ref in sample.media.items() if name not in shown]
    return record


def _medium(ref: MediaRef, *, own: bool) -> MediumPath:
    path = ref.at.path if isinstance(ref.at, Member | File) else ""
    return MediumPath(ref.kind, path, embedded=not path, own=own)


def with_conversation(sample: Sample, record: ConversationRecord) -> Sample:
    """The sample with what was mended in its turns; media that are no longer shown are left out."""
    turns = tuple(map(_turn, record.turns))
    shown = {part.media for turn in turns for part in turn.parts if isinstance(part, Show)}
    before = {part.media for turn in sample.turns for part in turn.parts if isinstance(part, Show)}
    media = {name: ref for name, ref in sample.media.items() if name in shown or name not in before}
    return replace(sample, turns=turns, media=media)


def _turn(said: Utterance) -> Turn:
    texts = iter(said.texts)
    parts: list[Part] = [Text(text=next(texts)) if isinstance(part, Text) else part for part in said.raw]
    role = said.role_key if role_of(said.role_key) == said.role else said.role
    return Turn(role=role, parts=tuple(parts))
