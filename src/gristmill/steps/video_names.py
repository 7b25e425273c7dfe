"""Videos in media sources by their names without endings, and published clips in place of pieces to be cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gristmill.spec.locator import Member, Video
from gristmill.spec.media_source import MediaSource, SourceEntry
from gristmill.spec.sample import CHANGES, MediaRef, Sample
from gristmill.spec.step import MediaContext

__all__ = ["CONTAINERS", "PUBLISHED", "NamedVideo", "find_videos", "with_published"]

CONTAINERS = ("mp4", "mkv", "webm", "avi", "mov")
"""Endings of videos, in the order in which they are looked for: the first that is there is taken."""
PUBLISHED = "published_clip"
"""Word by which samples are counted of which a clip lay there already."""
_PREFIX = "v_"
"""ActivityNet puts it before an id, and others leave it away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedVideo:
    """Holds what a source has under one name.

    Attributes:
        entry: Of the container that is taken; a refused one where no other is there.
        name: As it was found.
        beside: Other containers of the same name, in words; empty where there are none.
    """

    entry: SourceEntry
    name: str
    beside: str = ""


def find_videos(source: MediaSource, names: Sequence[str]) -> list[NamedVideo | None]:
    """Look for each name in all containers, with and without ``v_`` before it; case counts only between several.

    Raises:
        DamagedSource: The source's index cannot be used.
    """
    tried = [_candidates(name) for name in names]
    entries = iter(source.find([one for some in tried for one in some]))
    found: list[NamedVideo | None] = []
    for some in tried:
        there = [(name, entry) for name in some if (entry := next(entries)) is not None and _is_video(entry)]
        good = [one for one in there if one[1].refused is None] or there[:1]
        others = dict.fromkeys(entry.name for _, entry in good[1:] if entry.name != good[0][1].name)
        found.append(
            NamedVideo(entry=good[0][1], name=good[0][1].name, beside=", ".join(others)) if good else None
        )
    return found


def with_published(samples: Sequence[Sample], box: MediaContext) -> list[Sample]:
    """The samples, with pieces of videos that lie in their source as clips of their own taken from there.

    Their column ``changes`` says so of each.
    """
    wanted: dict[str, dict[str, None]] = {}
    for sample in samples:
        for ref in sample.media.values():
            if (clip := _clip(ref)) is not None:
                wanted.setdefault(clip.source, {})[clip.path] = None
    there: dict[Member, Member] = {}
    for key, names in wanted.items():
        stems = [_stem(name) for name in names]
        for name, held in zip(names, find_videos(box.source(key), stems), strict=True):
            if held is not None and held.entry.refused is None:
                there[Member(key, name)] = Member(key, held.name)
    return [_replaced(sample, there) for sample in samples] if there else list(samples)


def _replaced(sample: Sample, there: dict[Member, Member]) -> Sample:
    media: dict[str, MediaRef] = {}
    for name, ref in sample.media.items():
        clip = _clip(ref)
        media[name] = replace(ref, at=there[clip], cut=None) if clip in there and clip is not None else ref
    if media == dict(sample.media):
        return sample
    changes = [*sample.columns.get(CHANGES, ()), PUBLISHED]
    return replace(sample, media=media, columns={**sample.columns, CHANGES: changes})


def _clip(ref: MediaRef) -> Member | None:
    """Where the published clip would lie that a medium is."""
    if ref.cut is None or not ref.name or not isinstance(ref.at, Video):
        return None
    return Member(ref.at.source, ref.name)


def _candidates(name: str) -> list[str]:
    folder, slash, last = name.rpartition("/")
    other = last.removeprefix(_PREFIX) if last.startswith(_PREFIX) else _PREFIX + last
    stems = [one for one in (last, other) if one]
    return [f"{folder}{slash}{stem}.{ending}" for stem in stems for ending in CONTAINERS]


def _is_video(entry: SourceEntry) -> bool:
    """Whether what was found is a container: an index of stems finds subtitles, too."""
    return entry.name.rpartition(".")[2].lower() in CONTAINERS


def _stem(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return stem if dot and ending.lower() in CONTAINERS else name
