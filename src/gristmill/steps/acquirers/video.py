"""Videos by their names: in a media source first of all, then, where that is allowed, on the page of a video site."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from gristmill.crawl.guard import Refused, Target, parse
from gristmill.crawl.settings import CrawlSettings
from gristmill.crawl.sites.ask import SiteRefusal, ask
from gristmill.crawl.sites.pauses import Pauses, site_of
from gristmill.crawl.sites.refusals import SHUTS
from gristmill.crawl.sites.runtimes import sentence
from gristmill.crawl.sites.settings import SiteSettings
from gristmill.media.video.pool import VideoPool
from gristmill.media.video.settings import VideoSettings
from gristmill.spec.body import FileBody
from gristmill.spec.errors import SiteShut, Stopped
from gristmill.spec.locator import Locator, Video
from gristmill.spec.media_source import MediaSource
from gristmill.spec.reasons import TRANSIENT, Reason
from gristmill.spec.step import MediaContext
from gristmill.steps.acquirers import Acquired, Place, Wanted
from gristmill.steps.acquirers._window import Settings, Windowed
from gristmill.steps.acquirers.member import member_of
from gristmill.steps.video_names import CONTAINERS, NamedVideo, find_videos
from gristmill.storage.leases import Leases

__all__ = ["acquirer", "places"]

_FOLDER = "sites"
_POLL_S = 0.2
_WITHOUT_RUNTIME = 3
"""So many pages in a row that give no video for want of a JavaScript runtime end a run."""


class PageSettings(Settings, Protocol):
    """Holds what it wants to know of the step."""

    @property
    def sites(self) -> SiteSettings | None:
        """Say how video sites are asked; None where nobody has allowed it."""

    @property
    def keep_sources(self) -> bool:
        """Say whether what sites gave stays when its clips are done."""


class VideoAcquirer(Windowed):
    """Looks all names up in their sources; asks sites for the rest, one page after another.

    Attributes:
        asking: It waits for a site. Each such wait has an end.
        fill, silent: As of a crawler that has enough to do.
    """

    fill = 1.0
    silent = 0

    def __init__(self, step: PageSettings) -> None:
        super().__init__(step)
        self._sites = step.sites
        self._on_disk = asyncio.Semaphore(1 + step.codecs)  # one is fetched while others are cut
        self._one_page = asyncio.Lock()  # at a time, whatever tasks a worker has
        self._leases: Leases | None = None
        self._keeps = step.keep_sources
        self._given: dict[Path, tuple[Path, Path]] = {}  # by the video: its page's folder, where it is kept
        self._asked_at = 0.0
        self.asking = False
        self._without_runtime = 0
        self._muxer: VideoPool | None = None

    async def bodies(self, wanted: Wanted, box: MediaContext) -> AsyncIterator[tuple[int, Acquired]]:
        """See :class:`Windowed`."""
        by_source: dict[str, list[tuple[int, Video]]] = {}
        for number, at in wanted:
            if isinstance(at, Video):
                by_source.setdefault(at.source, []).append((number, at))
        missing: list[tuple[int, Video]] = []
        for key, videos in by_source.items():
            source: MediaSource = box.source(key)
            held = await asyncio.to_thread(find_videos, source, [at.name for _, at in videos])
            there = [(one, number) for (number, _), one in zip(videos, held, strict=True) if one is not None]
            missing += [video for video, one in zip(videos, held, strict=True) if one is None]
            for one, number in sorted(there, key=lambda it: (it[0].entry.archive, it[0].entry.offset, it[1])):
                yield number, await asyncio.to_thread(self._read, key, source, one, box)
        for number, at in missing:
            kept = _kept(at, box)
            if kept is not None:
                yield number, Acquired(body=FileBody(path=kept, size_bytes=kept.stat().st_size))
            elif self._sites is None or not at.page:
                said = f"{at.name} is not in {at.source}"
                yield number, Acquired(reason=Reason.NO_FILE, detail=said[:200])
            else:
                try:
                    yield number, await self._from_site(at, self._sites, box)
                except SiteShut:
                    while self._given:  # the clips of those that came before are made
                        await _unless_stopped(box)
                    raise

    def release(self, acquired: Acquired, *, done: bool) -> None:
        """See :class:`Windowed`: once the clips are done, what a site gave goes with its folder, or is kept."""
        body = acquired.body
        given = self._given.pop(body.path, None) if isinstance(body, FileBody) else None
        if given is None or not isinstance(body, FileBody):
            super().release(acquired, done=done)
            return
        own, kept = given
        if done and self._keeps:
            kept.parent.mkdir(parents=True, exist_ok=True)
            half = kept.with_name(f".{kept.name}.half")
            shutil.move(body.path, half)  # it may be another disk
            half.replace(kept)
        if done:
            shutil.rmtree(own, ignore_errors=True)
        self._leave(own)

    @property
    def crawler(self) -> VideoAcquirer:
        """Say by whom to judge whether a worker waits for others."""
        return self

    async def close(self) -> None:
        """See :class:`gristmill.steps.acquirers.Acquirer`."""
        if self._leases is not None:
            self._leases.close()
        if self._muxer is not None:
            await self._muxer.close()

    def _read(self, key: str, source: MediaSource, held: NamedVideo, box: MediaContext) -> Acquired:
        told = (
            {"detail": f"{held.name} was taken; there is {held.beside} as well"[:200]} if held.beside else {}
        )
        return member_of(key, source, held.entry, box, self.most_bytes, **told)

    async def _from_site(self, at: Video, settings: SiteSettings, box: MediaContext) -> Acquired:
        """What comes of a page.

        Raises:
            SiteShut: Its site wants to be left alone.
            Stopped: The run is to stop.
        """
        try:
            target = _target(at.page, settings)
        except Refused as err:
            return Acquired(reason=err.reason, detail=err.detail, told={"url": at.page})
        own = box.shared / _FOLDER / _digest(at.page)
        await self._enter(own, box)
        acquired = Acquired()
        try:
            acquired = await self._asked(target, own, settings, box)
            if isinstance(acquired.body, FileBody):
                kept = _place(at, box, acquired.body.path.suffix.lower())
                self._given[acquired.body.path] = own, kept
        finally:
            if acquired.body is None:
                self._leave(own)
        return acquired

    async def _asked(self, target: Target, own: Path, settings: SiteSettings, box: MediaContext) -> Acquired:
        """See :meth:`_from_site`; ``own`` is the page's folder."""
        site, pauses, began = site_of(target.key), Pauses(own.parent), time.monotonic()
        async with self._one_page:
            left_s = pauses.left_s(site)
            if left_s:
                raise SiteShut(site, time.time() + left_s)
            await self._rest(settings, box)
            self.asking = True
            try:
                said = await ask(target.text, own, settings, box.stop, join=self._join)
            finally:
                self.asking, self._asked_at = False, time.monotonic()
        told: dict[str, Any] = {
            "url": target.text,
            "tries": 1,
            "elapsed_s": round(time.monotonic() - began, 3),
        }
        if isinstance(said, SiteRefusal):
            if said.reason not in TRANSIENT:
                shutil.rmtree(own, ignore_errors=True)
            self._refused(said, site, pauses, own.name)
            return Acquired(reason=said.reason, detail=said.detail, told=told)
        self._without_runtime = 0
        pauses.gave(site)
        lines = f", {said.height_px} lines" if said.height_px else ""
        told["detail"] = f"format {said.format}{lines}"[:200]
        return Acquired(body=FileBody(path=said.path, size_bytes=said.path.stat().st_size), told=told)

    async def _join(self, picture: Path, sound: Path) -> Path:
        """See :data:`gristmill.crawl.sites.ask.Join`."""
        if self._muxer is None:
            limits = VideoSettings(max_clip_bytes=min(2 * self.most_bytes, 1 << 40))
            self._muxer = VideoPool(limits, processes=1)
        bodies = [FileBody(path=path, size_bytes=path.stat().st_size) for path in (picture, sound)]
        return (await self._muxer.muxed(bodies[0], bodies[1], picture.parent)).path

    async def _enter(self, own: Path, box: MediaContext) -> None:
        """Wait for room on the disk, and until no other worker is at the same page.

        Raises:
            Stopped: The run is to stop.
        """
        if self._leases is None:
            self._leases = Leases(own.parent / "leases")
        while any(own == one for one, _ in self._given.values()) or not self._leases.take(own.name):
            await _unless_stopped(box)
        while self._on_disk.locked():
            await _unless_stopped(box)
        await self._on_disk.acquire()

    def _leave(self, own: Path) -> None:
        self._on_disk.release()
        if self._leases is not None:
            self._leases.release(own.name)

    def _refused(self, said: SiteRefusal, site: str, pauses: Pauses, page: str) -> None:
        """Take note of what a refusal says of all further pages.

        Raises:
            SiteShut: They are not to be asked for now; this one has no fate either.
        """
        if said.reason in SHUTS:
            pause_s = pauses.shut(site, page)
            if pause_s:
                raise SiteShut(site, time.time() + pause_s, said.detail)
        if said.reason is Reason.NO_RUNTIME:
            self._without_runtime += 1
            if self._without_runtime >= _WITHOUT_RUNTIME:
                raise SiteShut(site, 0.0, sentence())
        else:
            self._without_runtime = 0

    async def _rest(self, settings: SiteSettings, box: MediaContext) -> None:
        """Wait between two videos.

        Raises:
            Stopped: The run is to stop.
        """
        while self._asked_at and time.monotonic() - self._asked_at < settings.sleep_s:
            await _unless_stopped(box)


