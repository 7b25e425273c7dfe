"""One way for all media: acquired, checked, kept or transcoded, judged, stored; each with one fate."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from gristmill.media.hamming import hamming
from gristmill.media.settings import Decoding
from gristmill.spec.body import Body, Pointer, pieces_of, release, size_of
from gristmill.spec.cut import Cut
from gristmill.spec.fate import Fate, fate_of
from gristmill.spec.locator import Locator
from gristmill.spec.part_names import medium_of, part_of
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, MediaRef, Part, Sample, Show, Turn
from gristmill.spec.step import MediaContext
from gristmill.steps.acquirers import Acquired, Acquirer, Wanted, acquirer_of
from gristmill.steps.asking import Asking, Page, Sought
from gristmill.steps.loop_thread import LoopThread
from gristmill.steps.transcoders import StoredMedium, Transcoder, transcoder_of

__all__ = ["Taking", "distance", "shown"]


class TakingSettings(Decoding, Protocol):
    """Holds what is to be known of the step; acquirers and transcoders ask for more."""

    @property
    def name(self) -> str:
        """Of the step."""

    @property
    def md5(self) -> bool:
        """Say whether to take it of each body."""

    @property
    def max_phash_distance(self) -> int | None:
        """Bits, or None for any."""

    @property
    def takes_all(self) -> bool:
        """Media of samples that are lost are taken too: they cost nobody anything."""

    def least(self, media: int) -> int:
        """Say how many of so many media a sample must have."""


class Taking:
    """Holds what a worker keeps from task to task: an event loop, acquirers, transcoders."""

    def __init__(self, step: TakingSettings) -> None:
        self._step = step
        self._loop = LoopThread(step.name)
        self._acquirers: dict[str, Acquirer] = {}
        self._transcoders: dict[str, Transcoder] = {}

    @property
    def fill(self) -> float:
        """Say how full the crawler is, if there is one; see :attr:`gristmill.crawl.crawler.Crawler.fill`."""
        return float(self._of_crawler("fill", 1.0))

    @property
    def asking(self) -> bool:
        """See :attr:`gristmill.crawl.crawler.Crawler.asking`."""
        return bool(self._of_crawler("asking", False))

    @property
    def silent(self) -> int:
        """See :attr:`gristmill.crawl.crawler.Crawler.silent`."""
        return int(self._of_crawler("silent", 0))

    def _of_crawler(self, name: str, otherwise: float) -> float:
        crawlers = (getattr(one, "crawler", None) for one in list(self._acquirers.values()))
        return next((getattr(one, name) for one in crawlers if one is not None), otherwise)

    def run(self, samples: Sequence[Sample], box: MediaContext) -> None:
        """Take the media that the samples need and the box does not hold yet; each place is asked for once."""
        asking = Asking(samples, known(box), self._step.least, takes_all=self._step.takes_all)
        first = list(asking.due(asking.pages))
        tally = Tally(box, asking.pages)
        if first:
            self._loop.wait_for(self._take(asking, first, box, tally))
        _account_for_the_rest(asking.pages, box)

    async def _take(self, asking: Asking, first: Wanted, box: MediaContext, tally: Tally) -> None:
        """Have each kind of place asked by its acquirer, until nothing is due."""
        due: dict[str, list[tuple[int, Locator]]] = {}
        _sort(first, due)

        async def deliver(number: int, acquired: Acquired) -> Wanted:
            more = await self._settle(asking, number, acquired, box, tally)
            own = [one for one in more if one[1].kind == kind]
            if len(own) < len(more):
                _sort([one for one in more if one[1].kind != kind], due)
            return own

        while due:
            kind, wanted = due.popitem()
            if kind not in self._acquirers:
                made = await acquirer_of(kind, self._step)
                if kind in self._acquirers:  # another task was quicker
                    await made.close()
                else:
                    self._acquirers[kind] = made
            await self._acquirers[kind].acquire(wanted, deliver, box)

    async def _settle(
        self, asking: Asking, number: int, acquired: Acquired, box: MediaContext, tally: Tally
    ) -> Wanted:
        """Store what came, each piece of it as soon as it is made; returns what is to be asked for in consequence."""
        more: list[tuple[int, Locator]] = []

        def settle(wanting: Sequence[Sought], checked: Checked | None) -> None:
            for one in wanting:
                fate = self._judged(one, acquired, checked)
                if checked and fate.reason is None:
                    box.store(fate, checked.body, checked.pointer, checked.pieces)
                else:
                    box.store(fate, None)
                one.page.settle(one.name, fate.reason)
            pages = [one.page for one in wanting]
            more.extend(asking.due(pages))
            tally.settled(pages)

        if acquired.body is None:
            settle(asking.wanting(number), None)
            return more
        tally.received(size_of(acquired.body))
        refs = [one.ref for one in asking.wanting(number)]
        async with aclosing(self._checked(acquired, refs, box)) as pieces:
            async for cut, checked in pieces:
                try:
                    settle([one for one in asking.wanting(number) if one.ref.cut == cut], checked)
                finally:
                    if isinstance(checked.made, StoredMedium):
                        release(checked.made.body)
        return more

    async def _checked(
        self, acquired: Acquired, refs: Sequence[MediaRef], box: MediaContext
    ) -> AsyncGenerator[tuple[Cut | None, Checked]]:
        """Hash a body, and have it decoded, whole or piece by piece; waits for a decoder."""
        body, promised = acquired.body, acquired.pointer and acquired.pointer.crc32
        assert body is not None
        if not refs:
            return
        kind = refs[0].kind
        if kind not in self._transcoders:
            self._transcoders[kind] = transcoder_of(kind, self._step)
        kinds = {"sha256", *(["md5"] if self._step.md5 else ()), *(_expected(ref)[0] for ref in refs)} - {""}
        pointed = acquired.pointer is not None
        if isinstance(body, bytes):
            read = _digests(body, kinds, pointed)
        else:
            read = await asyncio.to_thread(_digests, body, kinds, pointed)
        cuts = list(dict.fromkeys(ref.cut for ref in refs))
        if promised is not None and promised != read.crc32:
            drop = Drop(reason=Reason.NO_FILE, detail="its checksum is not the one that is promised")
            for cut in cuts:
                yield cut, Checked(acquired, read, drop)
            return
        async with aclosing(self._transcoders[kind].take(body, read.of["sha256"], cuts, box)) as pieces:
            async for cut, made in pieces:
                yield cut, Checked(acquired, read, made)

    def _judged(self, one: Sought, acquired: Acquired, checked: Checked | None) -> Fate:
        """The fate of a medium: whether it is kept, and what is known of it."""
        fate = fate_of(one.page.sample, one.name, **acquired.told)
        if checked is None:
            fate.reason, fate.detail = acquired.reason, acquired.detail
            return fate
        digests, made = checked.read.of, checked.made
        fate.raw_bytes, fate.sha256 = checked.raw_bytes, digests["sha256"]
        fate.md5 = digests["md5"] if self._step.md5 else None
        drop = made if isinstance(made, Drop) else None
        if isinstance(made, StoredMedium):
            for name, value in made.facts.items():
                setattr(fate, name, value)
            fate.size_bytes = checked.raw_bytes if made.body is None else size_of(made.body)
            if fate.phash and one.ref.expected_phash:
                fate.phash_distance = distance(fate.phash, one.ref.expected_phash)
            drop = self._mismatch(one.ref, fate, digests)
            if drop is None:
                fate.medium = part_of(one.name, made.format)
                return fate
        assert drop is not None
        fate.reason, fate.detail = drop.reason, drop.detail
        return fate

    def _mismatch(self, ref: MediaRef, fate: Fate, digests: Mapping[str, str]) -> Drop | None:
        kind, digest = _expected(ref)
        if kind and digests[kind] != digest:
            return Drop(reason=Reason.HASH_MISMATCH, detail=f"{kind} is {digests[kind]}")
        limit = self._step.max_phash_distance
        if limit is not None and fate.phash_distance is not None and fate.phash_distance > limit:
            return Drop(reason=Reason.PHASH_MISMATCH, detail=f"{fate.phash_distance} bits")
        return None

    def close(self) -> None:
        """Close connections and decoders."""
        for close in [one.close for one in self._acquirers.values()] + [
            one.close for one in self._transcoders.values()
        ]:
            self._loop.wait_for(close())
        self._loop.close()


@dataclass(frozen=True, slots=True)
class Digests:
    """Holds what reading all of a body tells: hashes in hex by their kinds, and the CRC-32 of one pointed to."""

    of: Mapping[str, str]
    crc32: int


@dataclass(frozen=True, slots=True)
class Checked:
    """Holds what came, hashed and decoded."""

    acquired: Acquired
    read: Digests
    made: StoredMedium | Drop

    @property
    def raw_bytes(self) -> int:
        """Of the bytes that came."""
        return size_of(self.acquired.body or b"")

    @property
    def body(self) -> Body | None:
        """Say what is to be stored; None where a pointer to it is."""
        if isinstance(self.made, StoredMedium) and self.made.body is not None:
            return self.made.body
        return None if self.pointer else self.acquired.body

    @property
    def pieces(self) -> Sequence[int]:
        """Say what sizes the parts have that the body is stored in, if it is more than one."""
        return self.made.pieces if isinstance(self.made, StoredMedium) else ()

    @property
    def pointer(self) -> Pointer | None:
        """Say where it stands, if the bytes that came are kept and stand in a media source."""
        if isinstance(self.made, Drop) or self.made.body is not None or self.acquired.pointer is None:
            return None
        return replace(self.acquired.pointer, crc32=self.read.crc32)


def _digests(body: Body, kinds: Collection[str], crc: bool) -> Digests:
    """Read a body once; its CRC-32 is taken where ``crc`` says so.

    Raises:
        DamagedSource, OSError: It cannot be read any more.
    """
    hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}
    crc32 = 0
    for piece in pieces_of(body):
        crc32 = zlib.crc32(piece, crc32) if crc else 0
        for one in hashes.values():
            one.update(piece)
    return Digests({kind: one.hexdigest() for kind, one in hashes.items()}, crc32)


def _expected(ref: MediaRef) -> tuple[str, str]:
    """Kind and digest that upstream promises; empty texts where it does not."""
    kind, _, digest = (ref.expected_hash or "").lower().partition(":")
    return kind, digest


class Tally:
    """Counts the samples that are finished, for progress."""

    def __init__(self, box: MediaContext, pages: Sequence[Page]) -> None:
        self._box = box
        self._done = 0
        self._bytes_in = sum(fate.raw_bytes or 0 for fate in box.done().values())
        self._reasons: Counter[str] = Counter()
        self.settled(pages)

    def received(self, size_bytes: int) -> None:
        """One more body came."""
        self._bytes_in += size_bytes

    def settled(self, pages: Sequence[Page]) -> None:
        """Something became of media of these samples."""
        self._count(pages)
        self._box.progress(self._done, self._reasons, self._bytes_in)

    def _count(self, pages: Sequence[Page]) -> None:
        for page in pages:
            if page.over and not page.counted:
                page.counted = True
                self._done += 1
                if page.reason is not None:
                    self._reasons[str(page.reason)] += 1


def _sort(wanted: Wanted, by_kind: dict[str, list[tuple[int, Locator]]]) -> None:
    for number, at in wanted:
        by_kind.setdefault(at.kind, []).append((number, at))


def known(box: MediaContext) -> Mapping[tuple[int, str], Fate]:
    """Say what the box holds, by row and by the medium's name before it was stored or after."""
    done = box.done()
    return {**done, **{(row, medium_of(part)): fate for (row, part), fate in done.items()}}


def shown(turn: Turn, names: Mapping[str, str]) -> Turn:
    """The turn with media by their new names; those without one are left out."""
    parts: list[Part] = []
    for part in turn.parts:
        if not isinstance(part, Show):
            parts.append(part)
        elif part.media in names:
            parts.append(replace(part, media=names[part.media]))
    return Turn(role=turn.role, parts=tuple(parts))


def distance(measured: str, expected: str) -> int | None:
    """Bits in which two perceptual hashes differ; None where the expected one is not 16 hex digits."""
    try:
        return hamming(measured, expected) if len(expected) == len(measured) else None
    except ValueError:
        return None


def _account_for_the_rest(pages: Sequence[Page], box: MediaContext) -> None:
    """Give what was not needed its fate; also where another sample's request brought it just in time, or did not."""
    done = box.done()
    for page in pages:
        for name in page.not_needed():
            fate = done.get((page.sample.row, name))
            if fate is None or (fate.attempt == box.attempt and fate.reason is not Reason.NOT_NEEDED):
                box.store(fate_of(page.sample, name, reason=Reason.NOT_NEEDED), None)
