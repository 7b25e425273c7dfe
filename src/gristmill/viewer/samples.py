"""A handful of a dataset's samples as a reader would see them, small enough to be part of a page."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np
import orjson

from gristmill.ledger.features import IMAGE_PARTS, evenly
from gristmill.ledger.reading import samples_in
from gristmill.media.errors import Undecodable
from gristmill.media.pool import CodecPool
from gristmill.media.settings import thumbnails
from gristmill.media.video.pool import VideoPool
from gristmill.media.video.settings import VideoSettings
from gristmill.shards.webdataset import ShardSample
from gristmill.spec.body import LARGE_BYTES, FileBody, bytes_of
from gristmill.spec.errors import DamagedOutput, MachineError, UsageError
from gristmill.spec.part_names import is_frames
from gristmill.spec.sample import Json
from gristmill.spec.task import ShardInfo
from gristmill.storage.store import Store
from gristmill.viewer.measures import Histogram

__all__ = ["Decoders", "Example", "Examples", "ShownPicture", "ShownTurn", "ShownVideo", "examples"]

_SIDE_PX, _SMALL_SIDE_PX, _FRAME_SIDE_PX = 300, 160, 160
_SHEET = 4
"""Frames of a video that are shown of it."""
_VIDEO_PARTS = frozenset({"avi", "mkv", "mov", "mp4", "webm"})
_LOOKED_AT = 600
"""Samples per shard among which examples are taken, so that large shards need not be read to their end."""

_CAPTION_CHARACTERS, _TEXT_CHARACTERS = 160, 500
_MOST_TALKS = 12
_MOST_PIECES = 60
_MOST_PICTURES = 160
_TEXT_LENGTHS = (0, 1, 10, 20, 40, 60, 80, 120, 160, 240, 320, 640, 1280, 2560, 5120, np.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPicture:
    """One picture.

    Attributes:
        source: A ``data:`` address with the small JPEG.
        original: Size of the original, in words; empty if not known.
    """

    source: str
    width_px: int
    height_px: int
    original: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownVideo:
    """A contact sheet of a video.

    Attributes:
        frames: Some of its frames, evenly spread from the first to the last.
        said: How long it is, and what else was measured, in words.
    """

    frames: tuple[ShownPicture, ...]
    said: str


Piece: TypeAlias = str | ShownPicture | ShownVideo


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTurn:
    """Who says what: texts, pictures and videos in their order."""

    role: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One sample.

    Attributes:
        more: Texts and media that are not shown.
    """

    key: str
    turns: tuple[ShownTurn, ...]
    more: int = 0

    @property
    def caption(self) -> str | None:
        """The text of a sample that is one picture and its caption; None of any other."""
        pieces = self.turns[0].pieces
        plain = len(self.turns) == 1 and self.turns[0].role == "caption" and len(pieces) <= 2
        if (
            not plain
            or not isinstance(pieces[0], ShownPicture)
            or not all(isinstance(one, str) for one in pieces[1:])
        ):
            return None
        return str(pieces[1]) if len(pieces) == 2 else ""

    @property
    def pictures(self) -> list[ShownPicture]:
        """All of its pictures."""
        return [piece for turn in self.turns for piece in turn.pieces if isinstance(piece, ShownPicture)]


@dataclass(slots=True, kw_only=True)
class Examples:
    """Samples to look at.

    Attributes:
        pictures: Those that are a picture and its caption.
        talks: All others: documents, conversations, texts.
        lengths: Characters of text of all samples that were looked at.
        trouble: A sentence for each shard that could not be read.
    """

    pictures: list[Example]
    talks: list[Example]
    lengths: Histogram
    trouble: list[str]


def examples(store: Store, shards: Sequence[ShardInfo], wanted: int) -> Examples:
    """At most ``wanted`` samples, spread over the shards and within them; the same on every call.

    Pictures are made small in a decoder's process: they may be a stranger's.
    """
    by_path = {shard.path: shard for shard in shards if shard.samples}
    chosen = evenly(list(by_path), wanted)
    made: list[Example] = []
    trouble: list[str] = []
    with Decoders() as decoders:
        reader = _Reader(decoders)
        for number, path in enumerate(chosen):
            share = (number + 1) * wanted // len(chosen) - number * wanted // len(chosen)
            try:
                made += reader.of_shard(store, by_path[path], share)
            except (DamagedOutput, MachineError) as err:
                trouble.append(str(err))
            except FileNotFoundError:
                trouble.append(f"{path} is not there.")
    talks = [one for one in made if one.caption is None]
    return Examples(
        pictures=[one for one in made if one.caption is not None],
        talks=evenly(talks, _MOST_TALKS),
        lengths=reader.lengths,
        trouble=[*trouble, *([decoders.why_no_videos] if decoders.why_no_videos else [])],
    )