async def _unless_stopped(box: MediaContext) -> None:
    """Wait a moment.

    Raises:
        Stopped: The run is to stop.
    """
    if box.stop.is_set():
        raise Stopped("the run was asked to stop")
    await asyncio.sleep(_POLL_S)


def _target(page: str, settings: SiteSettings) -> Target:
    """Check the address of a page, as one of the web.

    Raises:
        Refused: It is none that may be asked.
    """
    return parse(page, CrawlSettings(allow_private_addresses=settings.allow_private_addresses))


def _place(at: Video, box: MediaContext, ending: str) -> Path:
    """Where a video is kept: names are data, and may be no file's."""
    return box.kept / at.source / (quote(at.name, safe="") + ending)


def _kept(at: Video, box: MediaContext) -> Path | None:
    places = (_place(at, box, f".{container}") for container in CONTAINERS)
    return next((place for place in places if place.is_file()), None)


def _digest(page: str) -> str:
    return hashlib.sha256(page.encode("utf-8", "replace")).hexdigest()[:32]


def places(source: MediaSource, wanted: Sequence[Locator]) -> list[Place | None]:
    """See :func:`gristmill.steps.acquirers.places_of`."""
    held = find_videos(source, [at.name if isinstance(at, Video) else "" for at in wanted])
    return [None if one is None else (one.entry.archive, one.entry.offset) for one in held]


async def acquirer(step: PageSettings) -> VideoAcquirer:
    """See :mod:`gristmill.steps.acquirers`."""
    return VideoAcquirer(step)
