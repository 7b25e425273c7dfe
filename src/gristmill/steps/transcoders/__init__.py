"""Transcoders see that a body is what it should be, and store it anew or keep it: a file for each kind of medium."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gristmill.spec.body import Body
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
    """

    body: Body | None
    format: str
    facts: Mapping[str, Any]


class Transcoder(Protocol):
    """For any number of tasks at once, on one event loop."""

    async def take(self, body: Body, sha256: str, box: MediaContext) -> StoredMedium | Drop:
        """Say what becomes of a body; ``sha256`` is its own.

        A large body is a :class:`gristmill.spec.body.FileBody`; one that is made lies in ``box.scratch()``.
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
