"""Text that would mislead a trainer, in questions and answers: dropped, replaced or kept, and counted each time.

The loaders of the trainers read a literal ``<image>`` in a text as the place of a picture. VILA's loader for
instructions takes it out of questions and leaves it in answers, where it becomes a picture that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gristmill.spec.errors import UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import CHANGES, Drop, Outcome, Sample, Text, Turn
from gristmill.spec.step import SampleStep

__all__ = ["TextHygiene"]

_BAD = re.compile("[\0\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_KEEP, _NEUTRALISE, _DROP = "keep", "neutralise", "drop"
_CHOICES = {
    "media_tokens": (_KEEP, _NEUTRALISE, _DROP),
    "bad_characters": (_KEEP, _NEUTRALISE, _DROP),
    "empty": (_KEEP, _DROP),
    "long": (_KEEP, _DROP),
}
_ROLES = {"user": "question", "assistant": "answer"}
_CONTEXT = "dialogue_context"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextHygiene(SampleStep):
    """Look at the text of every turn. What is kept in spite of a finding, or changed, is named in the sample's
    column ``changes``, which is an empty list where there is nothing to name, and counted in the record.

    The column ``dialogue_context``, which a trainer reads before the first question, is looked at like a question.

    Attributes:
        media_tokens: Literal ``tokens`` in text: ``keep``, ``neutralise`` (``<image>`` becomes ``<IMAGE>``) or
            ``drop``.
        bad_characters: NUL and lone surrogates: ``keep``, ``neutralise`` (each becomes U+FFFD) or ``drop``.
        empty: Questions or answers of nothing but space: ``keep`` or ``drop``.
        long: Questions and answers beyond their limit: ``keep`` or ``drop``.
        tokens: What trainers read as the place of a picture or video.
        max_question_chars, max_answer_chars: The limits, in characters.
    """

    media_tokens: str = _NEUTRALISE
    bad_characters: str = _NEUTRALISE
    empty: str = _DROP
    long: str = _DROP
    tokens: tuple[str, ...] = ("<image>", "<video>")
    max_question_chars: int = 262_144
    max_answer_chars: int = 65_536

    name = "hygiene"
    revision = 2
    drops = frozenset(
        {
            Reason.MEDIA_TOKEN,
            Reason.BAD_CHARACTERS,
            Reason.EMPTY_QUESTION,
            Reason.EMPTY_ANSWER,
            Reason.TEXT_TOO_LONG,
        }
    )

    def __post_init__(self) -> None:
        for setting, choices in _CHOICES.items():
            if getattr(self, setting) not in choices:
                raise UsageError(
                    f"hygiene.{setting}={getattr(self, setting)}: expected {', '.join(choices[:-1])} or {choices[-1]}"
                )
        if any(not token or token.upper() == token for token in self.tokens):
            raise UsageError("hygiene.tokens: expected text with small letters, such as <image>")
        for limit in ("max_question_chars", "max_answer_chars"):
            if getattr(self, limit) < 1:
                raise UsageError(f"hygiene.{limit}={getattr(self, limit)}: expected 1 or more")

    def apply(self, sample: Sample) -> Outcome:
        """See :class:`SampleStep`."""
        changes: list[str] = []
        context = sample.columns.get(_CONTEXT)
        before = (Turn(role="user", parts=(Text(text=context),)),) if context and context.strip() else ()
        for turn in (*before, *sample.turns):
            for drop, change in self._found(turn):
                if drop is not None:
                    return drop
                changes.append(change)
        columns = {**sample.columns, CHANGES: [*sample.columns.get(CHANGES, ()), *dict.fromkeys(changes)]}
        if not changes:
            return replace(sample, columns=columns)
        if context:
            columns[_CONTEXT] = self._clean(context)
        return replace(sample, turns=tuple(map(self._cleaned, sample.turns)), columns=columns)

    def _found(self, turn: Turn) -> Iterator[tuple[Drop | None, str]]:
        """What there is to say of a turn: why it costs the sample, or the word for what is done about it."""
        texts = [part.text for part in turn.parts if isinstance(part, Text)]
        where = _ROLES.get(turn.role, turn.role)
        if turn.role in _ROLES:
            yield from self._size(texts, where)
        if any(_has_bad(text) for text in texts):
            yield self._said(self.bad_characters, "bad_characters", Reason.BAD_CHARACTERS, where)
        for token in self.tokens:
            if any(token in text for text in texts):
                yield self._said(self.media_tokens, "media_token", Reason.MEDIA_TOKEN, where, token)

    def _size(self, texts: list[str], where: str) -> Iterator[tuple[Drop | None, str]]:
        question = where == "question"
        if not any(text.replace("\0", "").strip() for text in texts):
            reason = Reason.EMPTY_QUESTION if question else Reason.EMPTY_ANSWER
            yield self._said(self.empty, "empty", reason, where)
        size = sum(map(len, texts))
        limit = self.max_question_chars if question else self.max_answer_chars
        if size > limit:
            yield self._said(self.long, "long", Reason.TEXT_TOO_LONG, where, f"{size:,} characters")

    def _said(
        self, choice: str, word: str, reason: Reason, where: str, detail: str = ""
    ) -> tuple[Drop | None, str]:
        if choice == _DROP:
            return Drop(reason=reason, detail=f"{where}: {detail}" if detail else where), ""
        done = "neutralised" if choice == _NEUTRALISE else "kept"
        return None, f"{word}_{done}_in_{where}"

    def _cleaned(self, turn: Turn) -> Turn:
        return replace(
            turn,
            parts=tuple(Text(text=self._clean(p.text)) if isinstance(p, Text) else p for p in turn.parts),
        )

    def _clean(self, text: str) -> str:
        if self.bad_characters == _NEUTRALISE and _has_bad(text):
            text = _BAD.sub(_REPLACEMENT, text)
        if self.media_tokens == _NEUTRALISE:
            for token in self.tokens:
                text = text.replace(token, token.upper())
        return text


def _has_bad(text: str) -> bool:
    return "\0" in text or (not text.isascii() and _BAD.search(text) is not None)
