"""The engine behind the step ``crawl``: URLs asked for, answers checked, decoded and judged, kept in the box."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gristmill.crawl.answer import Answer, without_userinfo
from gristmill.crawl.crawler import Crawler
from gristmill.crawl.crawler import Stopped as CrawlStopped
from gristmill.crawl.settings import CrawlSettings
from gristmill.media.errors import Undecodable
from gristmill.media.hamming import hamming
from gristmill.media.pool import CodecPool
from gristmill.media.settings import Decoding
from gristmill.media.transcoded import Transcoded
from gristmill.spec.errors import Stopped
from gristmill.spec.fate import Fate
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, MediaRef, Sample
from gristmill.spec.step import MediaContext
from gristmill.steps.asking import Asking, Page, Wanted, row_of
from gristmill.steps.loop_thread import LoopThread

__all__ = ["Engine", "distance"]

_MIME = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}


class Settings(Decoding, Protocol):
    """What the engine wants to know of the step."""

    @property
    def md5(self) -> bool:
        """Whether to take it of each body."""

    @property
    def max_phash_distance(self) -> int | None:
        """Bits, or None for any."""

    def least(self, media: int) -> int:
        """How many of so many media a sample must have."""

    def crawl_settings(self) -> CrawlSettings:
        """For the crawler."""


class Engine:
    """What a worker keeps from task to task: event loop, connections, names looked up, decoders."""

    def __init__(self, step: Settings) -> None:
        self._step = step
        self._pool = CodecPool(step.image_settings(), processes=step.codecs, deadline_s=step.codec_deadline_s)
        self._loop = LoopThread("crawl")
        self._crawler = self._loop.wait_for(Crawler(step.crawl_settings()).__aenter__())

    @property
    def fill(self) -> float:
        """See :attr:`gristmill.crawl.crawler.Crawler.fill`."""
        return self._crawler.fill

    @property
    def asking(self) -> bool:
        """See :attr:`gristmill.crawl.crawler.Crawler.asking`."""
        return self._crawler.asking

    @property
    def silent(self) -> int:
        """See :attr:`gristmill.crawl.crawler.Crawler.silent`."""
        return self._crawler.silent

    def run(self, samples: Sequence[Sample], box: MediaContext) -> None:
        """Ask for the media that the samples need and the box does not hold yet; a URL is asked for once."""
        asking = Asking(samples, box.done(), self._step.least)
        first = list(asking.due(asking.pages))
        tally = Tally(box, asking.pages)
        if first:
            self._loop.wait_for(self._crawl(asking, first, box, tally))
        _account_for_the_rest(asking.pages, box)

    async def _crawl(
        self, asking: Asking, first: list[tuple[int, str]], box: MediaContext, tally: Tally
    ) -> None:
        async def consume(number: int, answer: Answer) -> list[tuple[int, str]]:
            """Store what came; returns what is to be asked for in consequence."""
            checked = None
            if answer.body is not None:
                checked = await check_image(answer.body, self._pool, md5=self._step.md5)
            wanting = asking.wanting(number)
            for one in wanting:
                fate, body = self._judge(one, answer, checked)
                box.store(fate, body)
                one.page.settle(one.name, fate.reason)
                tally.received(fate)
            pages = [one.page for one in wanting]
            more = list(asking.due(pages))
            tally.settled(pages)
            return more

        try:
            await self._crawler.crawl(first, consume, stop=box.stop)
        except CrawlStopped as err:
            raise Stopped(str(err)) from err

    def _judge(self, one: Wanted, answer: Answer, checked: Checked | None) -> tuple[Fate, bytes | None]:
        fate = _fate(one, answer)
        if checked is None:
            fate.reason, fate.detail = answer.reason, answer.detail
            return fate, None
        fate.sha256, fate.md5, fate.raw_bytes = checked.sha256, checked.md5, checked.size
        picture = checked.picture
        if isinstance(picture, Drop):
            fate.reason, fate.detail = picture.reason, picture.detail
            return fate, None
        fate.original_mime = f"image/{picture.original_format}"
        fate.original_width_px, fate.original_height_px = (
            picture.original_width_px,
            picture.original_height_px,
        )
        fate.mime, fate.size_bytes = _MIME[picture.format], len(picture.body)
        fate.width_px, fate.height_px, fate.phash = picture.width_px, picture.height_px, picture.phash
        if picture.phash and one.ref.expected_phash:
            fate.phash_distance = distance(picture.phash, one.ref.expected_phash)
        drop = self._mismatch(one.ref, fate, checked)
        if drop is not None:
            fate.reason, fate.detail = drop.reason, drop.detail
            return fate, None
        return fate, picture.body

    def _mismatch(self, ref: MediaRef, fate: Fate, checked: Checked) -> Drop | None:
        if ref.expected_hash:
            kind, _, digest = ref.expected_hash.lower().partition(":")
            found = {"sha256": checked.sha256, "md5": checked.md5}.get(kind)
            if found is None:
                found = hashlib.new(kind, checked.body).hexdigest()
            if found != digest:
                return Drop(reason=Reason.HASH_MISMATCH, detail=f"{kind} is {found}")
        limit = self._step.max_phash_distance
        if limit is not None and fate.phash_distance is not None and fate.phash_distance > limit:
            return Drop(reason=Reason.PHASH_MISMATCH, detail=f"{fate.phash_distance} bits")
        return None

    def close(self) -> None:
        """Close connections and decoders."""
        self._loop.wait_for(self._crawler.__aexit__(None, None, None))
        self._loop.wait_for(self._pool.close())
        self._loop.close()


class Tally:
    """Counts the samples that are finished, for progress."""

    def __init__(self, box: MediaContext, pages: Sequence[Page]) -> None:
        self._box = box
        self._done = 0
        self._bytes_in = sum(fate.raw_bytes or 0 for fate in box.done().values())
        self._reasons: Counter[str] = Counter()
        self.settled(pages)

    def received(self, fate: Fate) -> None:
        """One more medium is finished."""
        self._bytes_in += fate.raw_bytes or 0

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


@dataclass(slots=True)
class Checked:
    """A body, hashed and decoded."""

    body: bytes
    size: int
    sha256: str
    md5: str | None
    picture: Transcoded | Drop


async def check_image(body: bytes, pool: CodecPool, *, md5: bool) -> Checked:
    """Hash and decode a body; waits for a decoder."""
    sha256 = hashlib.sha256(body).hexdigest()
    also = hashlib.md5(body, usedforsecurity=False).hexdigest() if md5 else None
    picture: Transcoded | Drop
    try:
        picture = await pool.transcode(body)
    except Undecodable as err:
        picture = Drop(reason=err.reason, detail=err.detail)
    return Checked(body, len(body), sha256, also, picture)


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
            fate = done.get((row_of(page.sample), name))
            if fate is None or (fate.attempt == box.attempt and fate.reason is not Reason.NOT_NEEDED):
                box.store(_not_needed(page.sample, name), None)


def _not_needed(sample: Sample, name: str) -> Fate:
    url = without_userinfo(sample.media[name].url or "")
    return Fate(row=row_of(sample), key=sample.key, medium=name, url=url, reason=Reason.NOT_NEEDED)


def _fate(one: Wanted, answer: Answer) -> Fate:
    return Fate(
        row=row_of(one.page.sample),
        key=one.page.sample.key,
        medium=one.name,
        url=answer.url,
        status=answer.status,
        tries=answer.tries,
        elapsed_s=round(answer.elapsed_s, 3),
        final_url=answer.final_url if answer.final_url != answer.url else None,
        opt_out=answer.opt_out,
        via=answer.via,
    )