class Decoders:
    """One decoder's process for each size of small pictures, and one for videos, started with the first of them.

    Attributes:
        why_no_videos: Why none is shown though there are some, as a sentence.
    """

    def __init__(self) -> None:
        self._loop = asyncio.Runner()
        self._pools: dict[int, CodecPool] = {}
        self._videos: VideoPool | None = None
        self.why_no_videos = ""

    def small(self, body: bytes, side_px: int, original: str = "") -> ShownPicture | None:
        """The picture with a longer side of at most ``side_px``; None of one that does not decode.

        Args:
            body: As it came.
            side_px: Of the longer side.
            original: Size of the original, in words.

        Raises:
            MachineError: No decoder can be started.
        """
        try:
            jpeg, width_px, height_px = self._loop.run(self._small(body, side_px))
        except Undecodable:
            return None
        source = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
        return ShownPicture(source=source, width_px=width_px, height_px=height_px, original=original)

    def sheet(self, body: bytes | FileBody) -> list[ShownPicture]:
        """Some frames of a video, small; none of one that does not decode, or where nothing here decodes videos.

        Raises:
            MachineError: No decoder can be started.
        """
        try:
            frames = self._loop.run(self._frames(body))
        except Undecodable:
            return []
        except UsageError as err:  # the extra is not installed
            self.why_no_videos = str(err)
            return []
        small = (self.small(frame, _FRAME_SIDE_PX) for frame in frames)
        return [frame for frame in small if frame is not None]

    async def _frames(self, body: bytes | FileBody) -> list[bytes]:
        if self._videos is None:
            self._videos = VideoPool(VideoSettings(max_streams=1000), processes=1)
        return await self._videos.frames_at(body, _SHEET)

    async def _small(self, body: bytes, side_px: int) -> tuple[bytes, int, int]:
        if side_px not in self._pools:
            self._pools[side_px] = CodecPool(thumbnails(side_px), processes=1)
        small = await self._pools[side_px].transcode(body)
        return small.body, small.width_px, small.height_px

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in (*self._pools.values(), *([self._videos] if self._videos else ())):
            self._loop.run(pool.close())
        self._loop.close()


