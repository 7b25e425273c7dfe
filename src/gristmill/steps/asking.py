"""Which media of a task's samples are to be asked for, one after another: no more than their samples need.

A document is lost once too many of its images cannot be had. An image is asked for as soon as it is certain to be
needed whatever becomes of those before it: with every image wanted, when the one before has come; with some to
spare, so many at once. So what is asked for depends on the answers and not on their order, the first image that
failed is always known, and a lost document costs no further request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gristmill.spec.fate import Fate
from gristmill.spec.locator import Locator, Url
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import MediaRef, Sample

_NOWHERE = Url("")

__all__ = ["Asking", "Page", "Sought"]


class Page:
    """One sample and its media, in order.

    Args:
        sample: Whose media these are.
        known: Reasons (None: kept) of media that are finished.
        least: Media without which the sample is not kept.
        takes_all: Ask for all of them at once, be the sample lost or not.
    """

    __slots__ = ("_all", "_failed", "_known", "_names", "_next", "_pending", "_spare", "counted", "sample")

    def __init__(
        self, sample: Sample, known: dict[str, Reason | None], least: int, *, takes_all: bool = False
    ) -> None:
        self._all = takes_all
        self.sample = sample
        self.counted = False
        self._names = tuple(sample.media)
        self._known = known
        self._spare = len(self._names) - least
        self._pending: set[str] = set()
        self._next = self._failed = 0

    def due(self) -> list[str]:
        """Media to be asked for now, that were not before."""
        due = []
        while self._next < len(self._names) and (
            self._all or self._failed + len(self._pending) <= self._spare
        ):
            name = self._names[self._next]
            self._next += 1
            if name in self._known:
                self._failed += self._known[name] is not None
            else:
                self._pending.add(name)
                due.append(name)
        return due

    def settle(self, name: str, reason: Reason | None) -> None:
        """Take note of what became of a medium."""
        self._known[name] = reason
        if name in self._pending:
            self._pending.remove(name)
            self._failed += reason is not None

    @property
    def lost(self) -> bool:
        """The sample cannot be kept any more."""
        return self._failed > self._spare

    @property
    def over(self) -> bool:
        """Nothing more is to be asked."""
        return not self._pending and (self.lost or self._next == len(self._names))

    @property
    def reason(self) -> Reason | None:
        """Why it is lost: the reason of its first medium that failed; None while it is not."""
        if not self.lost:
            return None
        return next((r for n in self._names if (r := self._known.get(n)) is not None), Reason.FEW_IMAGES)

    def wants(self, name: str) -> bool:
        """Say whether this medium is still of use."""
        return (self._all or not self.lost) and name not in self._known

    def not_needed(self) -> Sequence[str]:
        """Media of a lost sample that its own loss left behind."""
        return self._names[self._next :]


@dataclass(slots=True)
class Sought:
    """One medium to ask for."""

    page: Page
    name: str
    ref: MediaRef


class Asking:
    """All media of a task, by where they are: one that several samples want is asked for once.

    Args:
        samples: In order.
        done: Fates that are known already, by row and part name; what was not needed then may be now.
        least: Media that a sample with so many must have.
        takes_all: Ask for all media at once.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        done: Mapping[tuple[int, str], Fate],
        least: Callable[[int], int],
        *,
        takes_all: bool = False,
    ) -> None:
        self.pages = [Page(s, _known(s, done), least(len(s.media)), takes_all=takes_all) for s in samples]
        self._groups: list[list[Sought]] = []
        self._locators: list[Locator] = []
        self._places: dict[Locator, int] = {}
        for page in self.pages:
            for name, ref in page.sample.media.items():
                if page.wants(name):
                    self._group(ref.at or _NOWHERE).append(Sought(page, name, ref))
        self._asked = bytearray(len(self._groups))

    def _group(self, at: Locator) -> list[Sought]:
        place = self._places.setdefault(at, len(self._groups))
        if place == len(self._groups):
            self._groups.append([])
            self._locators.append(at)
        return self._groups[place]

    def due(self, pages: Iterable[Page]) -> Iterator[tuple[int, Locator]]:
        """Number and locator of what is to be asked for on account of these samples, and was not before."""
        for page in pages:
            for name in page.due():
                place = self._places[page.sample.media[name].at or _NOWHERE]
                if not self._asked[place]:
                    self._asked[place] = 1
                    yield place, self._locators[place]

    def wanting(self, number: int) -> list[Sought]:
        """Say what the locator of this number is still wanted for."""
        return [one for one in self._groups[number] if one.page.wants(one.name)]


def _known(sample: Sample, done: Mapping[tuple[int, str], Fate]) -> dict[str, Reason | None]:
    fates = {name: done[sample.row, name] for name in sample.media if (sample.row, name) in done}
    return {name: fate.reason for name, fate in fates.items() if fate.reason is not Reason.NOT_NEEDED}
