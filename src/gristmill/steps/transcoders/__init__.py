"""Transcoders see that a body is what it should be, and store it anew or keep it: a file for each kind of medium."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gristmill.spec.body import Body
from gristmill.spec.cut import Cut
from gristmill.spec.errors import RecipeError
from gristmill.spec.registry import module_in
from gristmill.spec.sample import Drop
from gristmill.spec.step import MediaContext

__all__ = ["StoredMedium", "Transcoder", "transcoder_of"]


@dataclass(slots=True, kw_only=True)
class StoredMedium:
    """A medium as it is stored.

    Attributes:
        body: Its bytes; None where they are those that came. A temporary file is removed once it is stored.
        format: Such as ``jpeg``.
        facts: Columns of its fate.
        pieces: Of a video that is stored as its frames: the size of each, in order, bytes.
    """

    body: Body | None
    format: str
    facts: Mapping[str, Any]
    pieces: Sequence[int] = ()


class Transcoder(Protocol):
    """For any number of tasks at once, on one event loop."""

    def take(
        self, body: Body, sha256: str, cuts: Sequence[Cut | None], box: MediaContext
    ) -> AsyncGenerator[tuple[Cut | None, StoredMedium | Drop]]:
        """Say what becomes of all of a body (None) and of each piece of it that is wanted, as it is finished.

        A large body is a :class:`gristmill.spec.body.FileBody`; one that is made lies in ``box.scratch()``.

        Args:
            body: As it came.
            sha256: Its own.
            cuts: None, if all of it is wanted, and pieces; each once. A picture has none.
            box: Of the task.
        """

    async def close(self) -> None:
        """Give back what it holds."""


def transcoder_of(kind: str, step: Any) -> Transcoder:
    """The transcoder of a kind of medium, with a step's settings.

    Raises:
        RecipeError: There is none.
    """
    module = module_in(__name__, kind)
    if module is None:
        raise RecipeError(f"media of the kind {kind!r} cannot be stored: no steps/transcoders/{kind}.py")
    made: Transcoder = module.transcoder(step)
    return made
