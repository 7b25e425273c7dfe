"""Acquirers bring the bodies of media: a file for each kind of locator, found by its name.

A file ``KIND.py`` has ``async def acquirer(step)``, which gives an :class:`Acquirer` for the locators of that kind.
One whose media lie in archives may have ``places(source, wanted)``, see :func:`places_of`. Settings that it needs and
the step does not have are its own affair.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from gristmill.spec.body import Body, Pointer
from gristmill.spec.errors import RecipeError
from gristmill.spec.locator import Locator
from gristmill.spec.reasons import Reason
from gristmill.spec.registry import module_in
from gristmill.spec.step import MediaContext

__all__ = ["Acquired", "Acquirer", "Deliver", "Place", "Wanted", "acquirer_of", "places_of"]


@dataclass(slots=True, kw_only=True)
class Acquired:
    """Holds what came of one locator: a body, or the reason why there is none.

    Attributes:
        body: A large one is a file, or a range of one; a temporary file is removed by whoever acquired it.
        pointer: By which the same bytes are found again; its ``crc32`` is what they are promised to have.
        told: Further columns of the medium's fate.
    """

    body: Body | None = None
    pointer: Pointer | None = None
    reason: Reason | None = None
    detail: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)


Wanted: TypeAlias = Sequence[tuple[int, Locator]]
"""Locators, each with the number under which it is delivered."""

Place: TypeAlias = tuple[int, int]
"""The number of the archive of a media source that a medium lies in, and the offset there."""

Deliver: TypeAlias = Callable[[int, Acquired], Awaitable[Wanted]]
"""Takes what came of a number, and returns what is wanted in consequence."""


class Acquirer(Protocol):
    """Brings bodies for any number of tasks of its process at once, on one event loop."""

    async def acquire(self, wanted: Wanted, deliver: Deliver, box: MediaContext) -> None:
        """Deliver each of the locators, and each that comes to be wanted, exactly once and in any order.

        Few bodies are in memory at a time: one counts until ``deliver`` returns.

        Raises:
            Stopped: ``box.stop`` was set before the last was delivered.
        """

    async def close(self) -> None:
        """Give back what it holds."""


async def acquirer_of(kind: str, step: Any) -> Acquirer:
    """The acquirer of a kind of locator, with a step's settings.

    Raises:
        RecipeError: There is none.
    """
    module = module_in(__name__, kind)
    if module is None:
        raise RecipeError(f"no acquirer brings media by {kind!r}: there is no steps/acquirers/{kind}.py")
    made: Acquirer = await module.acquirer(step)
    return made


def places_of(kind: str, source: Any, wanted: Sequence[Locator]) -> Sequence[Place | None]:
    """Say where in a media source media lie; None of one that is not there, or of a kind that lies in no archive.

    Args:
        kind: Of all the locators.
        source: Theirs.
        wanted: Better many at once than one.
    """
    places = getattr(module_in(__name__, kind), "places", None)
    found: Sequence[Place | None] = [None] * len(wanted) if places is None else places(source, wanted)
    return found
