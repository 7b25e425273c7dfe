"""Reading a dataset back as a trainer would: checksums, counts, decodes, keys, text against parts."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import groupby
from types import TracebackType
from typing import Any, Self

import numpy as np
import orjson

from gristmill.ledger.ledger import STATE, Ledger
from gristmill.ledger.manifest import MANIFEST
from gristmill.ledger.reading import samples_in
from gristmill.ledger.seal import SEAL, broken
from gristmill.media.errors import Undecodable
from gristmill.media.pool import CodecPool
from gristmill.media.settings import CHECKING
from gristmill.media.video.pool import VideoPool, has_video
from gristmill.media.video.settings import VideoSettings
from gristmill.run.inputs.mixture_parts import read_manifest
from gristmill.run.state.layout import CARD, INTERMEDIATE, MADE, METADATA_FILES
from gristmill.shards.webdataset import ShardSample
from gristmill.spec.body import LARGE_BYTES, Body, FileBody, bytes_of
from gristmill.spec.errors import DamagedOutput, DamagedPart
from gristmill.spec.extras import install
from gristmill.spec.part_names import FRAMES, frame_names, is_frames
from gristmill.spec.sample import is_numbered
from gristmill.spec.task import ShardInfo, TaskRecord
from gristmill.storage.seen import Seen
from gristmill.storage.store import Store

__all__ = ["Verified", "verify"]

_WINDOW = 64
_WINDOW_BYTES = 64 << 20
_TEXTS = frozenset({"txt", "json"})
_EXPORTED = frozenset({"wids-meta.json", ".nv-meta"})
_PICTURES = ("jpg", "png", "webp", "gif", "bmp", "tiff", "avif")
_VIDEOS = ("mp4", "webm", "mkv", "mov", "avi")
_CHECKING_VIDEOS = VideoSettings(mode="keep", max_pixels=1 << 26, max_duration_s=24 * 3600.0)


@dataclass(slots=True)
class Verified:
    """Holds what reading back showed.

    Attributes:
        problems: Shard and sentence.
        remarks: What is no damage and still worth knowing.
        damaged: Tasks whose outputs are not what their records say.
        foreign: Places of ``problems`` that no run made, so that none mends them.
    """

    shards: int = 0
    samples: int = 0
    pictures: int = 0
    videos: int = 0
    size_bytes: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


def verify(
    ledger: Ledger,
    *,
    threads: int,
    decode: bool = True,
    complete: bool = False,
    tell: Callable[[Verified], None],
) -> Verified:
    """Read every finished shard, its neighbours and the fates.

    Args:
        ledger: The dataset's records.
        threads: Decoders at once.
        decode: Also decode every picture and every video, in full, in decoders' processes: it may be a stranger's.
        complete: Nothing is left to be made, so that what belongs to no record was not made by a run.
        tell: Called after each shard.
    """
    result = Verified()
    hashes: list[np.ndarray[tuple[int], np.dtype[np.uint64]]] = []
    store = ledger.store
    with _Judge(threads if decode else 0) as judge:
        for record in ledger.shards():
            before = len(result.problems) - len(result.foreign)
            for shard in record.outputs:
                _check_file(store, shard, result)
            tar = record.output("shard")
            if tar is not None and len(result.problems) - len(result.foreign) == before:
                hashes.append(_check_shard(store, tar, result, judge))
            if len(result.problems) - len(result.foreign) > before:
                result.damaged.append(record.task_id)
            tell(result)
    if decode and result.videos and not has_video():
        said = f"{result.videos:,} videos were only seen to be there. To decode them: {install('video')}"
        result.remarks.append((".", said))
    _check_keys(hashes, result)
    _check_others(ledger, result, complete)
    _check_manifest(ledger, result)
    return result


def _check_file(store: Store, shard: ShardInfo, result: Verified) -> None:
    kind = store.irregularity(shard.path)
    if kind is not None:
        result.problems.append((shard.path, f"is {kind}, and a regular file is expected"))
        return
    try:
        with store.open(shard.path) as stream:
            size = os.fstat(stream.fileno()).st_size
            digest = hashlib.file_digest(stream, "sha256").hexdigest() if size == shard.size_bytes else ""
    except FileNotFoundError:
        result.problems.append((shard.path, "is missing"))
        return
    if size != shard.size_bytes:
        said = f"is not what was written: it has {size:,} bytes, its record says {shard.size_bytes:,}"
        result.problems.append((shard.path, said))
    elif digest != shard.digest:
        result.problems.append((shard.path, "is not what was written: its SHA-256 differs from its record's"))


def _check_shard(
    store: Store, shard: ShardInfo, result: Verified, judge: _Judge
) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """One shard's samples; returns 64-bit hashes of its keys, shape (samples,)."""
    keys: list[int] = []
    try:
        for window in _windows(samples_in(store, shard, LARGE_BYTES)):
            for sample, problem in zip(window, judge.problems(window), strict=True):
                keys.append(int.from_bytes(hashlib.sha256(sample.key.encode()).digest()[:8], "big"))
                endings = [part.rpartition(".")[2] for part in _media_of(sample)]
                result.pictures += sum(ending in _PICTURES for ending in endings)
                result.videos += sum(ending in _VIDEOS for ending in endings)
                if problem:
                    result.problems.append((shard.path, f"sample {sample.key}: {problem}"))
    except DamagedPart as err:
        result.problems.append((shard.path, str(err)))
        result.foreign.append(shard.path)
    except DamagedOutput as err:
        result.problems.append((shard.path, str(err)))
    if len(keys) != shard.samples and shard.path not in result.foreign:
        result.problems.append((shard.path, f"holds {len(keys)} samples, its record says {shard.samples}"))
    result.shards += 1
    result.samples += len(keys)
    result.size_bytes += shard.size_bytes
    return np.array(keys, dtype=np.uint64)