class _Reader:
    """Makes examples, and counts how long the texts are that it passes."""

    def __init__(self, decoders: Decoders) -> None:
        self._decoders = decoders
        self.lengths = Histogram.empty(_TEXT_LENGTHS)
        self._pictures = 0

    def of_shard(self, store: Store, shard: ShardInfo, wanted: int) -> Iterator[Example]:
        within = min(shard.samples, _LOOKED_AT)
        places = {i * within // wanted for i in range(wanted)}
        found: list[int] = []
        try:
            for place, sample in enumerate(samples_in(store, shard, LARGE_BYTES)):
                turns = _turns(sample)
                found.append(sum(len(piece.get("text", "")) for turn in turns for piece in turn["parts"]))
                if place in places and (example := self._example(sample, turns)) is not None:
                    yield example
                if place >= max(places):
                    return
        finally:
            self.lengths.add(np.array(found, dtype=np.int64))

    def _example(self, sample: ShardSample, turns: Sequence[Mapping[str, Any]]) -> Example | None:
        facts = _facts(sample)
        plain = len(turns) == 1 and sum("media" in piece for piece in turns[0]["parts"]) == 1
        side_px, characters = (
            (_SIDE_PX, _CAPTION_CHARACTERS)
            if plain and "txt" in sample.parts
            else (_SMALL_SIDE_PX, _TEXT_CHARACTERS)
        )
        shown: list[ShownTurn] = []
        left, more, lost = _MOST_PIECES, 0, 0
        for turn in turns:
            pieces: list[Piece] = []
            for piece in turn["parts"]:
                if left == 0:
                    more += 1
                elif "media" in piece:
                    shown_medium = self._medium(sample, str(piece["media"]), facts, side_px)
                    pieces += [shown_medium] if shown_medium else []
                    lost += shown_medium is None
                    left -= 1
                else:
                    pieces.append(_shortened(str(piece.get("text", "")), characters))
                    left -= 1
            if pieces:
                shown.append(ShownTurn(role=str(turn["role"]), pieces=tuple(pieces)))
        if not shown or (plain and lost):
            return None
        return Example(key=sample.key, turns=tuple(shown), more=more)

    def _medium(
        self, sample: ShardSample, name: str, facts: Mapping[str, Any], side_px: int
    ) -> ShownPicture | ShownVideo | None:
        if self._pictures >= _MOST_PICTURES:
            return None
        media = facts.get("media")
        own = media.get(name) if isinstance(media, dict) else facts
        is_video = name.rpartition(".")[2] in _VIDEO_PARTS
        if is_video or is_frames(name):
            return self._video(sample, name, own) if is_video else self._frames(sample, own)
        body = _body(sample, name)
        picture = None if body is None else self._decoders.small(bytes_of(body), side_px, _original(own))
        self._pictures += picture is not None
        return picture

    def _video(self, sample: ShardSample, name: str, facts: Json) -> ShownVideo | None:
        body = _body(sample, name)
        return None if body is None else self._sheet(self._decoders.sheet(body), facts)

    def _frames(self, sample: ShardSample, facts: Json) -> ShownVideo | None:
        """Of a video that is stored as its frames."""
        names = sorted(
            name for name in (*sample.parts, *sample.large) if name.rpartition(".")[2] in IMAGE_PARTS
        )
        count = min(_SHEET, len(names))
        chosen = (names[n * (len(names) - 1) // max(count - 1, 1)] for n in range(count))
        bodies = (_body(sample, name) for name in chosen)
        found = (self._decoders.small(bytes_of(body), _FRAME_SIDE_PX) for body in bodies if body)
        return self._sheet([frame for frame in found if frame is not None], facts)

    def _sheet(self, frames: Sequence[ShownPicture], facts: Json) -> ShownVideo | None:
        self._pictures += len(frames)
        return ShownVideo(frames=tuple(frames), said=_measured(facts)) if frames else None


def _body(sample: ShardSample, name: str) -> bytes | FileBody | None:
    """A part's bytes, or where they lie; None where there is no such part."""
    return sample.parts.get(name) or sample.large.get(name)


def _facts(sample: ShardSample) -> dict[str, Any]:
    try:
        facts = orjson.loads(sample.parts.get("json", b"{}"))
    except orjson.JSONDecodeError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _turns(sample: ShardSample) -> list[dict[str, Any]]:
    """The turns as they stand in the ``json`` part; of a caption its pictures, then its text."""
    turns = _facts(sample).get("turns")
    if isinstance(turns, list) and all(map(_is_turn, turns)):
        return turns
    pieces: list[dict[str, Json]] = [
        {"media": name}
        for name in (*sample.parts, *sample.large)
        if name.rpartition(".")[2] in IMAGE_PARTS | _VIDEO_PARTS
    ]
    text = sample.parts.get("txt", b"").decode(errors="replace")
    return [{"role": "caption", "parts": [*pieces, *([{"text": text}] if text else [])]}]


def _is_turn(turn: Json) -> bool:
    return (
        isinstance(turn, dict)
        and "role" in turn
        and isinstance(turn.get("parts"), list)
        and all(isinstance(piece, dict) and isinstance(piece.get("text", ""), str) for piece in turn["parts"])
    )


def _original(facts: Json) -> str:
    if not isinstance(facts, dict):
        return ""
    width, height = facts.get("original_width"), facts.get("original_height")
    return f"{width} × {height} px" if width and height else ""


def _measured(facts: Json) -> str:
    """Length, rate, number of frames and size of a video, where they are known."""
    if not isinstance(facts, dict):
        return ""
    forms = (("duration_s", "{:,.1f} s"), ("fps", "{:.4g} a second"), ("frames", "{:,} frames"))
    said = [form.format(facts[name]) for name, form in forms if isinstance(facts.get(name), (int, float))]
    width, height = facts.get("width"), facts.get("height")
    return ", ".join([*said, *([f"{width} × {height} px"] if width and height else [])])


def _shortened(text: str, characters: int) -> str:
    text = " ".join(text.split())
    if len(text) <= characters:
        return text
    return text[:characters].rsplit(" ", 1)[0] + " …"
