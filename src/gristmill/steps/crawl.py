"""Crawling: media of samples asked for, checked, decoded, resized, kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

from gristmill.crawl.settings import CrawlSettings
from gristmill.media.settings import Format, ImageSettings, Quality, ResizeMode, check_decoders
from gristmill.spec.errors import UsageError
from gristmill.spec.fate import Fate
from gristmill.spec.host_rule import HostRule
from gristmill.spec.part_names import part_of
from gristmill.spec.reasons import WEB, Reason
from gristmill.spec.sample import Drop, Outcome, Sample
from gristmill.spec.step import MediaContext, Needs, ShardStep, permission, runtime_option
from gristmill.steps.facts import with_facts
from gristmill.steps.media import Media
from gristmill.steps.taking import Taking, shown

__all__ = ["Crawl"]

OnMissing: TypeAlias = Literal["drop_document", "drop_image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crawl(ShardStep):
    """Fetch each medium's URL, decode and resize it, and measure what came.

    Settings of the picture are those of :class:`gristmill.media.settings.ImageSettings`, those of the exchange
    those of :class:`gristmill.crawl.settings.CrawlSettings`.

    Attributes:
        phash: Measure the perceptual hash, and its distance to upstream's where the row has one.
        md5: Take the MD5 of the bytes as they came, beside their SHA-256.
        on_missing_image: What becomes of a sample one of whose media cannot be had: ``drop_document`` drops it, and
            its media that were not asked for yet are not asked for any more; ``drop_image`` keeps it with those
            that can be had.
        min_images: With ``drop_image``, the least number of media with which a sample is kept.
        max_phash_distance: Drop pictures whose perceptual hash differs from upstream's in more bits (0 to
            64). None only records the distance.
        hosts: What single hosts ask of those who crawl them; it is the recipe that says so.
        codecs: Decoding processes beside each worker.
    """

    resize_mode: ResizeMode = "keep_ratio"
    size_px: int = 336
    enlarge: bool = False
    format: Format = "jpeg"
    encode_quality: int = 75
    keep_original: bool = False
    min_side_px: int = 0
    max_aspect: float = 0
    quality: Quality = "default"
    alpha: str = "white"
    orientation: str = "apply"
    max_pixels: int = 50_000_000
    phash: bool = True
    md5: bool = True
    max_phash_distance: int | None = None
    on_missing_image: OnMissing = "drop_document"
    min_images: int = 1
    max_body_bytes: int = 32 << 20
    respect_opt_out: bool = True
    robots: bool = False
    tdmrep: bool = False
    ai_txt: bool = False
    mirror: str | None = None

    in_flight: int = permission(256)
    in_flight_slow: int = permission(1024)
    per_host: int = permission(6, divided=True)
    hosts: tuple[HostRule, ...] = permission(())
    bytes_in_memory: int = runtime_option(32 << 20)
    total_s: float = runtime_option(30.0)
    connect_s: float = runtime_option(5.0)
    stall_s: float = runtime_option(10.0)
    tries: int = runtime_option(3)
    host_failures: int = runtime_option(6)
    host_patience_s: float = runtime_option(10.0)
    host_stalls: int = runtime_option(3)
    mirror_per_host: int = permission(1, divided=True)
    mirror_per_second: float = permission(1.0, divided=True)
    breaker_hosts: int = runtime_option(32)
    breaker_patience_s: float = runtime_option(60.0)
    breaker_name: str = permission("example.com")
    contact: str | None = runtime_option(None)
    proxy: str | None = permission(None)
    verify_tls: bool = permission(True)
    allow_private_addresses: bool = permission(False)
    codecs: int = runtime_option(1)
    codec_deadline_s: float = runtime_option(20.0)

    name = "crawl"
    revision = 7
    takes_all = False
    writes = frozenset({"media.sha256", "media.size", "media.phash_distance"})
    drops = (
        WEB
        | (Media.drops - {Reason.SIZE_MISMATCH})
        | {Reason.FEW_IMAGES, Reason.PHASH_MISMATCH, Reason.TOO_SMALL, Reason.ASPECT}
    )
    needs = Needs(cpus=0.16, memory_gib=0.02, network=True)  # six keep a worker busy

    def __post_init__(self) -> None:
        try:
            self.image_settings()
            check_decoders(self)
            self.crawl_settings()
        except ValueError as err:
            raise UsageError(f"crawl: {err}") from err
        if self.max_phash_distance is not None and not 0 <= self.max_phash_distance <= 64:
            raise UsageError("crawl.max_phash_distance: expected 0 to 64 bits, or none")
        if self.on_missing_image not in {"drop_document", "drop_image"}:
            raise UsageError(f"crawl.on_missing_image={self.on_missing_image}: drop_document or drop_image")
        if self.min_images < 1:
            raise UsageError("crawl.min_images: expected at least 1")

    def missing(self) -> str:
        """See :class:`gristmill.spec.step.Step`: a contact, where a host refuses those who give none."""
        wanting = next((rule.host for rule in self.hosts if rule.needs_contact), None)
        if wanting is None or self.contact:
            return ""
        return (
            f"{wanting} answers only those who say whom to write to: add --contact with a mail address or a page of "
            "yours."
        )

    def least(self, media: int) -> int:
        """Say how many of so many media a sample must have to be kept."""
        return self.min_images if media and self.on_missing_image == "drop_image" else media

    def image_settings(self) -> ImageSettings:
        """The picture's part of the settings."""
        return ImageSettings(**_same_fields(ImageSettings, self))

    def crawl_settings(self) -> CrawlSettings:
        """The exchange's part of the settings."""
        return CrawlSettings(**_same_fields(CrawlSettings, self))

    def apply(self, samples: Sequence[Sample], box: MediaContext) -> Iterator[Outcome]:
        """See :class:`ShardStep`. Media that an interrupted run finished are not asked for again.

        Raises:
            Stopped: The run is to stop; what is finished is in the box.
        """
        named = [self._named(sample) for sample in samples]
        taking = box.resource(("crawl", self), lambda: Taking(self))
        for portion in box.portions(named):
            taking.run(portion, box)
        fates = box.done()
        for sample in named:
            yield self._outcome(sample, fates)

    def _named(self, sample: Sample) -> Sample:
        """Media under the names of the parts they will be: ``image`` becomes ``jpg``, ``000`` ``000.jpg``."""
        names = {name: part_of(name, self.format) for name in sample.media}
        turns = tuple(shown(turn, names) for turn in sample.turns)
        media = {names[name]: ref for name, ref in sample.media.items()}
        return replace(sample, media=media, turns=turns)

    def _outcome(self, sample: Sample, fates: Mapping[tuple[int, str], Fate]) -> Outcome:
        own = {name: fates[sample.row, name] for name in sample.media}
        failed = [fate for fate in own.values() if fate.reason is not None]
        if len(own) - len(failed) < self.least(len(own)):
            return _why(failed, f"{len(own)} images, at least {self.min_images} wanted")
        media = {
            name: with_facts(ref, own[name]) for name, ref in sample.media.items() if own[name].reason is None
        }
        kept = replace(sample, media=media)
        if self.on_missing_image == "drop_image":
            return _without_missing(kept, [fate.medium for fate in failed])
        return kept

    def without(self, sample: Sample, media: Sequence[str], drop: Drop) -> Outcome:
        """See :class:`ShardStep`: ``on_missing_image`` decides, as for media that could not be had."""
        missing = [*sample.columns.get("missing_media", ()), *media]
        left = {name: ref for name, ref in sample.media.items() if name not in media}
        if len(left) < self.least(len(sample.media) + len(missing) - len(media)):
            return drop
        return _without_missing(replace(sample, media=left), missing)


def _same_fields(settings: Any, step: Crawl) -> dict[str, Any]:
    """The step's values of those settings that it offers."""
    return {f.name: getattr(step, f.name) for f in fields(settings) if hasattr(step, f.name)}


def _why(failed: Sequence[Fate], too_few: str) -> Drop:
    """The reason of the first medium that failed; or, if none was asked for, that there were too few."""
    first = failed[0] if failed else None
    if first is None or first.reason is None or first.reason is Reason.NOT_NEEDED:
        return Drop(reason=Reason.FEW_IMAGES, detail=too_few)
    return Drop(reason=first.reason, detail=first.detail)


def _without_missing(sample: Sample, missing: Sequence[str]) -> Sample:
    """The sample without mention of media that could not be had, but for the column ``missing_media``."""
    turns = tuple(shown(turn, {name: name for name in sample.media}) for turn in sample.turns)
    return replace(sample, turns=turns, columns={**sample.columns, "missing_media": sorted(missing)})