def _windows(samples: Iterator[ShardSample]) -> Iterator[list[ShardSample]]:
    window: list[ShardSample] = []
    held = 0
    for sample in samples:
        window.append(sample)
        held += sum(map(len, sample.parts.values()))
        if len(window) == _WINDOW or held > _WINDOW_BYTES:
            yield window
            window, held = [], 0
    if window:
        yield window


def _media_of(sample: ShardSample) -> dict[str, Body]:
    """All parts but texts; large ones are left where they lie."""
    return {**{part: body for part, body in sample.parts.items() if part not in _TEXTS}, **sample.large}


def _shape_problem(sample: ShardSample) -> str | None:
    """What a trainer would stumble over, short of decoding."""
    if "json" not in sample.parts:
        return "has no .json part"
    try:
        facts = orjson.loads(sample.parts["json"])
    except orjson.JSONDecodeError as err:
        return f"its .json part is not JSON ({err})"
    if facts.get("key") != sample.key:
        return f"its .json part speaks of key {facts.get('key')!r}"
    media: dict[str, dict[str, Any]] = facts.get("media") or {}
    shown = {
        piece["media"] for turn in facts.get("turns") or () for piece in turn["parts"] if "media" in piece
    }
    have: Set[str] = _media_of(sample).keys()
    frames = next(filter(is_frames, {*media, *shown}), "")
    if frames or (not media and facts.get("frames") and all(map(is_numbered, have))):
        count = media.get(frames, facts).get("frames") or 0
        if have != {*frame_names(count)}:
            return f"its .json part speaks of {count} frames, the shard holds {len(have)} pictures"
        have = {frames or FRAMES}  # which is what turns show
    if media and media.keys() != have:
        return f"its .json part names {sorted(media)}, the shard holds {sorted(have)}"
    if shown and shown != have:
        return f"its turns show {sorted(shown)}, the shard holds {sorted(have)}"
    if sample.parts.get("txt") and facts.get("caption", "") is None:
        return "has text that its .json part does not know"
    return None


class _Judge:
    """Says of samples what is wrong with them; their pictures are decoded in decoders' processes.

    Args:
        decoders: Processes; none if pictures and videos are not decoded.
    """

    def __init__(self, decoders: int) -> None:
        self._loop = asyncio.Runner()
        self._one_large = asyncio.Lock()  # is in memory at a time
        self._pool = CodecPool(CHECKING, processes=decoders) if decoders else None
        self._videos: VideoPool | None = None  # begun with the first video
        self._decoders = decoders

    def problems(self, samples: Sequence[ShardSample]) -> list[str | None]:
        """For each sample a sentence, or None."""
        return self._loop.run(self._problems(samples))

    async def _problems(self, samples: Sequence[ShardSample]) -> list[str | None]:
        return await asyncio.gather(*map(self._problem, samples))

    async def _problem(self, sample: ShardSample) -> str | None:
        problem = _shape_problem(sample)
        if problem or self._pool is None:
            return problem
        for part, body in _media_of(sample).items():
            ending = part.rpartition(".")[2]
            try:
                if ending in _PICTURES:
                    if isinstance(body, bytes):
                        await self._pool.transcode(body)
                        continue
                    async with self._one_large:
                        await self._pool.transcode(bytes_of(body))
                elif ending in _VIDEOS and has_video() and (said := await self._of_video(sample, part, body)):
                    return said
            except Undecodable as err:
                return f"{part} does not decode: {err}"
        return None

    async def _of_video(self, sample: ShardSample, part: str, body: Body) -> str | None:
        """What is wrong with a video, if anything: it decodes to the last frame, and has as many as are said.

        Raises:
            Undecodable: It does not decode at all.
        """
        if self._videos is None:
            self._videos = VideoPool(_CHECKING_VIDEOS, processes=self._decoders)
        assert isinstance(body, bytes | FileBody)
        found = await self._videos.probe(body)
        known = orjson.loads(sample.parts["json"])
        said = (known.get("media") or {}).get(part, known).get("frames")
        if found.broken_tail:
            return f"{part} does not decode beyond frame {found.frames}"
        if said is not None and said != found.frames:
            return f"{part} has {found.frames} frames, its .json part says {said}"
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in (self._pool, self._videos):
            if pool is not None:
                self._loop.run(pool.close())
        self._loop.close()


