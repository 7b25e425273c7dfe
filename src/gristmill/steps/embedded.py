"""Pictures that lie in the annotation rows themselves, as Base64: decoded, checked, stored as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gristmill.media.settings import Format, ImageSettings, check_decoders
from gristmill.spec.errors import UsageError
from gristmill.spec.fate import Fate
from gristmill.spec.reasons import NO_PICTURE, Reason
from gristmill.spec.sample import Drop, MediaRef, Outcome, Sample
from gristmill.spec.step import MediaContext, Needs, ShardStep, runtime_option
from gristmill.steps.evenly import evenly
from gristmill.steps.facts import with_facts
from gristmill.steps.taking import Taking, known, shown

__all__ = ["DecodeEmbedded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeEmbedded(ShardStep):
    """Decode each medium's Base64 once, hash it, see that the picture decodes, and store the bytes as they came.

    A sample of which one picture cannot be kept is dropped whole.

    Attributes:
        max_images: Of a sample with more pictures than that, so many are kept, spread evenly from the first to
            the last. 0 keeps all. VILA's loader stops at more than 8.
        encode: Store the pictures as ``jpeg``, ``png`` or ``webp`` instead, their shorter side at most
            ``size_px``; ``no`` keeps the original bytes.
        phash: Measure the perceptual hash of each picture.
        codecs: Decoding processes beside each worker.
    """

    max_images: int = 0
    max_pixels: int = 50_000_000
    max_body_bytes: int = 64 << 20
    encode: str = "no"
    size_px: int = 336
    encode_quality: int = 75
    phash: bool = False

    codecs: int = runtime_option(1)
    codec_deadline_s: float = runtime_option(20.0)

    name = "embedded"
    revision = 5
    md5 = False
    max_phash_distance = None
    takes_all = True
    reads = frozenset({"media.embedded"})
    writes = frozenset({"media.sha256", "media.size"})
    needs = Needs(cpus=0.5, memory_gib=0.3)
    drops = NO_PICTURE | {Reason.BAD_BASE64, Reason.EMPTY, Reason.TOO_LARGE, Reason.KILLED}

    def __post_init__(self) -> None:
        if self.encode not in ("no", "jpeg", "png", "webp"):
            raise UsageError(f"embedded.encode={self.encode}: expected no, jpeg, png or webp")
        if self.max_images < 0 or self.max_body_bytes < 1:
            raise UsageError("embedded: max_images is 0 or more, max_body_bytes at least 1")
        self.image_settings()
        check_decoders(self)

    @property
    def keeps_bytes(self) -> bool:
        """See :class:`ShardStep`."""
        return self.encode == "no"

    def least(self, media: int) -> int:
        """Say how many of so many media a sample must have to be kept: all."""
        return media

    def image_settings(self) -> ImageSettings:
        """Say what the decoders are to do."""
        form: Format = "png" if self.encode == "png" else "webp" if self.encode == "webp" else "jpeg"
        return ImageSettings(
            size_px=self.size_px,
            format=form,
            encode_quality=self.encode_quality,
            max_pixels=self.max_pixels,
            phash=self.phash,
            only_check=self.encode == "no",
        )

    def apply(self, samples: Sequence[Sample], box: MediaContext) -> Iterator[Outcome]:
        """See :class:`ShardStep`. What an interrupted run finished is not decoded again.

        Raises:
            Stopped: The run is to stop; what is finished is in the box.
        """
        chosen = [self._fewer(sample) for sample in samples]
        box.resource((self.name, self), lambda: Taking(self)).run(chosen, box)
        done = known(box)
        for sample in chosen:
            yield _outcome(sample, done)

    def _fewer(self, sample: Sample) -> Sample:
        """The sample with at most ``max_images`` of its pictures, renumbered."""
        names = list(sample.media)
        if not self.max_images or len(names) <= self.max_images:
            return sample
        kept = {names[i]: f"{n:03d}" for n, i in enumerate(evenly(len(names), self.max_images))}
        media = {new: sample.media[old] for old, new in kept.items()}
        turns = tuple(shown(turn, kept) for turn in sample.turns)
        columns = {**sample.columns, "images_upstream": len(names)}
        return replace(sample, media=media, turns=turns, columns=columns)


def _outcome(sample: Sample, done: Mapping[tuple[int, str], Fate]) -> Outcome:
    """The sample with its media as they are stored, or why one of them is not."""
    if not sample.media:
        return sample
    names: dict[str, str] = {}
    media: dict[str, MediaRef] = {}
    for name, ref in sample.media.items():
        fate = done[sample.row, name]
        if fate.reason is not None:
            return Drop(reason=fate.reason, detail=f"{name}: {fate.detail}" if fate.detail else name)
        names[name] = fate.medium
        media[fate.medium] = replace(with_facts(ref, fate), at=ref.at and ref.at.kept())
    return replace(sample, media=media, turns=tuple(shown(turn, names) for turn in sample.turns))
