"""Videos and pieces of them, wherever they are: checked to the last frame, cut, counted, stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Literal

from gristmill.crawl.settings import CrawlSettings
from gristmill.crawl.sites.runtimes import sentence
from gristmill.crawl.sites.settings import SiteSettings
from gristmill.media.video.pool import require_video
from gristmill.media.video.settings import VideoSettings
from gristmill.spec.body import LARGE_BYTES
from gristmill.spec.cut import Cut
from gristmill.spec.errors import UsageError
from gristmill.spec.extras import install
from gristmill.spec.reasons import NO_VIDEO, SITE, WEB, Reason
from gristmill.spec.sample import Drop, MediaRef, Outcome, Sample
from gristmill.spec.step import MediaContext, Needs, permission, runtime_option
from gristmill.steps.media import Media
from gristmill.steps.video_names import with_published

__all__ = ["Clip"]

_LONGEST_DECODING_S = 600
"""A worker that gets nowhere for half an hour is taken for stuck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip(Media):
    """Bring each video once for all that is wanted of it, see that it decodes, cut its clips, count their frames.

    Pictures that a sample has besides are treated as by :class:`gristmill.steps.media.Media`, with its settings.

    Attributes:
        mode: How clips are cut. ``exact``: encoded anew, from the first frame that is meant to the last; ``copy``:
            not encoded anew, so from the key frame before, and the true start is recorded.
        whole: Of a video of which no piece is meant. ``keep``: as it came, unless trainers do not read its container,
            it must be turned to be seen, hides frames, is larger than ``short_side_px``, or has sound that is to be
            dropped; ``encode``: as a clip.
        short_side_px: Shorter side of what is encoded at most, an even number; 0 leaves it as it is.
        audio: Sound of what is encoded: ``keep`` or ``drop``.
        encode_crf: Of the H.264 encoder, 0 (without loss) to 51.
        store: ``mp4``, or ``frames``: JPEGs ``000.jpg``, ``001.jpg`` and so on, of samples with one medium.
        frame_rate: Frames a second of a video that is stored as frames; and at which a folder of frames is played.
        min_frames: Clips with fewer are dropped. Of exactly 8 frames nothing is trained in VILA.
        published_end: Leave out the last frame of pieces by frames, as the published script of Shot2Story does.
        broken_tail: Of a video whose last part does not decode: ``drop`` it, or ``keep`` what decodes.
        max_duration_s: A longer video is dropped.
        max_frame_pixels: Videos with larger frames are dropped.
        max_body_bytes: Of a video as it comes.
        max_image_bytes: Of a picture as it comes.
        codecs: Decoding processes beside each worker.
        video_deadline_s: For one video with all its clips; what takes longer costs that video.
        ask_sites: Ask video sites, by yt-dlp, for videos that lie in no source: a person allows it, who knows that
            the terms of a site may not.
        site_height_px: Of what a site offers, the best that is no higher.
        cookies: File of cookies in Netscape's format, for sites.
        proxy: Through which sites are asked, as yt-dlp takes it.
        rate_bytes_s: Most bytes a second of one download from a site; 0 is as fast as it comes.
        sleep_s: Pause between requests to a site, and between two of its videos.
        site_total_s: For one video from a site, page and download.
        allow_private_addresses: Of sites: for tests and intranets.
        keep_sources: Videos that had to be fetched one by one stay in ``sources`` when their clips are done.
    """

    mode: Literal["exact", "copy"] = "exact"
    whole: Literal["keep", "encode"] = "keep"
    short_side_px: int = 0
    audio: Literal["keep", "drop"] = "keep"
    encode_crf: int = 20
    store: Literal["mp4", "frames"] = "mp4"
    frame_rate: float = 2.0
    min_frames: int = 9
    published_end: bool = False
    broken_tail: Literal["drop", "keep"] = "drop"
    max_duration_s: float = 4 * 3600.0
    max_frame_pixels: int = 4096 * 2304
    max_body_bytes: int = 8 << 30
    max_image_bytes: int = 64 << 20

    site_height_px: int = 480

    ask_sites: bool = permission(False)
    cookies: str | None = runtime_option(None)
    proxy: str | None = permission(None)
    rate_bytes_s: int = runtime_option(0)
    sleep_s: float = runtime_option(1.0)
    site_total_s: float = runtime_option(1500.0)
    allow_private_addresses: bool = permission(False)
    video_deadline_s: float = runtime_option(60.0)
    keep_sources: bool = runtime_option(False)

    name = "clip"
    revision = 1
    needs = Needs(cpus=1, memory_gib=0.8)
    drops = Media.drops | NO_VIDEO | SITE | WEB

    def __post_init__(self) -> None:
        Media.__post_init__(self)
        for name, known in (
            ("mode", ("exact", "copy")),
            ("whole", ("keep", "encode")),
            ("audio", ("keep", "drop")),
            ("store", ("mp4", "frames")),
            ("broken_tail", ("drop", "keep")),
        ):
            if getattr(self, name) not in known:
                raise UsageError(f"clip.{name}={getattr(self, name)}: expected {' or '.join(known)}")
        for name, low, high in (
            ("frame_rate", 0.01, 240),
            ("min_frames", 1, 1_000_000),
            ("max_image_bytes", 1, 1 << 40),
            ("video_deadline_s", 1, _LONGEST_DECODING_S),
        ):
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"clip.{name}={getattr(self, name)}: expected {low} to {high}")
        if self.mode == "copy" and (self.short_side_px or self.whole == "encode"):
            raise UsageError("clip.mode=copy encodes nothing: it goes without short_side_px and whole=encode")
        self.video_settings()
        try:
            self.site_settings()
        except ValueError as err:
            raise UsageError(f"clip: {err}") from err

    def missing(self) -> str:
        """See :class:`gristmill.spec.step.Step`: the libraries for videos, where they are not installed."""
        try:
            require_video()
        except UsageError as err:
            return str(err)
        if self.ask_sites and find_spec("yt_dlp") is None:
            return f"Video sites are asked by yt-dlp, which is missing here: {install('video')}"
        return ""

    def video_settings(self) -> VideoSettings:
        """Say what the decoders of videos are to do.

        Raises:
            UsageError: A setting that cannot be.
        """
        return VideoSettings(
            mode=self.mode,
            short_side_px=self.short_side_px,
            audio=self.audio,
            crf=self.encode_crf,
            keep_broken=self.broken_tail == "keep",
            max_pixels=self.max_frame_pixels,
            max_duration_s=self.max_duration_s,
        )

    def remark(self) -> str:
        """See :class:`gristmill.spec.step.Step`: which JavaScript runtime there is."""
        return sentence() if self.ask_sites else ""

    @property
    def asks_elsewhere(self) -> bool:
        """See :class:`gristmill.spec.step.Step`: it does where a person allowed it."""
        return self.ask_sites

    @property
    def elsewhere(self) -> str:
        """See :class:`gristmill.spec.step.Step`: video sites, where a person allows it."""
        return (
            "have video sites asked for each video, as far as their terms let you: --set clip.ask_sites=true"
        )

    @property
    def sites(self) -> SiteSettings | None:
        """Say how video sites are asked; None where nobody allowed it."""
        return self.site_settings() if self.ask_sites else None

    def crawl_settings(self) -> CrawlSettings:
        """For videos that lie at addresses of their own: few at a time, large ones by way of files.

        Raises:
            UsageError: A setting that cannot be.
        """
        try:
            return CrawlSettings(
                in_flight=4,
                per_host=2,
                total_s=self.site_total_s,
                tries=8,
                max_body_bytes=self.max_body_bytes,
                large_bytes=LARGE_BYTES,
                proxy=self.proxy,
                allow_private_addresses=self.allow_private_addresses,
            )
        except ValueError as err:
            raise UsageError(f"clip: {err}") from err

    def site_settings(self) -> SiteSettings:
        """Say how video sites would be asked.

        Raises:
            ValueError: A setting that cannot be.
        """
        return SiteSettings(
            height_px=self.site_height_px,
            audio=self.audio == "keep",
            max_body_bytes=self.max_body_bytes,
            total_s=self.site_total_s,
            rate_bytes_s=self.rate_bytes_s,
            sleep_s=self.sleep_s,
            cookies=self.cookies,
            proxy=self.proxy,
            allow_private_addresses=self.allow_private_addresses,
        )

    @property
    def keeps_bytes(self) -> bool:
        """See :class:`gristmill.spec.step.ShardStep`: pieces never lie in shards as they came."""
        return False

    def apply(self, samples: Sequence[Sample], box: MediaContext) -> Iterator[Outcome]:
        """See :class:`gristmill.steps.embedded.DecodeEmbedded`."""
        meant = [self._meant(sample) for sample in samples]
        taken = Media.apply(self, with_published([one for one in meant if isinstance(one, Sample)], box), box)
        for one in meant:
            yield one if isinstance(one, Drop) else next(taken)

    def _meant(self, sample: Sample) -> Outcome:
        """The sample with the pieces that are meant, or why it cannot be stored so."""
        videos = [ref for ref in sample.media.values() if ref.kind == "video"]
        if self.store == "frames" and videos and len(sample.media) > 1:
            said = f"{len(sample.media)} media; stored as frames a sample has one"
            return Drop(reason=Reason.BAD_ROW, detail=said)
        if not self.published_end:
            return sample
        media: dict[str, MediaRef] = {}
        for name, ref in sample.media.items():
            cut = ref.cut
            if cut is not None and cut.first_frame is not None and cut.last_frame is not None:
                if cut.first_frame == cut.last_frame:
                    return Drop(reason=Reason.TOO_FEW_FRAMES, detail=f"{name}: none without its last frame")
                cut = Cut(first_frame=cut.first_frame, last_frame=cut.last_frame - 1)
            media[name] = replace(ref, cut=cut)
        return replace(sample, media=media)