def _check_keys(hashes: list[np.ndarray[tuple[int], np.dtype[np.uint64]]], result: Verified) -> None:
    if not hashes:
        return
    keys = np.concatenate(hashes)
    repeated = len(keys) - len(np.unique(keys))
    if repeated:
        result.problems.append(("shards", f"{repeated} keys occur more than once"))


def _check_others(ledger: Ledger, result: Verified, complete: bool) -> None:
    """The fates are whole, and nothing else lies among them and the shards: readers of a folder get all of it."""
    store = ledger.store
    known = Seen(_checked(ledger, result))
    strange = dict(store.irregular(*MADE))
    for place, kind in sorted(strange.items()):
        if place not in known:
            result.problems.append((place, f"is {kind}, which no run puts there. Remove it"))
            result.foreign.append(place)
    for made in MADE:
        for name, _ in groupby(one.name.split("/")[1] for one in store.list(made)):
            place = f"{made}/{name}"
            if place in known or place in strange or name in _EXPORTED:
                continue
            if complete and not name.startswith("."):  # what is hidden no pattern finds
                said = "belongs to no record, and readers of the folder get it with the others. Move it away"
                result.problems.append((place, said))
                result.foreign.append(place)
            else:
                result.remarks.append((place, "belongs to no record; no run made it, or has not finished it"))
    if not ledger.records and result.remarks:
        result.problems.append(
            (
                ".gristmill/records",
                "holds no record of these shards; restore it, or begin anew in another folder",
            )
        )


def _checked(ledger: Ledger, result: Verified) -> Iterator[str]:
    """Check the fates, and what only Gristmill reads; gives the path of each output of each record."""
    store = ledger.store
    there = Seen((one.name, one.size_bytes) for folder in INTERMEDIATE for one in store.list(folder))
    for record in ledger.records.values():
        fates = record.output("fates")
        if fates is not None and record.account != "packing":
            before = len(result.problems) - len(result.foreign)
            _check_file(store, fates, result)
            if len(result.problems) - len(result.foreign) > before:
                result.damaged.append(record.task_id)
        for shard in record.outputs:
            if shard.path.startswith(f"{STATE}/") and not ledger.is_released(record, shard):
                _check_intermediate(store, shard, there, result)
            yield shard.path


def _check_intermediate(store: Store, shard: ShardInfo, there: Seen, result: Verified) -> None:
    """A file that only Gristmill reads is there, in its size; what it holds is checked when it is read."""
    if (shard.path, shard.size_bytes) not in there and store.size(shard.path) != shard.size_bytes:
        said = "is gone or has another size than its record says; the run's command makes it anew if it is needed"
        result.remarks.append((shard.path, said))


def _check_manifest(ledger: Ledger, result: Verified) -> None:
    """The manifest can be read, and of the shards that it names it says what their records say.

    It is written at the end of a run, so it may know fewer.
    """
    digests = {shard.path: shard.digest for record in ledger.shards() for shard in record.outputs}
    store = ledger.store
    for place, said in broken(store, METADATA_FILES):
        # people add to a card; what it says of the data is in the others too
        own = place == CARD and store.irregularity(place) is None
        own = own or (place == SEAL and store.size(SEAL) is None)
        (result.remarks if own else result.problems).append((place, said))
    try:
        found = read_manifest(store)
        if found is None:
            if digests and all(place != MANIFEST for place, _ in result.problems):
                result.remarks.append((MANIFEST, "is not there; the end of a run writes it"))
            return
        named = {shard["path"]: shard["sha256"] for shard in found["shards"]}
    except (DamagedOutput, KeyError, TypeError):
        result.problems.append((MANIFEST, "is damaged; the run's command writes it anew"))
        return
    wrong = sorted(path for path, digest in named.items() if digests.get(path, digest) != digest)
    if wrong:
        result.problems.append((MANIFEST, f"gives another SHA-256 of {wrong[0]} than its record"))


def damaged_records(ledger: Ledger, result: Verified) -> list[TaskRecord]:
    """Records to take back so that the next run makes their outputs anew."""
    return [ledger.records[task_id] for task_id in result.damaged if task_id in ledger.records]
