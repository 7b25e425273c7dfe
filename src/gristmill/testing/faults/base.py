"""What a fault is, and the table that the others enter themselves into."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from gristmill.spec.reasons import Reason
from gristmill.testing.serving import Served

__all__ = ["FAULTS", "Fault", "FaultStage", "Play", "fault", "send_picture"]


class FaultStage(Protocol):
    """Holds what faults need from the web that plays them."""

    drip_interval_s: float

    @property
    def canary_url(self) -> str:
        """A loopback port that counts its visitors."""
        ...

    async def picture(self, name: str, kind: str = "jpg") -> bytes:
        """A photograph that depends on the name, as jpg, png, webp or gif."""
        ...


Play = Callable[[Served, FaultStage], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to go wrong, and what is right to say about it.

    Attributes:
        reasons: what a right crawler may give; None stands for a kept picture.
        waits: lasts until the client gives up.
        guarded: expects the guard against private addresses; without it, a private address is asked.
        heavy: many bytes or pixels; fine alone, slow by the hundred.
        host_wide: may make a polite crawler slow down for the whole host.
    """

    name: str
    what: str
    reasons: frozenset[Reason | None]
    play: Play
    waits: bool = False
    guarded: bool = False
    heavy: bool = False
    host_wide: bool = False

    @property
    def quick(self) -> bool:
        """Fit for a list of thousands of addresses on the loopback."""
        return not (self.waits or self.guarded or self.heavy or self.host_wide)


FAULTS: dict[str, Fault] = {}
"""Every fault by name."""


def fault(
    name: str,
    what: str,
    *reasons: Reason | None,
    waits: bool = False,
    guarded: bool = False,
    heavy: bool = False,
    host_wide: bool = False,
) -> Callable[[Play], Play]:
    """Enter the decorated function into `FAULTS`; the arguments are the fields of `Fault`."""

    def enter(play: Play) -> Play:
        FAULTS[name] = Fault(
            name=name,
            what=what,
            reasons=frozenset(reasons),
            play=play,
            waits=waits,
            guarded=guarded,
            heavy=heavy,
            host_wide=host_wide,
        )
        return play

    return enter


async def send_picture(x: Served, stage: FaultStage, *headers: tuple[str, str]) -> None:
    """The photograph that belongs to this address, with further header fields."""
    data = await stage.picture(x.request.path)
    await x.send(data, content_type="image/jpeg", headers=headers)
