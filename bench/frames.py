"""Folders of frames in a tar.gz, streamed in the order in which they lie, against ``tar -x`` of the whole.

A made-up archive as ShareGPTVideo's: 1 GB of JPEGs of 336 x 252, ``./FOLDER/c01_NNNN.jpeg``, 24 a folder. Ours is
measured in its two passes: the index, made once; and all folders brought as bodies of a video each, digested, by the
acquirer that a run uses. What ``tar`` unpacks lies in the same folder of the disk.

``python -m bench.frames 0.1`` alone takes a tenth.
"""

import asyncio
import gzip
import hashlib
import io
import random
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

from PIL import Image

from bench.figure import Figure, Options, spread
from bench.measure import Measurement, measured
from bench.paths import SHIPPED_PHOTOS, WORK, fresh, say
from gristmill.spec.body import pieces_of, size_of
from gristmill.spec.locator import Frames
from gristmill.steps.acquirers import acquirer_of, places_of
from gristmill.storage.archives import Archive, ArchiveSource, Indexed, write_index

ARCHIVE_BYTES = 1_000_000_000
FRAMES, SIZE_PX, QUALITY = 24, (336, 252), 80
DRAWN = 300
SEED = 23
MB = 1e6


def frames(_files: Sequence[Path], options: Options) -> list[Figure]:
    return race(ARCHIVE_BYTES, options.rounds)


def race(size_bytes: int, rounds: int) -> list[Figure]:
    archive = write_archive(size_bytes)
    costs: dict[str, list[Measurement]] = {"index": [], "stream": [], "tar": []}
    for number in range(rounds):
        say(f"frames: round {number + 1} of {rounds}, {size_bytes / MB:,.0f} MB")
        out = fresh("frames")
        index = out / "index.parquet"
        for what in ("index", "stream"):
            command = [sys.executable, "-m", "bench.frames", what, str(archive), str(index)]
            costs[what].append(measured(command, log=WORK / "logs" / f"frames-{what}.log"))
        command = ["tar", "-xzf", str(archive), "-C", str(out)]
        costs["tar"].append(measured(command, log=WORK / "logs" / "frames-tar.log"))
        shutil.rmtree(out)
    raw = {who: [asdict(cost) for cost in some] for who, some in costs.items()}
    stream = [tar.wall_s / own.wall_s for own, tar in zip(costs["stream"], costs["tar"], strict=True)]
    both = [
        tar.wall_s / (index.wall_s + own.wall_s)
        for index, own, tar in zip(costs["index"], costs["stream"], costs["tar"], strict=True)
    ]
    return [
        *(_absolute(name, size_bytes, some) for name, some in costs.items()),
        Figure(
            name="frames: streaming a tar.gz against tar -x", value=spread(stream), goal="at least 1", raw=raw
        ),
        Figure(name="frames: index and streaming against tar -x", value=spread(both)),
    ]


def make_index(archive: Path, index: Path) -> None:
    write_index(Archive.at(archive), index)


def stream(archive: Path, index: Path) -> None:
    """Bring all folders, in the order in which they lie; says how much came."""
    indexed = Indexed(Archive.at(archive), index)
    source = ArchiveSource([indexed])
    names = {entry.name.partition("/")[0] for entry in indexed.index.entries()}
    at: list[Any] = [Frames("frames", name) for name in sorted(names)]
    order = sorted(zip(places_of("frames", source, at), at, strict=True), key=lambda one: one[0] or (0, 0))
    came = [0, 0]

    async def deliver(number: int, acquired: Any) -> Any:
        digest = hashlib.sha256()
        for piece in pieces_of(acquired.body):
            digest.update(piece)
        came[0], came[1] = came[0] + 1, came[1] + size_of(acquired.body)
        return ()

    async def bring() -> None:
        with tempfile.TemporaryDirectory(dir=WORK) as folder:
            box: Any = SimpleNamespace(source=lambda key: source, scratch=lambda: Path(folder), stop=Event())
            settings: Any = SimpleNamespace(max_body_bytes=1 << 30, codecs=1)
            acquirer = await acquirer_of("frames", settings)
            await acquirer.acquire(list(enumerate(at for _, at in order)), deliver, box)

    asyncio.run(bring())
    if came[0] != len(names):
        raise RuntimeError(f"{came[0]} of {len(names)} folders came")
    print(f"{came[0]:,} folders, {came[1]:,} bytes")


def write_archive(size_bytes: int) -> Path:
    """The archive, written once."""
    path = WORK / f"frames-{size_bytes}.tar.gz"
    if path.exists():
        return path
    say(f"frames: writing {size_bytes / MB:,.0f} MB of frames")
    WORK.mkdir(parents=True, exist_ok=True)
    draw = random.Random(SEED)
    pictures = _pictures(draw)
    partial = path.with_suffix(".part")
    written = number = 0
    with (
        partial.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        tar.addfile(_folder("./"))
        while written < size_bytes:
            name = f"./v_{draw.getrandbits(64):016x}-Scene-{number % 9:03d}"
            tar.addfile(_folder(f"{name}/"))
            for frame in range(FRAMES):
                body = pictures[(number * 7 + frame) % len(pictures)]
                info = tarfile.TarInfo(f"{name}/c01_{frame + 1:04d}.jpeg")
                info.size = len(body)
                tar.addfile(info, io.BytesIO(body))
                written += len(body)
            number += 1
    return partial.rename(path)


def _folder(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info


def _pictures(draw: random.Random) -> list[bytes]:
    """Pieces of the photographs that come with the package."""
    photos = [Image.open(path).convert("RGB") for path in sorted(SHIPPED_PHOTOS.glob("*.jpg"))]
    made = []
    for number in range(DRAWN):
        photo = photos[number % len(photos)]
        width, height = photo.size
        left, top = int(draw.uniform(0, 0.3) * width), int(draw.uniform(0, 0.3) * height)
        body = io.BytesIO()
        box = (left, top, left + int(0.7 * width), top + int(0.7 * height))
        photo.resize(SIZE_PX, box=box).save(body, "JPEG", quality=QUALITY)
        made.append(body.getvalue())
    return made


def _absolute(name: str, size_bytes: int, costs: Sequence[Measurement]) -> Figure:
    cost = sorted(costs, key=lambda cost: cost.wall_s)[len(costs) // 2]
    value = (
        f"{size_bytes / MB / cost.wall_s:,.0f} MB/s; {cost.cpu_s:.1f} s CPU; "
        f"peak RSS {cost.peak_rss_bytes / MB:,.0f} MB"
    )
    return Figure(name=f"frames: {name}", value=value, goal="memory flat" if name == "stream" else "")


if __name__ == "__main__":
    if sys.argv[1:2] in (["index"], ["stream"]):
        what = {"index": make_index, "stream": stream}[sys.argv[1]]
        what(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        for figure in race(int(float(sys.argv[1]) * ARCHIVE_BYTES), 3):
            print(figure.name, "|", figure.value, "|", figure.goal)
