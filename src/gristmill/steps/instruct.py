"""Questions out of an instruction and what it is about, and dialogues out of questions that quote one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import orjson

from gristmill.spec.errors import SourceError
from gristmill.spec.sample import Outcome, Part, Sample, Text, Turn
from gristmill.spec.step import SampleStep, runtime_option

__all__ = ["Instruct", "dialogue"]

_DIALOGUE_WORDS = "Image Descriptions"
_QUESTION, _ANSWER = "\nQuestion: ", "\nAnswer: "
_MOST_SIDE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruct(SampleStep):
    """Put the instruction before the question; where a row has none, draw one from the dataset's list.

    The sample's column ``instruction`` says what its row has: text, or null. Which of the list's is drawn depends
    on the sample's key and ``seed`` alone, so it is the same on every run; a drawn one stays in the column.

    A question with the words "Image Descriptions" that quotes a dialogue (``Question:`` and ``Answer:`` at the
    beginning of lines) becomes its turns, and the column ``dialogue_context`` holds what stands before them; only
    if context, questions and answers together are the question's text again, character by character.

    Attributes:
        separator: What stands between an instruction and the rest of the question. As published: nothing.
        seed: For drawing.
        dialogues: Make turns of quoted dialogues.
        side: Key of the source with the list of instructions.
    """

    separator: str = ""
    seed: int = 1234
    dialogues: bool = True
    side: str = "instructions"

    _prompts: tuple[str, ...] = runtime_option(())

    name = "instruct"
    revision = 1
    reads = frozenset({"columns.instruction"})
    writes = frozenset({"columns.dialogue_context"})

    def with_aux(self, aux: Mapping[str, tuple[Path, ...]]) -> Self:
        """See :class:`SampleStep`.

        Raises:
            SourceError: Not a JSON list of texts.
        """
        paths = aux.get(self.side, ())
        return replace(self, _prompts=_prompts_of(paths[0], self.side)) if paths else self

    def apply(self, sample: Sample) -> Outcome:
        """See :class:`SampleStep`.

        Raises:
            SourceError: An instruction must be drawn, and there is no list.
        """
        columns = dict(sample.columns)
        instruction = columns.pop("instruction")
        if instruction is None:
            columns["instruction"] = instruction = self._drawn(sample)
        media, inputs = _split(sample.turns[0])
        question = self.separator.join(filter(None, (instruction, inputs)))
        turns = (Turn(role="user", parts=(*media, Text(text=question))), *sample.turns[1:])
        if self.dialogues and _DIALOGUE_WORDS in question:
            talk = dialogue(question)
            if talk is not None:
                columns["dialogue_context"] = talk[0]
                turns = (*_turns(media, talk[1]), *sample.turns[1:])
        return replace(sample, turns=turns, columns=columns)

    def _drawn(self, sample: Sample) -> str:
        if not self._prompts:
            where = f"{sample.origin.file}, row {sample.origin.row}" if sample.origin else sample.key
            raise SourceError(
                f"{where}: it has no instruction, and there is no list to draw one from. Give it, "
                f"and with it another folder: --source {self.side}=FILE --out DIR. It is a JSON list of texts "
                "(upstream: instruction.json or instructions.json beside the annotations)."
            )
        digest = hashlib.blake2b(f"{self.seed} {sample.key}".encode(), digest_size=8).digest()
        return self._prompts[int.from_bytes(digest, "big") % len(self._prompts)]


def _prompts_of(path: Path, side: str) -> tuple[str, ...]:
    if path.stat().st_size > _MOST_SIDE_BYTES:
        raise _no_list(path, side, f"it is {path.stat().st_size:,} bytes long")
    try:
        found = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as err:
        raise _no_list(path, side, f"it is not JSON: {err}") from err
    if not isinstance(found, list) or not found:
        raise _no_list(path, side, "it is empty, or no list")
    if not all(isinstance(prompt, str) and prompt.strip() for prompt in found):
        raise _no_list(path, side, "it holds something else, or an empty text")
    return tuple(found)


def _no_list(path: Path, side: str, why: str) -> SourceError:
    return SourceError(
        f"{path}: expected a JSON list of texts, the instructions to draw from; {why}. Give another, and with it "
        f"another folder: --source {side}=FILE --out DIR"
    )


def _split(turn: Turn) -> tuple[tuple[Part, ...], str]:
    media = tuple(part for part in turn.parts if not isinstance(part, Text))
    return media, "".join(part.text for part in turn.parts if isinstance(part, Text))


def dialogue(text: str) -> tuple[str, list[str]] | None:
    """Say what stands before the first question, and question, answer, ... question; None if it is no dialogue.

    These are the cuts that VILA's loader makes, which stops on any other text.
    """
    context, *pieces = text.split(_QUESTION)
    if not pieces or _ANSWER in pieces[-1]:
        return None
    said: list[str] = []
    for piece in pieces[:-1]:
        halves = piece.split(_ANSWER)
        if len(halves) != 2:
            return None
        said += halves
    said.append(pieces[-1])
    if not all(part.strip() for part in said):
        return None
    again = "".join(f"{_ANSWER if n % 2 else _QUESTION}{part}" for n, part in enumerate(said))
    return (context, said) if context + again == text else None


def _turns(media: tuple[Part, ...], said: list[str]) -> tuple[Turn, ...]:
    return tuple(
        Turn(role="assistant" if n % 2 else "user", parts=(*(() if n else media), Text(text=text)))
        for n, text in enumerate(said)
    )
