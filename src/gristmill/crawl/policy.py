"""What the files have in common in which an origin says how it wants to be treated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gristmill.crawl.guard import Target
from gristmill.spec.reasons import Reason

__all__ = ["READ_BYTES", "PolicyFile", "Rules", "Ruling"]

READ_BYTES = 500 * 1024
"""So much of a file is read, and the rest is not there: the least that RFC 9309 asks for."""


class Ruling(NamedTuple):
    """Holds what a file says of one URL."""

    reason: Reason | None = None
    """Why it is not to be asked for; None if it may be."""
    detail: str = ""
    seen: str = ""
    """What stands in the fates as opt-out, obeyed or not."""


class Rules(Protocol):
    """A file that was read."""

    @property
    def delay_s(self) -> float:
        """Seconds that it wants between two requests."""

    def ruling(self, target: Target) -> Ruling:
        """Say what it says of a URL of its origin."""


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A file that every origin may have."""

    name: str
    path: str
    read: Callable[[bytes], Rules]
    """From at most ``READ_BYTES``, whatever they are; raises nothing."""
    failure_forbids: bool
    """Whether a server that fails to say (5xx, 429, no proper HTTP) says no. Otherwise it says nothing."""
